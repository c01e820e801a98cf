//! All nodes, with the orders in which the scheduler walks them.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::{NodeId, Uid};

use crate::demands::Demands;
use crate::ledger::Edited;
use crate::node::{Node, NodeNumber};
use crate::record::{Record, TaskId};
use crate::subject::Group;

/// How many active tasks of one service are on each node that has any.
pub(crate) type Counts = BTreeMap<NodeNumber, u32>;

/// All nodes and the indices over them.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    nodes: BTreeMap<NodeNumber, Node>,
    /// Open nodes, those with the fewest active tasks first.
    by_load: BTreeSet<(u32, NodeNumber)>,
    services: BTreeMap<Uid, Counts>,
    /// Where each placed task is.
    homes: BTreeMap<TaskId, NodeNumber>,
}

impl Fleet {
    /// The node `number`.
    pub(crate) fn node(&self, number: NodeNumber) -> Option<&Node> {
        self.nodes.get(&number)
    }

    /// The node `id`.
    pub(crate) fn find(&self, id: &NodeId) -> Option<(NodeNumber, &Node)> {
        let number = NodeNumber::from(id);
        self.node(number).map(|node| (number, node))
    }

    /// Every node of which anything is known, in the order of the ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.values().map(|node| &node.id)
    }

    /// Every node that there is, in the order of the ids.
    pub(crate) fn known(&self) -> impl Iterator<Item = (NodeNumber, &Node)> {
        self.nodes.iter().filter(|(_, node)| node.is_known).map(|(number, node)| (*number, node))
    }

    /// Open nodes with their numbers of active tasks, fewest first.
    pub(crate) fn by_load(&self) -> impl Iterator<Item = (u32, NodeNumber)> {
        self.by_load.iter().copied()
    }

    /// Where the tasks of `service` are.
    pub(crate) fn counts(&self, service: &Uid) -> Option<&Counts> {
        self.services.get(service)
    }

    /// The nodes on which tasks of `service` are that are wanted and have not ended.
    pub(crate) fn nodes_of(&self, service: &Uid) -> impl Iterator<Item = &NodeId> {
        let numbers = self.counts(service).into_iter().flat_map(BTreeMap::keys);
        numbers.filter_map(|number| self.node(*number)).map(|node| &node.id)
    }

    /// The node of the placed task `id`.
    pub(crate) fn home(&self, id: &TaskId) -> Option<NodeNumber> {
        self.homes.get(id).copied()
    }

    /// Changes what is known of the node `id`, and its place in the order with it.
    pub(crate) fn change<R>(&mut self, id: &NodeId, edit: impl FnOnce(&mut Node) -> R) -> R {
        let number = NodeNumber::from(id);
        let node = self.nodes.entry(number).or_insert_with(|| Node::new(id.clone()));
        let before = node.opening().map(|_| (node.ledger.load().active, number));
        let outcome = edit(node);
        let after = node.opening().map(|_| (node.ledger.load().active, number));
        if node.is_forgotten() {
            self.nodes.remove(&number);
        }
        if before != after {
            before.map(|place| self.by_load.remove(&place));
            after.map(|place| self.by_load.insert(place));
        }
        outcome
    }

    /// Changes what is known of the task `id` on `node`. Returns whether something was set free.
    pub(crate) fn edit_task(
        &mut self,
        node: &NodeId,
        id: &TaskId,
        demands: &Demands,
        edit: impl FnOnce(&mut Record),
    ) -> bool {
        let number = NodeNumber::from(node);
        let edited = self.change(node, |node| node.ledger.edit(id, demands, edit));
        if let Some(task) = &edited.task {
            self.count(&task.uid, number, &edited);
        }
        if edited.is_there && !edited.was_there {
            self.homes.insert(id.clone(), number);
        } else if edited.was_there && !edited.is_there && self.homes.get(id) == Some(&number) {
            self.homes.remove(id);
        }
        edited.is_freed
    }

    /// The nodes and tasks of `group` by scanning all of them: only for a revision that arrives after its tasks.
    pub(crate) fn tasks_of(&self, group: &Group) -> Vec<(NodeId, TaskId)> {
        let on = |node: &Node| {
            let ids = node.ledger.tasks_of(group);
            ids.into_iter().map(|id| (node.id.clone(), id)).collect::<Vec<_>>()
        };
        self.nodes.values().flat_map(on).collect()
    }

    fn count(&mut self, service: &Uid, number: NodeNumber, edited: &Edited) {
        if edited.active_before == edited.active_now {
            return;
        }
        if !self.services.contains_key(service) {
            self.services.insert(service.clone(), Counts::new());
        }
        let Some(counts) = self.services.get_mut(service) else { return };
        let count = counts.entry(number).or_default();
        *count = count.saturating_add(edited.active_now).saturating_sub(edited.active_before);
        if *count == 0 {
            counts.remove(&number);
            if counts.is_empty() {
                self.services.remove(service);
            }
        }
    }
}
