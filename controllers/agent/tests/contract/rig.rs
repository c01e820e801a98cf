//! An agent on a simulated machine, with a fake etcd, in virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use skep_agent::AgentError;
use skep_agent::engine::{Image, Machine, Phase};
use skep_agent::labels;
use skep_agent::simulated::{Incident, SimulatedEngine};
use skep_api::key::Key;
use skep_api::node::Role;
use skep_api::time::Timestamp;
use skep_runtime::clock::Env;
use skep_store::fake::{FakeEtcd, Fault, Network};
use skep_store::{Config, Store, Txn};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::suite::hand::{self, Hand, LIMIT, revision};

/// An image that every machine has.
pub(crate) const IMAGE: &str = "app:1";

pub(crate) struct Rig {
    pub(crate) etcd: FakeEtcd,
    pub(crate) hand: Hand,
    pub(crate) machine: SimulatedEngine,
    pub(crate) network: Arc<Switch>,
    /// How often the container of each task was started.
    pub(crate) starts: Arc<Mutex<BTreeMap<String, u32>>>,
    agent: Option<JoinHandle<Result<(), AgentError>>>,
    pub(crate) shutdown: CancellationToken,
    seed: u64,
}

/// The network between the agent and etcd: connected, cut, or losing replies of writes.
#[derive(Default)]
pub(crate) struct Switch {
    is_cut: Mutex<bool>,
    loses: Mutex<u32>,
}

impl Switch {
    pub(crate) fn cut(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap() = is_cut;
    }

    /// Loses the replies of the next transactions.
    pub(crate) fn lose_replies(&self, count: u32) {
        *self.loses.lock().unwrap() = count;
    }

    fn passes(&self) -> Result<(), Fault> {
        if *self.is_cut.lock().unwrap() { Err(Fault::Refused) } else { Ok(()) }
    }
}

impl Network for Switch {
    fn request(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(futures::future::ready(self.passes()))
    }

    fn reply(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let mut loses = self.loses.lock().unwrap();
        let is_lost = method.ends_with("/Txn") && *loses > 0;
        if is_lost {
            *loses -= 1;
        }
        Box::pin(futures::future::ready(if is_lost { Err(Fault::Reset) } else { self.passes() }))
    }

    fn message(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(futures::future::ready(self.passes()))
    }
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
        let (machine, starts) = (machine(seed), Arc::<Mutex<BTreeMap<String, u32>>>::default());
        let counted = Arc::clone(&starts);
        machine.set_witness(move |incident| {
            if let Incident::Started(container) = incident {
                *counted.lock().unwrap().entry(container.labels[labels::TASK].clone()).or_default() += 1;
            }
        });
        let network = Arc::default();
        Self { etcd, hand, machine, network, starts, agent: None, shutdown: CancellationToken::new(), seed }
    }

    pub(crate) async fn with_agent(seed: u64) -> Self {
        let mut rig = Self::new(seed).await;
        rig.start_agent().await;
        rig
    }

    pub(crate) async fn start_agent(&mut self) {
        self.seed += 1;
        self.hand.config.pid += 1;
        let channel = self.etcd.channel(Arc::clone(&self.network) as Arc<dyn Network>);
        let store = Store::over(channel, Config::new(Vec::new(), self.seed)).await.unwrap();
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

    /// The most that the container of any task was started.
    pub(crate) fn most_starts(&self) -> u32 {
        self.starts.lock().unwrap().values().copied().max().unwrap_or_default()
    }
}
