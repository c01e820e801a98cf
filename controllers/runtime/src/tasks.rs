//! Tasks joined with their statuses and with what is known of their nodes, by service and slot.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::eviction::Eviction;
use skep_api::ident::{Name, NodeId, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeSpec, NodeState, NodeStatus};
use skep_api::task::{DesiredState, Slot, Task, TaskState, TaskStatus};

use crate::plan::{Expect, Guard};
use crate::table::{Entry, Table, Versioned};

/// Every task, and what is known of it.
#[derive(Debug, Default)]
pub struct Tasks {
    specs: Table<TaskRef, Task>,
    statuses: Table<TaskRef, TaskStatus>,
    nodes: Table<NodeId, NodeSpec>,
    node_statuses: Table<NodeId, NodeStatus>,
    evictions: Table<TaskRef, Eviction>,
    by_service: BTreeMap<Uid, BTreeMap<Slot, BTreeSet<TaskRef>>>,
    by_node: BTreeMap<NodeId, BTreeMap<TaskRef, Uid>>,
    damaged: BTreeMap<ServiceRef, BTreeSet<TaskRef>>,
}

/// Whose tasks moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The service with this uid.
    Uid(Uid),
    /// The service of this name: all that the key of a task tells whose value does not decode.
    Named(ServiceRef),
}

/// Where a task is, and whether its node can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// It has no node yet.
    None,
    /// It is on a node that is not known to be lost.
    Node,
    /// Its node is Down, as its status says that was written at this revision.
    Down(i64),
    /// The spec of its node was deleted.
    Removed,
}

/// One task with everything that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its key.
    pub at: &'a TaskRef,
    /// What is wanted of it.
    pub task: &'a Versioned<Task>,
    /// What is said of it.
    pub status: Option<&'a Versioned<TaskStatus>>,
    /// Its observed state.
    pub state: TaskState,
    /// Where it is.
    pub home: Home,
    /// The revision at which its status was last written, whether it decodes or not.
    pub status_at: Option<i64>,
    /// The request that it leave its node.
    pub eviction: Option<&'a Versioned<Eviction>>,
}

/// One node as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Its id.
    pub id: &'a NodeId,
    /// What people want of it; nothing if that does not decode.
    pub spec: Option<&'a Versioned<NodeSpec>>,
    /// Its summary; nothing if there is none, or if it does not decode.
    pub status: Option<&'a Versioned<NodeStatus>>,
}

impl NodeView<'_> {
    /// Whether people want its tasks left as they are.
    pub fn is_paused(&self) -> bool {
        self.spec.is_some_and(|spec| spec.availability == Availability::Pause)
    }
}

impl Tasks {
    /// Makes `entry` the state of `key`, and names whose tasks it concerns. Keys of other kinds change nothing.
    pub fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Owner> {
        if let Key::Task(at) = key {
            self.apply_task(at, entry)
        } else if let Key::TaskStatus(at) = key {
            self.statuses.set(at, entry);
            self.owner(at)
        } else if let Key::Node(node) = key {
            let before = (self.nodes.has(node), self.node(node).is_paused());
            self.nodes.set(node, entry);
            let is_same = before == (entry.is_some(), self.node(node).is_paused());
            if is_same { Vec::new() } else { self.owners_on(node) }
        } else if let Key::NodeStatus(node) = key {
            let was_down = self.is_down(node);
            self.node_statuses.set(node, entry);
            if was_down || self.is_down(node) { self.owners_on(node) } else { Vec::new() }
        } else if let Key::Eviction(at) = key {
            self.evictions.set(at, entry);
            self.owner(at)
        } else {
            Vec::new()
        }
    }

    fn owner(&self, at: &TaskRef) -> Vec<Owner> {
        self.specs.get(at).map(|task| Owner::Uid(task.uid.clone())).into_iter().collect()
    }

    fn apply_task(&mut self, at: &TaskRef, entry: Option<&Entry>) -> Vec<Owner> {
        let was_damaged = self.specs.invalid(at).is_some();
        let old = self.specs.set(at, entry);
        let new = self.specs.get(at).cloned();
        let is_damaged = self.specs.invalid(at).is_some();
        let mut owners = BTreeSet::new();
        if let Some(old) = old {
            self.unlink(at, &old);
            owners.insert(Owner::Uid(old.uid.clone()));
        }
        if let Some(new) = new {
            self.link(at, &new);
            owners.insert(Owner::Uid(new.uid.clone()));
        }
        if was_damaged || is_damaged {
            owners.extend(self.mark(at, is_damaged));
        }
        owners.into_iter().collect()
    }

    /// Notes whether the value at `at` does not decode; its name alone tells whose it is.
    fn mark(&mut self, at: &TaskRef, is_damaged: bool) -> Option<Owner> {
        let name: Name = at.name.service().parse().ok()?;
        let service = ServiceRef::new(at.stack.clone(), name);
        let damaged = self.damaged.entry(service.clone()).or_default();
        if is_damaged {
            damaged.insert(at.clone());
        } else {
            damaged.remove(at);
        }
        Some(Owner::Named(service))
    }

    fn link(&mut self, at: &TaskRef, task: &Task) {
        let slots = self.by_service.entry(task.uid.clone()).or_default();
        slots.entry(task.slot.clone()).or_default().insert(at.clone());
        if let Some(node) = at.place.node() {
            self.by_node.entry(node.clone()).or_default().insert(at.clone(), task.uid.clone());
        }
    }

    fn unlink(&mut self, at: &TaskRef, task: &Task) {
        if let Some(slots) = self.by_service.get_mut(&task.uid) {
            if slots.get_mut(&task.slot).is_some_and(|tasks| tasks.remove(at) && tasks.is_empty()) {
                slots.remove(&task.slot);
            }
            if slots.is_empty() {
                self.by_service.remove(&task.uid);
            }
        }
        if let Some(node) = at.place.node()
            && self.by_node.get_mut(node).is_some_and(|tasks| tasks.remove(at).is_some() && tasks.is_empty())
        {
            self.by_node.remove(node);
        }
    }

    fn owners_on(&self, node: &NodeId) -> Vec<Owner> {
        let uids: BTreeSet<&Uid> = self.by_node.get(node).into_iter().flat_map(BTreeMap::values).collect();
        uids.into_iter().cloned().map(Owner::Uid).collect()
    }

    fn is_down(&self, node: &NodeId) -> bool {
        self.node_statuses.get(node).is_some_and(|status| status.state == NodeState::Down)
    }

    /// The uids of services that have tasks.
    pub fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.by_service.keys()
    }

    /// Whether the service `uid` has tasks.
    pub fn has(&self, uid: &Uid) -> bool {
        self.by_service.contains_key(uid)
    }

    /// The tasks of the service `uid` by slot, in each slot the oldest first.
    pub fn slots(&self, uid: &Uid) -> BTreeMap<&Slot, Vec<Run<'_>>> {
        let slots = self.by_service.get(uid).into_iter().flatten();
        slots.map(|(slot, tasks)| (slot, self.runs(tasks))).collect()
    }

    /// The tasks of the service named `service` whose values do not decode.
    pub fn damaged(&self, service: &ServiceRef) -> impl Iterator<Item = &TaskRef> {
        self.damaged.get(service).into_iter().flatten()
    }

    /// The nodes that have a spec, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        let mut ids: Vec<&NodeId> = self.nodes.iter().map(|(id, _)| id).collect();
        ids.extend(self.nodes.invalid_keys());
        ids.sort();
        ids.into_iter().map(|id| self.node(id))
    }

    /// What is known of the node `id`, which may not be there.
    pub fn node<'a>(&'a self, id: &'a NodeId) -> NodeView<'a> {
        NodeView { id, spec: self.nodes.get(id), status: self.node_statuses.get(id) }
    }

    /// Whether the node `id` has a spec, valid or not.
    pub fn has_node(&self, id: &NodeId) -> bool {
        self.nodes.has(id)
    }

    fn runs<'a>(&'a self, tasks: &'a BTreeSet<TaskRef>) -> Vec<Run<'a>> {
        let mut runs: Vec<Run<'a>> = tasks.iter().filter_map(|at| self.run(at)).collect();
        runs.sort_by_key(|run| run.at.name.planned_at());
        runs
    }

    fn run<'a>(&'a self, at: &'a TaskRef) -> Option<Run<'a>> {
        let task = self.specs.get(at)?;
        let status = self.statuses.get(at);
        let home = self.home(&at.place);
        Some(Run {
            at,
            task,
            status,
            state: TaskState::observed(&at.place, status.map(|status| &*status.value), home != Home::Removed),
            home,
            status_at: self.statuses.stamp(at).map(|stamp| stamp.modified),
            eviction: self.evictions.get(at),
        })
    }

    fn home(&self, place: &Place) -> Home {
        match place {
            Place::Pending => Home::None,
            Place::Node(node) if !self.nodes.has(node) => Home::Removed,
            Place::Node(node) => match self.node_statuses.get(node) {
                Some(status) if status.state == NodeState::Down => Home::Down(status.stamp.modified),
                Some(_) | None => Home::Node,
            },
        }
    }
}

impl NodeView<'_> {
    /// Expects what people want of it as it is.
    pub fn spec_unchanged(&self) -> Guard {
        Guard {
            key: Key::Node(self.id.clone()),
            expect: self.spec.map_or(Expect::Absent, Versioned::modified),
        }
    }

    /// Expects its summary as it is.
    pub fn status_unchanged(&self) -> Guard {
        let expect = self.status.map_or(Expect::Absent, Versioned::modified);
        Guard { key: Key::NodeStatus(self.id.clone()), expect }
    }
}

impl Run<'_> {
    /// Whether it has ended, or never can go on: nothing of it runs.
    pub fn is_ended(&self) -> bool {
        self.state.is_terminal()
    }

    /// Whether it is on a node that is Down, so that nobody knows how it is.
    pub fn is_lost(&self) -> bool {
        !self.is_ended() && matches!(self.home, Home::Down(_))
    }

    /// Whether it holds its slot: it has not ended, as far as can be known.
    pub fn is_alive(&self) -> bool {
        !self.is_ended() && !self.is_lost()
    }

    /// Whether its status does not decode, so that nobody knows how far it is.
    pub fn is_damaged(&self) -> bool {
        self.status.is_none() && self.status_at.is_some()
    }

    /// Whether it is wanted, now or in a moment.
    pub fn is_wanted(&self) -> bool {
        self.task.desired < DesiredState::Shutdown
    }

    /// Whether it is wanted to run, not only to be prepared: for ever, or to its end.
    pub fn is_wanted_running(&self) -> bool {
        matches!(self.task.desired, DesiredState::Running | DesiredState::Complete)
    }

    /// Whether it serves: it is wanted, and it runs.
    pub fn is_serving(&self) -> bool {
        self.is_wanted_running() && self.state == TaskState::Running && !self.is_lost()
    }

    /// Whether it ended by itself. One whose node was removed did not.
    pub fn ended_by_itself(&self) -> bool {
        self.is_ended() && self.state != TaskState::Orphaned
    }

    /// Expects the request that it leave its node as it is, there or not.
    pub fn eviction_unchanged(&self) -> Guard {
        let expect = self.eviction.map_or(Expect::Absent, Versioned::modified);
        Guard { key: Key::Eviction(self.at.clone()), expect }
    }

    /// Expects the task as it is.
    pub fn unchanged(&self) -> Guard {
        Guard { key: Key::Task(self.at.clone()), expect: self.task.modified() }
    }

    /// Expects what is said of it as it is.
    pub fn status_unchanged(&self) -> Guard {
        let expect = self.status_at.map_or(Expect::Absent, Expect::Modified);
        Guard { key: Key::TaskStatus(self.at.clone()), expect }
    }

    /// Expects what says that it is not alive: its final status, or the state of its node.
    pub fn still_over(&self) -> Guard {
        match (self.home, &self.at.place) {
            (Home::Removed, Place::Node(node)) => {
                Guard { key: Key::Node(node.clone()), expect: Expect::Absent }
            }
            (Home::Down(modified), Place::Node(node)) if !self.is_ended() => {
                Guard { key: Key::NodeStatus(node.clone()), expect: Expect::Modified(modified) }
            }
            _ => self.status_unchanged(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_api::object::{Invalid, Object};
    use skep_api::task::Cause;

    use super::*;
    use crate::table::Stamp;

    fn uid() -> Uid {
        Uid::derive("c", "k", 1)
    }

    fn node() -> NodeId {
        NodeId::from_random(1)
    }

    fn at(place: Place) -> TaskRef {
        TaskRef { place, stack: "shop".parse().unwrap(), name: "web.1.0000a".parse().unwrap() }
    }

    fn service() -> ServiceRef {
        ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap())
    }

    fn entry(object: impl Into<Object>) -> Entry {
        Entry { value: Ok(object.into()), stamp: Stamp { created: 3, modified: 7 } }
    }

    fn task() -> Entry {
        entry(Task {
            attempts: Vec::new(),
            created: skep_api::time::Timestamp::default(),
            uid: uid(),
            service: service(),
            slot: Slot::Number(1),
            revision: 1,
            desired: DesiredState::Running,
            cause: Cause::New,
            replaces: None,
            start_after: None,
            restarts: 0,
            streak: 0,
            generic: BTreeMap::new(),
        })
    }

    fn down() -> Entry {
        entry(NodeStatus { state: NodeState::Down, ..NodeStatus::default() })
    }

    /// The home of the only task, and whether it is alive.
    fn home(tasks: &Tasks) -> (Home, bool) {
        let runs: Vec<Run<'_>> = tasks.slots(&uid()).into_values().flatten().collect();
        assert_eq!(runs.len(), 1);
        (runs[0].home, runs[0].is_alive())
    }

    #[test]
    fn a_task_that_is_placed_is_one_task_and_its_node_decides_how_it_is() {
        let mut tasks = Tasks::default();
        tasks.apply(&Key::Task(at(Place::Pending)), Some(&task()));
        assert_eq!(home(&tasks), (Home::None, true));
        tasks.apply(&Key::Task(at(Place::Pending)), None);
        tasks.apply(&Key::Task(at(Place::Node(node()))), Some(&task()));
        assert_eq!(home(&tasks), (Home::Removed, false), "its node has no spec");
        let spec = entry(NodeSpec {
            drain: skep_api::node::DrainMode::default(),
            name: "n1".to_owned(),
            role: skep_api::node::Role::Worker,
            availability: skep_api::node::Availability::Active,
            labels: BTreeMap::new(),
        });
        assert_eq!(tasks.apply(&Key::Node(node()), Some(&spec)), [Owner::Uid(uid())]);
        assert_eq!(home(&tasks), (Home::Node, true));
        assert_eq!(tasks.apply(&Key::Node(node()), Some(&spec)), [], "an edit of a node moves no task");
        assert_eq!(tasks.apply(&Key::NodeStatus(node()), Some(&down())), [Owner::Uid(uid())]);
        assert_eq!(home(&tasks), (Home::Down(7), false));
        tasks.apply(&Key::Task(at(Place::Node(node()))), None);
        assert!(!tasks.has(&uid()) && tasks.by_node.is_empty() && tasks.by_service.is_empty());
    }

    #[test]
    fn an_eviction_is_known_to_the_task_that_it_is_about() {
        let mut tasks = Tasks::default();
        let placed = at(Place::Node(node()));
        tasks.apply(&Key::Task(placed.clone()), Some(&task()));
        let eviction = entry(Eviction {
            reason: skep_api::eviction::EvictionReason::Drain,
            message: String::new(),
            since: skep_api::time::Timestamp::default(),
            now: false,
        });
        let evicted = |tasks: &Tasks| {
            tasks
                .slots(&uid())
                .into_values()
                .flatten()
                .any(|run| run.eviction.is_some_and(|found| !found.now))
        };
        assert!(!evicted(&tasks));
        assert_eq!(tasks.apply(&Key::Eviction(placed.clone()), Some(&eviction)), [Owner::Uid(uid())]);
        assert!(evicted(&tasks));
        assert_eq!(tasks.apply(&Key::Eviction(placed.clone()), None), [Owner::Uid(uid())]);
        assert!(!evicted(&tasks));
        assert_eq!(tasks.apply(&Key::Eviction(at(Place::Pending)), Some(&eviction)), []);
    }

    #[test]
    fn a_task_that_does_not_decode_is_told_by_its_name() {
        let mut tasks = Tasks::default();
        let key = Key::Task(at(Place::Pending));
        tasks.apply(&key, Some(&task()));
        let invalid = Arc::new(Invalid { reason: "cut off".to_owned() });
        let damaged = Entry { value: Err(invalid), stamp: Stamp { created: 3, modified: 8 } };
        let owners = [Owner::Uid(uid()), Owner::Named(service())];
        assert_eq!(tasks.apply(&key, Some(&damaged)), owners);
        assert_eq!(tasks.damaged(&service()).count(), 1);
        assert!(!tasks.has(&uid()));
        assert_eq!(tasks.apply(&key, Some(&task())), owners);
        assert_eq!(tasks.damaged(&service()).count(), 0);
    }
}
