//! The node controller's world: what people, leases and agents say of each node.

use std::collections::BTreeSet;

use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{NodeReport, NodeSpec, NodeState, NodeStatus, Session};
use skep_api::object::Invalid;
use skep_runtime::controller::World;
use skep_runtime::plan::Expect;
use skep_runtime::table::{Entry, Stamp, Table};

use crate::census::Census;

/// Everything that the node controller decides from.
#[derive(Debug, Default)]
pub struct NodeWorld {
    pub(crate) specs: Table<NodeId, NodeSpec>,
    sessions: Table<NodeId, Session>,
    pub(crate) reports: Table<NodeId, NodeReport>,
    pub(crate) statuses: Table<NodeId, NodeStatus>,
    census: Census,
}

impl World for NodeWorld {
    type Key = NodeId;

    fn new(_cluster: &str) -> Self {
        Self::default()
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other kinds there are, and will be, says nothing of nodes.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<NodeId> {
        let node = match key {
            Key::Node(node) => {
                self.specs.set(node, entry);
                node
            }
            Key::NodeSession(node) => {
                self.sessions.set(node, entry);
                node
            }
            Key::NodeReport(node) => {
                self.reports.set(node, entry);
                node
            }
            Key::NodeStatus(node) => {
                self.statuses.set(node, entry);
                node
            }
            _ => return Vec::new(),
        };
        self.recount(node)
    }

    fn all(&self) -> Vec<NodeId> {
        let specs = keys(&self.specs);
        specs
            .chain(keys(&self.statuses))
            .chain(keys(&self.reports))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
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

    /// Counts `node` anew; returns it, and everybody who vanished if they are judged differently now.
    fn recount(&mut self, node: &NodeId) -> Vec<NodeId> {
        let before = self.holds_back();
        let state = self.statuses.get(node).map_or(NodeState::Unknown, |status| status.state);
        self.census.count(node, self.specs.has(node), self.sessions.has(node), state);
        let mut touched = vec![node.clone()];
        if self.holds_back() != before {
            touched.extend(self.census.vanished().filter(|other| *other != node).cloned());
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
