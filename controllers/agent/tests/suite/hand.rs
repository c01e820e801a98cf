//! The hand that writes the objects which controllers would write, and looks at what the agent says.

use std::time::Duration;

use skep_agent::{AgentConfig, Readiness};
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::object::{Object, Typed};
use skep_api::rollout::Revision;
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_store::{Put, Store, Txn};
use tokio::time::Instant;

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How often is looked meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The hand, for one node.
#[derive(Clone)]
pub(crate) struct Hand {
    pub(crate) store: Store,
    pub(crate) config: AgentConfig,
}

pub(crate) fn service_uid() -> Uid {
    Uid::derive("tests", "web", 1)
}

/// A service's template, as flow YAML: `task` is what is in its braces.
pub(crate) fn revision(task: &str, host_ports: &str) -> Revision {
    let text =
        format!("{{service: {{stack: default, name: web}}, task: {{{task}}}, hostPorts: [{host_ports}]}}");
    match Object::decode(&Key::Revision(service_uid(), 1), text.as_bytes()) {
        Ok(Object::Revision(revision)) => (*revision).clone(),
        other => panic!("{text}: {other:?}"),
    }
}

/// The agent of a new node.
pub(crate) fn config(random: u64) -> AgentConfig {
    AgentConfig {
        node: NodeId::from_random(random),
        hostname: "host".to_owned(),
        address: "127.0.0.1".to_owned(),
        pid: 1,
        readiness: Readiness::default(),
    }
}

/// A task in `slot`, as replica and the scheduler write it.
pub(crate) fn task(slot: u32, desired: DesiredState) -> Task {
    Task {
        attempts: Vec::new(),
        created: skep_api::time::Timestamp::default(),
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
        generic: std::collections::BTreeMap::new(),
    }
}

impl Hand {
    /// The task in `slot`. Its name holds the node's id, so that tests do not meet on one Docker.
    pub(crate) fn task(&self, slot: u32) -> TaskRef {
        TaskRef {
            place: Place::Node(self.config.node.clone()),
            stack: "default".parse().unwrap(),
            name: format!("web.{slot}.{}", self.config.node).parse().unwrap(),
        }
    }

    pub(crate) async fn put(&self, key: Key, object: impl Into<Object>) {
        let value = object.into().encode(&key).unwrap();
        self.put_text(key, &value).await;
    }

    pub(crate) async fn put_text(&self, key: Key, value: &[u8]) {
        self.store.commit(&Txn::new().put(Put::new(key, value.to_vec()))).await.unwrap();
    }

    pub(crate) async fn put_revision(&self, revision: Revision) {
        self.put(Key::Revision(service_uid(), 1), revision).await;
    }

    pub(crate) async fn want(&self, slot: u32, desired: DesiredState) -> TaskRef {
        let key = self.task(slot);
        self.put(Key::Task(key.clone()), task(slot, desired)).await;
        key
    }

    /// The end of a task, as replica writes it.
    pub(crate) async fn forget(&self, task: &TaskRef) {
        let txn = Txn::new().delete(Key::Task(task.clone())).delete(Key::TaskStatus(task.clone()));
        self.store.commit(&txn).await.unwrap();
    }

    pub(crate) async fn status(&self, task: &TaskRef) -> Option<TaskStatus> {
        let object = self.read(&Key::TaskStatus(task.clone())).await?;
        TaskStatus::from_object(&object).map(|status| (*status).clone())
    }

    pub(crate) async fn read(&self, key: &Key) -> Option<Object> {
        let listing = self.store.get(key).await.unwrap();
        listing.entries.first().map(|kv| Object::decode(key, &kv.value).unwrap())
    }

    /// Waits until the task has come to `state`.
    pub(crate) async fn reaches(&self, task: &TaskRef, state: TaskState) -> TaskStatus {
        let started = Instant::now();
        let mut last = None;
        while started.elapsed() < LIMIT {
            last = self.status(task).await;
            // An end is told as soon as it is known, and the rest of it a moment later.
            let is_whole = |status: &&TaskStatus| status.state == state && !status.is_unexamined();
            if let Some(status) = last.as_ref().filter(is_whole) {
                return status.clone();
            }
            if last.as_ref().is_some_and(|status| status.state > state) {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        panic!("{task} is not {state}: {last:?}");
    }
}

/// Waits until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
