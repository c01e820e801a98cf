//! The node controller's world: what people, leases and agents say of each node, and the tasks that it has.

use std::collections::BTreeSet;

use skep_api::ident::NodeId;
use skep_api::key::{Key, TaskRef};
use skep_api::node::{NodeReport, NodeSpec, NodeState, NodeStatus, Session};
use skep_api::object::Invalid;
use skep_runtime::controller::World;
use skep_runtime::plan::Expect;
use skep_runtime::table::{Entry, Stamp, Table};

use crate::census::Census;
use crate::drain::is_drained;
use crate::subject::Subject;
use crate::tasks::Tasks;

/// Everything that the node controller decides from.
#[derive(Debug, Default)]
pub struct NodeWorld {
    pub(crate) specs: Table<NodeId, NodeSpec>,
    sessions: Table<NodeId, Session>,
    pub(crate) reports: Table<NodeId, NodeReport>,
    pub(crate) statuses: Table<NodeId, NodeStatus>,
    pub(crate) tasks: Tasks,
    census: Census,
}

impl World for NodeWorld {
    type Key = Subject;

    fn new(_cluster: &str) -> Self {
        Self::default()
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other kinds there are, and will be, says nothing of nodes.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        match key {
            Key::Node(node) => self.set_spec(node, entry),
            Key::NodeSession(node) => {
                self.sessions.set(node, entry);
                self.recount(node)
            }
            Key::NodeReport(node) => {
                self.reports.set(node, entry);
                self.recount(node)
            }
            Key::NodeStatus(node) => {
                self.statuses.set(node, entry);
                self.recount(node)
            }
            Key::Task(task) => {
                let is_changed = self.tasks.set_task(task, entry);
                self.touched(task, is_changed)
            }
            Key::TaskStatus(task) => {
                let is_changed = self.tasks.set_status(task, entry);
                self.touched(task, is_changed)
            }
            Key::Eviction(task) => {
                self.tasks.set_eviction(task, entry);
                vec![Subject::Task(task.clone())]
            }
            Key::Revision(service, number) => {
                let nodes = self.tasks.set_revision(service, *number, entry);
                nodes.into_iter().map(Subject::Node).collect()
            }
            _ => Vec::new(),
        }
    }

    fn all(&self) -> Vec<Subject> {
        let specs = keys(&self.specs);
        let nodes: BTreeSet<NodeId> = specs.chain(keys(&self.statuses)).chain(keys(&self.reports)).collect();
        let drained = self.specs.iter().filter(|(_, spec)| is_drained(spec));
        let tasks = drained.flat_map(|(node, _)| self.tasks.on(node)).map(|(task, _)| task);
        let tasks: BTreeSet<&TaskRef> = tasks.chain(self.tasks.evicted()).collect();
        let tasks = tasks.into_iter().cloned().map(Subject::Task);
        nodes.into_iter().map(Subject::Node).chain(tasks).collect()
    }
}

impl NodeWorld {
    /// Whether the nodes that vanished are not given up.
    pub(crate) fn holds_back(&self) -> bool {
        self.census.holds_back()
    }

    /// The session of `node`: a heartbeat counts whatever is written in it.
    pub(crate) fn session(&self, node: &NodeId) -> Option<Expect> {
        stamp(&self.sessions, node).map(|stamp| Expect::Created(stamp.created))
    }

    /// The revisions of the spec of `node`, and why it does not decode if it does not.
    pub(crate) fn spec(&self, node: &NodeId) -> Option<(Stamp, Result<&NodeSpec, &Invalid>)> {
        match (self.specs.get(node), self.specs.invalid(node)) {
            (Some(spec), _) => Some((spec.stamp, Ok(&**spec))),
            (None, Some((invalid, stamp))) => Some((*stamp, Err(&**invalid))),
            (None, None) => None,
        }
    }

    /// Tasks are touched if the node is drained, was, or is no more there than before.
    fn set_spec(&mut self, node: &NodeId, entry: Option<&Entry>) -> Vec<Subject> {
        let had_spec = self.specs.has(node);
        let was_drained = self.is_drained(node);
        self.specs.set(node, entry);
        let mut touched = self.recount(node);
        if was_drained || self.is_drained(node) || had_spec != self.specs.has(node) {
            touched.extend(self.tasks.on(node).map(|(task, _)| Subject::Task(task.clone())));
        }
        touched
    }

    fn is_drained(&self, node: &NodeId) -> bool {
        self.specs.get(node).is_some_and(|spec| is_drained(spec))
    }

    /// What a change of `task` touches: its node if that holds something else now, and the task itself if it may have to
    /// leave, or was asked to.
    fn touched(&self, task: &TaskRef, is_changed: bool) -> Vec<Subject> {
        let Some(node) = task.place.node() else { return Vec::new() };
        let is_evicted = self.tasks.get(task).is_some_and(|record| record.eviction.is_some());
        let may_leave = is_evicted || self.is_drained(node);
        let task = may_leave.then(|| Subject::Task(task.clone()));
        is_changed.then(|| Subject::Node(node.clone())).into_iter().chain(task).collect()
    }

    /// Counts `node` anew; returns it, and everybody who vanished if they are judged differently now.
    fn recount(&mut self, node: &NodeId) -> Vec<Subject> {
        let before = self.holds_back();
        let state = self.statuses.get(node).map_or(NodeState::Unknown, |status| status.state);
        self.census.count(node, self.specs.has(node), self.sessions.has(node), state);
        let mut touched = vec![Subject::Node(node.clone())];
        if self.holds_back() != before {
            let others = self.census.vanished().filter(|other| *other != node);
            touched.extend(others.cloned().map(Subject::Node));
        }
        touched
    }
}

/// The revisions of `key` in `table`, whether its value decodes or not.
pub(crate) fn stamp<T>(table: &Table<NodeId, T>, key: &NodeId) -> Option<Stamp> {
    table.get(key).map(|value| value.stamp).or_else(|| table.invalid(key).map(|(_, stamp)| *stamp))
}

fn keys<T>(table: &Table<NodeId, T>) -> impl Iterator<Item = NodeId> {
    table.iter().map(|(key, _)| key).chain(table.invalid_keys()).cloned()
}
