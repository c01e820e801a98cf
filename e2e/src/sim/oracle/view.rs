//! etcd as typed objects, as every commit leaves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::cluster::ClusterSpec;
use skep_api::eviction::Eviction;
use skep_api::ident::{Name, NodeId, Stack, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{NodeReport, NodeSpec, NodeState, NodeStatus, Session};
use skep_api::object::{Object, Service};
use skep_api::rollout::{Control, Revision, Rollout};
use skep_api::service::ServiceStatus;
use skep_api::task::{DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_runtime::table::{Entry, Stamp, Table};
use skep_store::Event;
use skep_store::fake::Commit;

/// What a task is called wherever it lies.
pub(crate) type TaskId = (Stack, TaskName);

/// etcd as it is at one revision.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The id of the cluster, from which uids are derived.
    pub(crate) cluster: String,
    /// The services.
    pub(crate) services: Table<ServiceRef, Service>,
    /// The nodes.
    pub(crate) nodes: Table<NodeId, NodeSpec>,
    /// Who lives.
    pub(crate) sessions: Table<NodeId, Session>,
    /// Who leads.
    pub(crate) leaders: Table<Name, Session>,
    /// What agents say of their machines.
    pub(crate) reports: Table<NodeId, NodeReport>,
    /// What the node controller says.
    pub(crate) node_statuses: Table<NodeId, NodeStatus>,
    /// What services' containers are made of.
    pub(crate) revisions: Table<(Uid, u64), Revision>,
    /// How updates go.
    pub(crate) rollouts: Table<Uid, Rollout>,
    /// Which tasks have to leave their nodes.
    pub(crate) evictions: Table<TaskRef, Eviction>,
    /// What people are told of services.
    pub(crate) service_statuses: Table<ServiceRef, ServiceStatus>,
    /// What people say to rollouts.
    pub(crate) controls: Table<ServiceRef, Control>,
    /// Other keys that are there and belong to services.
    pub(crate) others: BTreeSet<Key>,
    /// What holds for services that do not say otherwise.
    pub(crate) cluster_spec: Option<Arc<ClusterSpec>>,
    tasks: Table<TaskRef, Task>,
    task_statuses: Table<TaskRef, TaskStatus>,
    places: BTreeMap<TaskId, BTreeSet<Place>>,
}

/// A task as it is seen at one revision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Where it lies.
    pub(crate) key: TaskRef,
    /// What is wanted.
    pub(crate) task: Arc<Task>,
    /// Where it was created and last written.
    pub(crate) stamp: Stamp,
    /// What is observed.
    pub(crate) state: TaskState,
    /// What is said of it.
    pub(crate) status: Option<Arc<TaskStatus>>,
}

/// What one commit did to one task.
#[derive(Debug)]
pub(crate) struct Step {
    /// The task as it was.
    pub(crate) before: Option<Seen>,
    /// The task as it is.
    pub(crate) after: Option<Seen>,
}

/// What one commit wrote under a key of Skep's.
#[derive(Debug)]
pub(crate) struct Written {
    /// The key.
    pub(crate) key: Key,
    /// Whether there was a value before.
    pub(crate) existed: bool,
    /// What it holds now.
    pub(crate) entry: Option<Entry>,
    /// The rollout that it held before, if it is one's.
    pub(crate) rollout_before: Option<Arc<Rollout>>,
}

impl Seen {
    /// Whether it has not ended.
    pub(crate) fn is_live(&self) -> bool {
        !self.state.is_terminal()
    }

    /// Whether it is meant to run, now or soon.
    pub(crate) fn is_wanted(&self) -> bool {
        self.task.desired <= DesiredState::Complete
    }

    /// The service and the slot.
    pub(crate) fn slot(&self) -> (Uid, Slot) {
        (self.task.uid.clone(), self.task.slot.clone())
    }
}

impl View {
    /// Takes a commit in; returns what it wrote, and what became of each task that it touched.
    pub(crate) fn apply(&mut self, commit: &Commit<'_>) -> (Vec<Written>, Vec<Step>) {
        let parsed: Vec<(Key, &Event)> =
            commit.events.iter().filter_map(|event| Some((Key::parse(event.key())?, event))).collect();
        let touched: BTreeSet<TaskId> = parsed.iter().flat_map(|(key, _)| self.touched_by(key)).collect();
        let before: Vec<Option<Seen>> = touched.iter().map(|id| self.task(id)).collect();
        let written = parsed.into_iter().map(|(key, event)| self.write(key, event)).collect();
        let steps = touched.iter().zip(before);
        let steps = steps.map(|(id, before)| Step { before, after: self.task(id) }).collect();
        (written, steps)
    }

    /// The tasks, each once; one that lies at two places counts where it was placed.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Seen> {
        self.places.keys().filter_map(|id| self.task(id))
    }

    /// The task `id`.
    pub(crate) fn task(&self, id: &TaskId) -> Option<Seen> {
        let place = self.places.get(id)?.last()?.clone();
        self.task_at(&TaskRef { place, stack: id.0.clone(), name: id.1.clone() })
    }

    /// The task that lies at `key`.
    pub(crate) fn task_at(&self, key: &TaskRef) -> Option<Seen> {
        let held = self.tasks.get(key)?;
        let status = self.task_statuses.get(key).map(|status| Arc::clone(&status.value));
        let node_exists = key.place.node().is_some_and(|node| self.nodes.has(node));
        let state = TaskState::observed(&key.place, status.as_deref(), node_exists);
        Some(Seen { key: key.clone(), task: Arc::clone(&held.value), stamp: held.stamp, state, status })
    }

    /// At how many places the task `id` lies.
    pub(crate) fn places_of(&self, id: &TaskId) -> usize {
        self.places.get(id).map_or(0, BTreeSet::len)
    }

    /// The identity of the service `service`, if it is there, valid or not.
    pub(crate) fn uid_of(&self, service: &ServiceRef) -> Option<Uid> {
        let valid = self.services.get(service).map(|held| held.stamp);
        let stamp = valid.or_else(|| self.services.invalid(service).map(|(_, stamp)| *stamp))?;
        Some(Uid::derive(&self.cluster, &Key::Service(service.clone()).to_string(), stamp.created))
    }

    /// Whether the task at `key` is to be stopped at once, beside the parallelism of its service.
    pub(crate) fn evicts_now(&self, key: &TaskRef) -> bool {
        self.evictions.get(key).is_some_and(|eviction| eviction.now)
    }

    /// Whether the node at `place` is said to be Down.
    pub(crate) fn is_down(&self, place: &Place) -> bool {
        let status = place.node().and_then(|node| self.node_statuses.get(node));
        status.is_some_and(|status| status.state == NodeState::Down)
    }

    /// The revision that a task runs.
    pub(crate) fn revision_of(&self, task: &Task) -> Option<&Revision> {
        self.revisions.get(&(task.uid.clone(), task.revision)).map(|held| held.value.as_ref())
    }

    #[allow(clippy::wildcard_enum_match_arm)] // No other key says anything of a task.
    fn touched_by(&self, key: &Key) -> Vec<TaskId> {
        match key {
            Key::Task(task) | Key::TaskStatus(task) => vec![(task.stack.clone(), task.name.clone())],
            Key::Node(node) => {
                let on_node =
                    |places: &BTreeSet<Place>| places.iter().any(|place| place.node() == Some(node));
                self.places.iter().filter(|(_, places)| on_node(places)).map(|(id, _)| id.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // Only rollouts are compared with what they were.
    fn write(&mut self, key: Key, event: &Event) -> Written {
        let entry = match event {
            Event::Put(kv) => {
                let stamp = Stamp { created: kv.created, modified: kv.modified };
                Some(Entry { value: Object::decode(&key, &kv.value).map_err(Arc::new), stamp })
            }
            Event::Delete { .. } => None,
        };
        let rollout_before = match &key {
            Key::Rollout(uid) => self.rollouts.get(uid).map(|held| Arc::clone(&held.value)),
            _ => None,
        };
        let existed = match &entry {
            Some(entry) => entry.stamp.created != entry.stamp.modified,
            None => true,
        };
        self.set(&key, entry.as_ref());
        Written { key, existed, entry, rollout_before }
    }

    fn set(&mut self, key: &Key, entry: Option<&Entry>) {
        match key {
            Key::Service(service) => drop(self.services.set(service, entry)),
            Key::Node(node) => drop(self.nodes.set(node, entry)),
            Key::NodeSession(node) => drop(self.sessions.set(node, entry)),
            Key::Leader(name) => drop(self.leaders.set(name, entry)),
            Key::NodeReport(node) => drop(self.reports.set(node, entry)),
            Key::NodeStatus(node) => drop(self.node_statuses.set(node, entry)),
            Key::Revision(uid, number) => drop(self.revisions.set(&(uid.clone(), *number), entry)),
            Key::Rollout(uid) => drop(self.rollouts.set(uid, entry)),
            Key::Eviction(task) => drop(self.evictions.set(task, entry)),
            Key::ServiceStatus(service) => drop(self.service_statuses.set(service, entry)),
            Key::TaskStatus(task) => drop(self.task_statuses.set(task, entry)),
            Key::Task(task) => {
                self.tasks.set(task, entry);
                self.set_place(task);
            }
            Key::Control(service) => drop(self.controls.set(service, entry)),
            Key::Cluster => {
                let value = entry.and_then(|entry| entry.value.as_ref().ok());
                self.cluster_spec = match value {
                    Some(Object::Cluster(spec)) => Some(Arc::clone(spec)),
                    Some(_) | None => None,
                };
            }
            Key::Pin(..) | Key::ServiceOwners(_) | Key::ServiceNameClaim(_) => {
                if entry.is_some() {
                    self.others.insert(key.clone());
                } else {
                    self.others.remove(key);
                }
            }
            Key::ClusterId
            | Key::Incarnation
            | Key::Format
            | Key::Change(_)
            | Key::Event(_)
            | Key::NodeOwners(_)
            | Key::VolumeOwners(_)
            | Key::ClusterOwners
            | Key::VolumeNameClaim(_)
            | Key::Volume(_) => {}
        }
    }

    fn set_place(&mut self, task: &TaskRef) {
        let id = (task.stack.clone(), task.name.clone());
        let places = self.places.entry(id.clone()).or_default();
        if self.tasks.has(task) {
            places.insert(task.place.clone());
        } else {
            places.remove(&task.place);
            if places.is_empty() {
                self.places.remove(&id);
            }
        }
    }
}
