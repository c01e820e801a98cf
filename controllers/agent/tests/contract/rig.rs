//! An agent on a simulated machine, with a fake etcd, in virtual time.

use std::sync::Arc;

use skep_agent::AgentError;
use skep_agent::engine::{Image, Machine, Owner, Phase};
use skep_agent::simulated::SimulatedEngine;
use skep_api::key::Key;
use skep_api::node::Role;
use skep_api::time::Timestamp;
use skep_runtime::clock::Env;
use skep_store::fake::{FakeEtcd, Network};
use skep_store::{Config, Store, Txn};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::network::Switch;
use crate::suite::hand::{self, Hand, LIMIT, revision};

/// An image that every machine has.
pub(crate) const IMAGE: &str = "app:1";

pub(crate) struct Rig {
    pub(crate) etcd: FakeEtcd,
    pub(crate) hand: Hand,
    pub(crate) machine: SimulatedEngine,
    pub(crate) network: Arc<Switch>,
    pub(crate) ledger: Ledger,
    agent: Option<JoinHandle<Result<(), AgentError>>>,
    pub(crate) shutdown: CancellationToken,
    seed: u64,
}

/// A clock that begins at a fixed instant and goes with tokio's.
pub(crate) fn env(seed: u64) -> Env {
    let started = Instant::now();
    Env::new(
        move || {
            let millis = i64::try_from(started.elapsed().as_millis()).unwrap();
            Timestamp::from_millis(1_700_000_000_000 + millis)
        },
        seed,
    )
}

/// A machine that has [`IMAGE`].
pub(crate) fn machine(seed: u64) -> SimulatedEngine {
    let machine = SimulatedEngine::new(env(seed), Machine::default());
    machine.add_image(IMAGE, Image { id: "sha256:1".to_owned(), repo_digests: Vec::new() });
    machine
}

impl Rig {
    /// A node that has joined, whose agent does not run yet, with a revision of [`IMAGE`].
    pub(crate) async fn new(seed: u64) -> Self {
        let etcd = FakeEtcd::new();
        let store = Store::over(etcd.perfect_channel(), Config::new(Vec::new(), seed)).await.unwrap();
        store.bootstrap().await.unwrap();
        let config = hand::config(seed);
        skep_agent::join(&store, &config, Role::Worker).await.unwrap();
        let hand = Hand { store, config };
        hand.put_revision(revision(&format!("image: '{IMAGE}'"), "{target: 80, mode: host}")).await;
        let (machine, ledger) = (machine(seed), Ledger::default());
        let owner = Owner { cluster: hand.store.identity().unwrap().cluster, node: hand.config.node.clone() };
        ledger.watch(&etcd, &machine, owner);
        let network = Arc::new(Switch::new(seed));
        Self { etcd, hand, machine, network, ledger, agent: None, shutdown: CancellationToken::new(), seed }
    }

    pub(crate) async fn with_agent(seed: u64) -> Self {
        let mut rig = Self::new(seed).await;
        rig.start_agent().await;
        rig
    }

    pub(crate) async fn start_agent(&mut self) {
        self.seed += 1;
        self.hand.config.pid += 1;
        let store = loop {
            let channel = self.etcd.channel(Arc::clone(&self.network) as Arc<dyn Network>);
            match Store::over(channel, Config::new(Vec::new(), self.seed)).await {
                Ok(store) => break store,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        let run = skep_agent::run(
            env(self.seed),
            store,
            Arc::new(self.machine.clone()),
            self.hand.config.clone(),
            self.shutdown.clone(),
        );
        self.agent = Some(tokio::spawn(run));
    }

    /// Ends the agent at this instant, as `kill -9` does.
    pub(crate) async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            let _ = agent.await;
        }
    }

    /// Whether the agent has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.agent.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits for the agent to end by itself.
    pub(crate) async fn agent_ends(&mut self) -> Result<(), AgentError> {
        let agent = self.agent.take().expect("an agent");
        tokio::time::timeout(LIMIT, agent).await.expect("an end").unwrap()
    }

    pub(crate) fn session_key(&self) -> Key {
        Key::NodeSession(self.hand.config.node.clone())
    }

    pub(crate) async fn has_session(&self) -> bool {
        self.hand.read(&self.session_key()).await.is_some()
    }

    /// Deletes a key, as people do.
    pub(crate) async fn delete(&self, key: Key) {
        self.hand.store.commit(&Txn::new().delete(key)).await.unwrap();
    }

    /// The id of the one container.
    pub(crate) fn container_id(&self) -> String {
        let containers = self.machine.containers();
        assert_eq!(containers.len(), 1, "{containers:?}");
        containers[0].id.clone()
    }

    pub(crate) fn running(&self) -> usize {
        self.machine.containers().iter().filter(|container| container.phase == Phase::Running).count()
    }
}

impl Drop for Rig {
    /// Whatever the test is about, nobody has done what nobody may do.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.ledger.violations(), [""; 0]);
        }
    }
}
