//! What the agent decides from: its own keys of etcd, the containers of its machine, and what it is doing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, TaskRef};
use skep_api::node::{ClockAnswer, NodeReport, NodeSpec, NodeStatus};
use skep_api::object::{Object, Typed};
use skep_api::rollout::Revision;
use skep_api::task::{Task, TaskStatus};
use skep_api::time::Timestamp;
use skep_runtime::table::{Entry, Stamp, Table, Versioned};
use skep_store::KeyValue;

use crate::engine::{Container, Machine, Owner};
use crate::labels;
use crate::local::{Local, Sighting};

/// A revision by its service and number.
pub(crate) type RevisionId = (Uid, u64);

/// What is known of a revision. It never changes, so it is read once; only its pin may still come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RevisionState {
    /// It is being read.
    Asked,
    /// What it says, and the digest that its image is pinned to.
    Known(Arc<Revision>, Option<String>),
    /// It is not there or does not decode; it is read again after a while.
    Unusable(String),
}

/// What the agent decides from.
#[derive(Debug)]
pub(crate) struct World {
    /// Whose containers these are.
    pub(crate) owner: Owner,
    /// The machine's host name.
    pub(crate) hostname: String,
    /// Whether everything of etcd has been listed once.
    pub(crate) is_synced: bool,
    /// Where the agent's session was last written, while its lease certainly lives.
    pub(crate) session: Option<i64>,
    /// The machine, while its engine answers and has told everything.
    pub(crate) machine: Option<Machine>,
    /// Whether the engine was away, and has not told everything since.
    has_lost_engine: bool,
    /// The revisions that tasks name.
    pub(crate) revisions: BTreeMap<RevisionId, RevisionState>,
    tasks: Table<TaskRef, Task>,
    statuses: Table<TaskRef, TaskStatus>,
    reports: Table<NodeId, NodeReport>,
    node_statuses: Table<NodeId, NodeStatus>,
    node: Option<Stamp>,
    node_spec: Option<Arc<NodeSpec>>,
    locals: BTreeMap<TaskRef, Local>,
    /// Where keys were deleted: an answer of etcd that is on its way may be older than that.
    gone: BTreeMap<Key, i64>,
}

impl World {
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            owner,
            hostname: String::new(),
            is_synced: false,
            session: None,
            machine: None,
            has_lost_engine: false,
            revisions: BTreeMap::new(),
            tasks: Table::default(),
            statuses: Table::default(),
            reports: Table::default(),
            node_statuses: Table::default(),
            node: None,
            node_spec: None,
            locals: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    /// The task, if it is there and can be read.
    pub(crate) fn task(&self, key: &TaskRef) -> Option<&Versioned<Task>> {
        self.tasks.get(key)
    }

    /// Whether the task's key is there, whatever its value.
    pub(crate) fn has_task(&self, key: &TaskRef) -> bool {
        self.tasks.has(key)
    }

    /// The task's status, if there is one that can be read.
    pub(crate) fn status(&self, key: &TaskRef) -> Option<&Versioned<TaskStatus>> {
        self.statuses.get(key)
    }

    /// Where the key of the task's status was last written, whatever its value.
    pub(crate) fn status_stamp(&self, key: &TaskRef) -> Option<Stamp> {
        stamp(&self.statuses, key)
    }

    /// What the agent last said of its machine, and where the key was last written.
    pub(crate) fn report(&self) -> (Option<&NodeReport>, Option<i64>) {
        let node = &self.owner.node;
        let value = self.reports.get(node).map(|report| report.value.as_ref());
        (value, stamp(&self.reports, node).map(|stamp| stamp.modified))
    }

    /// The node controller's last answer to the question for the time.
    pub(crate) fn clock(&self) -> Option<ClockAnswer> {
        self.node_statuses.get(&self.owner.node)?.clock
    }

    /// Where the node's spec was created; `None` once people have removed the node.
    pub(crate) fn node_created(&self) -> Option<i64> {
        self.node.map(|stamp| stamp.created)
    }

    /// What people say of the node, if it can be read.
    pub(crate) fn node_spec(&self) -> Option<&NodeSpec> {
        self.node_spec.as_deref()
    }

    /// What the agent itself knows of a task.
    pub(crate) fn local(&self, key: &TaskRef) -> Option<&Local> {
        self.locals.get(key)
    }

    /// The same, to be changed, if anything is known.
    pub(crate) fn known_mut(&mut self, key: &TaskRef) -> Option<&mut Local> {
        self.locals.get_mut(key)
    }

    /// The same, to be changed; it is made if nothing was known.
    pub(crate) fn local_mut(&mut self, key: &TaskRef) -> &mut Local {
        self.locals.entry(key.clone()).or_default()
    }

    /// Forgets what is of no use any more: a task that is gone, with its container, and revisions that no task names.
    pub(crate) fn forget(&mut self, key: &TaskRef) {
        self.locals.remove(key);
        let named: BTreeSet<RevisionId> = self.tasks.iter().map(|(_, task)| revision_id(task)).collect();
        self.revisions.retain(|id, _| named.contains(id));
    }

    /// Every task that is wanted, or that has a container here.
    pub(crate) fn all(&self) -> BTreeSet<TaskRef> {
        let tasks = self.tasks.iter().map(|(key, _)| key);
        tasks.chain(self.locals.keys()).cloned().collect()
    }

    /// Whether nothing is left to do or to remove.
    pub(crate) fn is_clear(&self) -> bool {
        self.locals.is_empty()
    }

    /// The tasks that run `revision`.
    pub(crate) fn tasks_of(&self, revision: &RevisionId) -> Vec<TaskRef> {
        let named = self.tasks.iter().filter(|(_, task)| revision_id(task) == *revision);
        named.map(|(key, _)| key.clone()).collect()
    }

    /// Makes `found` the state of `key` as of `revision`, unless something later is known; names what it touches.
    pub(crate) fn apply(&mut self, key: &Key, found: Option<&KeyValue>, revision: i64) -> BTreeSet<TaskRef> {
        let known = self.stamp(key).map(|stamp| stamp.modified).max(self.gone.get(key).copied());
        if known > Some(found.map_or(revision, |kv| kv.modified)) {
            return BTreeSet::new();
        }
        match found {
            Some(_) => drop(self.gone.remove(key)),
            None => drop(self.gone.insert(key.clone(), revision)),
        }
        let entry = found.map(|kv| Entry {
            value: Object::decode(key, &kv.value).map_err(Arc::new),
            stamp: Stamp { created: kv.created, modified: kv.modified },
        });
        self.set(key, entry.as_ref())
    }

    /// No answer of etcd is on its way: what comes from now on is not older than what is known.
    pub(crate) fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Makes what this agent has committed at `revision` part of the world at once.
    pub(crate) fn committed(&mut self, key: &Key, value: Object, revision: i64) -> BTreeSet<TaskRef> {
        let known = self.stamp(key);
        let is_gone = matches!(key, Key::TaskStatus(task) if !self.tasks.has(task));
        if is_gone || known.is_some_and(|stamp| stamp.modified >= revision) {
            return BTreeSet::new();
        }
        let created = known.map_or(revision, |stamp| stamp.created);
        self.set(key, Some(&Entry { value: Ok(value), stamp: Stamp { created, modified: revision } }))
    }

    /// Everything there is at `revision`: what is missing in it, and was not written since, is gone.
    pub(crate) fn resync(&mut self, entries: &[KeyValue], revision: i64) {
        let found: BTreeMap<Key, &KeyValue> =
            entries.iter().filter_map(|kv| Some((Key::parse(&kv.key)?, kv))).collect();
        for key in self.keys().into_iter().filter(|key| !found.contains_key(key)) {
            self.apply(&key, None, revision);
        }
        for (key, kv) in found {
            self.apply(&key, Some(kv), revision);
        }
        self.is_synced = true;
    }

    /// Takes over what was seen of a container; names its task, if it is one of this agent's and there is something new.
    pub(crate) fn see(&mut self, container: Container) -> Option<TaskRef> {
        let key = labels::task_of(&container.labels, &self.owner)?;
        self.local_mut(&key).see(container).then_some(key)
    }

    /// Takes over everything that the engine has, and its machine. What was seen before and is missing now must be looked
    /// for; what has ended was ended by the engine, if that was away.
    pub(crate) fn see_all(&mut self, machine: Machine, containers: Vec<Container>) {
        let was_away = std::mem::take(&mut self.has_lost_engine) && !machine.keeps_containers;
        let booted = machine.booted;
        self.machine = Some(machine);
        let present: BTreeSet<&str> = containers.iter().map(|container| container.id.as_str()).collect();
        for local in self.locals.values_mut() {
            if local.container().is_some_and(|known| !present.contains(known.id.as_str())) {
                local.sighting = Sighting::Unknown;
            }
        }
        for container in containers {
            if let Some(key) = labels::task_of(&container.labels, &self.owner) {
                self.local_mut(&key).see_listed(container, was_away, booted);
            }
        }
    }

    /// The engine is away. Whether that is news.
    pub(crate) fn lose_engine(&mut self) -> bool {
        let is_news = self.machine.take().is_some();
        self.has_lost_engine |= is_news;
        is_news
    }

    fn holding(&mut self, id: &str) -> Option<(&TaskRef, &mut Local)> {
        let holds = |local: &Local| local.container().is_some_and(|known| known.id == id);
        self.locals.iter_mut().find(|(_, local)| holds(local))
    }

    /// The container with this id has ended; names its task, if that is news. An end from before its last start is an old one.
    pub(crate) fn glimpse(&mut self, id: &str, code: i64, at: Timestamp) -> Option<TaskRef> {
        let (key, local) = self.holding(id)?;
        local.glimpse(code, at).then(|| key.clone())
    }

    /// The container with this id is gone; names its task.
    pub(crate) fn lose(&mut self, id: &str) -> Option<TaskRef> {
        let (key, local) = self.holding(id)?;
        local.sighting = Sighting::Absent;
        Some(key.clone())
    }

    fn keys(&self) -> Vec<Key> {
        let tasks = self.tasks.iter().map(|(key, _)| key).chain(self.tasks.invalid_keys());
        let statuses = self.statuses.iter().map(|(key, _)| key).chain(self.statuses.invalid_keys());
        let node = &self.owner.node;
        tasks
            .map(|key| Key::Task(key.clone()))
            .chain(statuses.map(|key| Key::TaskStatus(key.clone())))
            .chain([Key::Node(node.clone()), Key::NodeReport(node.clone()), Key::NodeStatus(node.clone())])
            .collect()
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other keys there are, and will be, is none of an agent's.
    fn stamp(&self, key: &Key) -> Option<Stamp> {
        match key {
            Key::Task(task) => stamp(&self.tasks, task),
            Key::TaskStatus(task) => stamp(&self.statuses, task),
            Key::Node(node) if *node == self.owner.node => self.node,
            Key::NodeReport(node) => stamp(&self.reports, node),
            Key::NodeStatus(node) => stamp(&self.node_statuses, node),
            _ => None,
        }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // The same.
    fn set(&mut self, key: &Key, entry: Option<&Entry>) -> BTreeSet<TaskRef> {
        match key {
            Key::Task(task) => {
                self.tasks.set(task, entry);
                BTreeSet::from([task.clone()])
            }
            Key::TaskStatus(task) => {
                self.statuses.set(task, entry);
                BTreeSet::from([task.clone()])
            }
            Key::Node(node) if *node == self.owner.node => {
                let was_there = self.node.is_some();
                self.node = entry.map(|entry| entry.stamp);
                self.node_spec = entry.and_then(|entry| NodeSpec::from_object(entry.value.as_ref().ok()?));
                if was_there == entry.is_some() { BTreeSet::new() } else { self.all() }
            }
            Key::NodeReport(node) => {
                self.reports.set(node, entry);
                BTreeSet::new()
            }
            Key::NodeStatus(node) => {
                self.node_statuses.set(node, entry);
                BTreeSet::new()
            }
            Key::Pin(uid, number) => self.set_pin(&(uid.clone(), *number), entry),
            _ => BTreeSet::new(),
        }
    }

    /// A pin appears once, and is never changed.
    fn set_pin(&mut self, id: &RevisionId, entry: Option<&Entry>) -> BTreeSet<TaskRef> {
        let digest = match entry.map(|entry| &entry.value) {
            Some(Ok(Object::Pin(pin))) => pin.digest.clone(),
            _ => return BTreeSet::new(),
        };
        if let Some(RevisionState::Known(_, pin)) = self.revisions.get_mut(id) {
            *pin = Some(digest);
        }
        self.tasks_of(id).into_iter().collect()
    }
}

/// The revision that a task runs.
pub(crate) fn revision_id(task: &Task) -> RevisionId {
    (task.uid.clone(), task.revision)
}

fn stamp<K: Ord + Clone, T>(table: &Table<K, T>, key: &K) -> Option<Stamp>
where
    T: skep_api::object::Typed,
{
    let valid = table.get(key).map(|value| value.stamp);
    valid.or_else(|| table.invalid(key).map(|(_, stamp)| *stamp))
}

#[cfg(test)]
mod tests {
    use skep_api::key::Place;

    use super::*;

    const READY: &str = "{state: READY, since: 2026-01-01T00:00:00Z}";
    const TASK: &str = "{uid: 0000000000000000000000000, service: {stack: default, name: web}, slot: 1, \
        revision: 1, desired: READY, cause: new}";

    fn kv(key: &Key, value: &'static str, modified: i64) -> KeyValue {
        KeyValue { key: key.to_string(), value: value.into(), created: 1, modified, lease: 0 }
    }

    /// A world with one task, written at revision 5.
    fn world() -> (World, TaskRef) {
        let node = NodeId::from_random(1);
        let place = Place::Node(node.clone());
        let task = TaskRef { place, stack: "default".parse().unwrap(), name: "web.1.0000a".parse().unwrap() };
        let mut world = World::new(Owner { cluster: "c".to_owned(), node });
        let key = Key::Task(task.clone());
        assert_eq!(world.apply(&key, Some(&kv(&key, TASK, 5)), 5), BTreeSet::from([task.clone()]));
        assert!(world.task(&task).is_some());
        (world, task)
    }

    fn modified(world: &World, task: &TaskRef) -> Option<i64> {
        world.status_stamp(task).map(|stamp| stamp.modified)
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let (mut world, task) = world();
        let key = Key::TaskStatus(task.clone());
        world.apply(&key, Some(&kv(&key, READY, 9)), 9);
        assert_eq!(world.apply(&key, Some(&kv(&key, READY, 7)), 7), BTreeSet::new());
        assert_eq!(world.apply(&key, None, 8), BTreeSet::new());
        assert_eq!(modified(&world, &task), Some(9));
        world.apply(&key, None, 10);
        assert_eq!(modified(&world, &task), None);
    }

    #[test]
    fn a_commit_of_one_s_own_is_known_at_once_and_its_echo_is_nothing_new() {
        let (mut world, task) = world();
        let key = Key::TaskStatus(task.clone());
        let status = Object::decode(&key, READY.as_bytes()).unwrap();
        world.committed(&key, status.clone(), 9);
        assert_eq!(modified(&world, &task), Some(9));
        world.apply(&key, Some(&kv(&key, READY, 12)), 12);
        world.committed(&key, status, 9);
        assert_eq!(modified(&world, &task), Some(12), "the watch was faster than the answer");
    }

    #[test]
    fn a_list_removes_what_is_not_in_it_unless_it_was_written_since() {
        let (mut world, task) = world();
        let key = Key::TaskStatus(task.clone());
        world.apply(&key, Some(&kv(&key, READY, 9)), 9);
        world.resync(&[], 8);
        assert_eq!(modified(&world, &task), Some(9), "written after the list was taken");
        assert!(!world.has_task(&task), "gone by then");
        world.resync(&[], 9);
        assert_eq!(modified(&world, &task), None);
    }

    #[test]
    fn a_value_that_does_not_decode_is_there_all_the_same() {
        let (mut world, task) = world();
        let key = Key::Task(task.clone());
        world.apply(&key, Some(&kv(&key, "{{{", 9)), 9);
        assert!(world.has_task(&task));
        assert_eq!(world.task(&task), None);
    }
}
