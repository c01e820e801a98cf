//! An agent with a real etcd and a real Docker, and a hand that writes the objects which controllers would write.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::engine::{Container, Engine, Owner};
use skep_agent::{AgentConfig, AgentError, labels};
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::Role;
use skep_api::object::Object;
use skep_api::rollout::Revision;
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_runtime::clock::Env;
use skep_store::rig::Etcd;
use skep_store::{Put, Range, Store, Txn};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The image that everything runs; `hack/demo/image` builds it.
pub(crate) const IMAGE: &str = "skep-demo";
/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

pub(crate) struct Rig {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) docker: Docker,
    pub(crate) config: AgentConfig,
    pub(crate) owner: Owner,
    agent: Option<JoinHandle<Result<(), AgentError>>>,
    shutdown: CancellationToken,
}

/// A service's template, in the form in which it lies in etcd, with the demo image.
pub(crate) fn revision(task: &str, ports: &str) -> Revision {
    let text = format!(
        "{{service: {{stack: default, name: web}}, task: {{image: {IMAGE}, stopGracePeriod: 2s{task}}}, hostPorts: [{ports}]}}"
    );
    let key = Key::Revision(service_uid(), 1);
    match Object::decode(&key, text.as_bytes()).expect(&text) {
        Object::Revision(revision) => (*revision).clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn service_uid() -> Uid {
    Uid::derive("e2e", "web", 1)
}

impl Rig {
    /// Everything, with the agent running.
    pub(crate) async fn start() -> Self {
        let mut rig = Self::without_agent().await;
        rig.start_agent();
        rig
    }

    pub(crate) async fn without_agent() -> Self {
        let etcd = Etcd::start().await.unwrap();
        let store = etcd.store(fastrand::u64(..)).await.unwrap();
        let cluster = store.bootstrap().await.unwrap().cluster;
        let node = NodeId::from_random(fastrand::u64(..));
        let config = AgentConfig {
            node: node.clone(),
            hostname: "rig".to_owned(),
            address: "127.0.0.1".to_owned(),
            pid: 1,
        };
        skep_agent::join(&store, &config, Role::Worker).await.unwrap();
        Self {
            etcd,
            store,
            docker: Docker::new(DEFAULT_HOST),
            config,
            owner: Owner { cluster, node },
            agent: None,
            shutdown: CancellationToken::new(),
        }
    }

    pub(crate) fn start_agent(&mut self) {
        let (store, config, shutdown) = (self.store.clone(), self.config.clone(), self.shutdown.clone());
        let engine = Arc::new(self.docker.clone());
        self.agent = Some(tokio::spawn(skep_agent::run(Env::system(), store, engine, config, shutdown)));
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
        tokio::time::timeout(LIMIT, self.agent.take().unwrap()).await.unwrap().unwrap()
    }

    pub(crate) fn task(&self, slot: u32) -> TaskRef {
        TaskRef {
            place: Place::Node(self.config.node.clone()),
            stack: "default".parse().unwrap(),
            name: format!("web.{slot}.{}", &self.config.node.as_str()[..5]).parse().unwrap(),
        }
    }

    pub(crate) fn session_key(&self) -> Key {
        Key::NodeSession(self.config.node.clone())
    }

    pub(crate) async fn put(&self, key: Key, object: impl Into<Object>) {
        let value = object.into().encode(&key).unwrap();
        self.store.commit(&Txn::new().put(Put::new(key, value))).await.unwrap();
    }

    pub(crate) async fn delete(&self, keys: &[Key]) {
        let txn = Txn { deletes: keys.to_vec(), ..Txn::new() };
        self.store.commit(&txn).await.unwrap();
    }

    pub(crate) async fn put_revision(&self, revision: Revision) {
        self.put(Key::Revision(service_uid(), 1), revision).await;
    }

    pub(crate) async fn put_task(&self, slot: u32, desired: DesiredState) -> TaskRef {
        let key = self.task(slot);
        let task = Task {
            uid: service_uid(),
            service: ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()),
            slot: Slot::Number(slot),
            revision: 1,
            desired,
            cause: Cause::New,
            replaces: None,
            start_after: None,
            restarts: 0,
            streak: 0,
        };
        self.put(Key::Task(key.clone()), task).await;
        key
    }

    pub(crate) async fn status(&self, task: &TaskRef) -> Option<TaskStatus> {
        let key = Key::TaskStatus(task.clone());
        let listing = self.store.get(&key).await.ok()?;
        match Object::decode(&key, &listing.entries.first()?.value) {
            Ok(Object::TaskStatus(status)) => Some((*status).clone()),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the task has this state.
    pub(crate) async fn reaches(&self, task: &TaskRef, state: TaskState) -> TaskStatus {
        let started = Instant::now();
        let mut last = None;
        while started.elapsed() < LIMIT {
            last = self.status(task).await;
            match &last {
                Some(status) if status.state == state => return status.clone(),
                Some(status) if status.state > state => break,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{task} is not {state}: {last:?}");
    }

    pub(crate) async fn container(&self, task: &TaskRef) -> Option<Container> {
        self.containers()
            .await
            .into_iter()
            .find(|container| labels::task_of(&container.labels, &self.owner).as_ref() == Some(task))
    }

    pub(crate) async fn containers(&self) -> Vec<Container> {
        self.docker.list(&self.owner).await.unwrap()
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let started = Instant::now();
        while !holds().await {
            assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn keys_of_session(&self) -> usize {
        self.store.list(&Range::key(&self.session_key())).await.unwrap().entries.len()
    }

    pub(crate) async fn stop_agent(&mut self) {
        self.shutdown.cancel();
        self.agent_ends().await.unwrap();
    }
}

impl Drop for Rig {
    /// Leaves no container behind, also when a test fails.
    fn drop(&mut self) {
        let filter = format!("label={}={}", labels::CLUSTER, self.owner.cluster);
        let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
        let ids = String::from_utf8(listed.stdout).unwrap();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = Command::new("docker").args(["rm", "-fv"]).args(ids).output();
        }
    }
}
