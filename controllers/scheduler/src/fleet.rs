//! All nodes, with the orders in which the scheduler walks them.

use std::collections::{BTreeMap, BTreeSet, btree_set};

use skep_api::ident::{NodeId, Uid};
use skep_api::task::Task;
use skep_api::time::Timestamp;
use skep_runtime::table::Versioned;

use crate::demands::Demands;
use crate::faults::{Avoided, Faults};
use crate::ledger::Edited;
use crate::lookup::Lookup;
use crate::node::{Node, NodeNumber};
use crate::record::{Record, TaskId};
use crate::subject::Group;
use crate::succession::Succession;

/// How many active tasks of one service are on each node that has any.
pub(crate) type Counts = BTreeMap<NodeNumber, u32>;

/// The place of an open node in an order, the emptiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// [`Node::fullness`], in an order in which that matters.
    pub(crate) fullness: u32,
    /// Active tasks.
    pub(crate) tasks: u32,
    pub(crate) node: NodeNumber,
}

/// Open nodes in an order.
pub(crate) type Spots<'w> = btree_set::Iter<'w, Spot>;

/// How many tasks of a service simply run, and with how many something else is the matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calm {
    pub(crate) running: u32,
    pub(crate) others: u32,
}

/// All nodes and the indices over them.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    nodes: Vec<Option<Node>>,
    /// Places of nodes that are gone.
    vacant: Vec<u32>,
    numbers: BTreeMap<u64, NodeNumber>,
    /// Open nodes, those with the fewest active tasks first.
    by_tasks: BTreeSet<Spot>,
    /// Open nodes, those of which the least is set aside first.
    by_fullness: BTreeSet<Spot>,
    services: Lookup<Uid, Counts>,
    calm: Lookup<Uid, Calm>,
    /// Where each placed task is.
    homes: Lookup<TaskId, NodeNumber>,
    faults: Faults,
    /// Which tasks replace which.
    pub(crate) succession: Succession,
}

impl Fleet {
    /// The node `number`.
    pub(crate) fn node(&self, number: NodeNumber) -> Option<&Node> {
        self.nodes.get(number.place()).and_then(Option::as_ref)
    }

    /// The number of the node `id`, if anything is known of it.
    pub(crate) fn number(&self, id: &NodeId) -> Option<NodeNumber> {
        self.numbers.get(&NodeNumber::id(id)).copied()
    }

    /// The node `id`.
    pub(crate) fn find(&self, id: &NodeId) -> Option<(NodeNumber, &Node)> {
        let number = self.number(id)?;
        self.node(number).map(|node| (number, node))
    }

    /// Every node of which anything is known, in the order of the ids.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.all().map(|(_, node)| &node.id)
    }

    /// Every node that there is, in the order of the ids.
    pub(crate) fn known(&self) -> impl Iterator<Item = (NodeNumber, &Node)> {
        self.all().filter(|(_, node)| node.is_known)
    }

    fn all(&self) -> impl Iterator<Item = (NodeNumber, &Node)> {
        self.numbers.values().filter_map(|number| self.node(*number).map(|node| (*number, node)))
    }

    /// Open nodes, those with the fewest active tasks first.
    pub(crate) fn by_tasks(&self) -> Spots<'_> {
        self.by_tasks.iter()
    }

    /// Open nodes, those of which the least is set aside first, then those with the fewest active tasks.
    pub(crate) fn by_fullness(&self) -> Spots<'_> {
        self.by_fullness.iter()
    }

    /// Where the tasks of `service` are.
    pub(crate) fn counts(&self, service: &Uid) -> Option<&Counts> {
        self.services.get(service)
    }

    /// How the tasks of `service` that have a node are.
    pub(crate) fn calm(&self, service: &Uid) -> Calm {
        self.calm.get(service).copied().unwrap_or_default()
    }

    /// The nodes on which tasks of `group` have failed too often in the last minutes.
    pub(crate) fn avoided(&self, group: &Group, now: Timestamp) -> Avoided {
        self.faults.avoided(group, &self.succession, now)
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

    /// Changes what is known of the node `id`, and its places in the orders with it.
    pub(crate) fn change<R>(&mut self, id: &NodeId, edit: impl FnOnce(NodeNumber, &mut Node) -> R) -> R {
        let number = self.enter(id);
        let slot = self.nodes.get_mut(number.place());
        let node = slot.and_then(Option::as_mut);
        // `enter` has just made it.
        let Some(node) = node else { return edit(number, &mut Node::new(id.clone())) };
        let before = spots(number, node);
        let outcome = edit(number, node);
        let after = spots(number, node);
        if node.is_forgotten() {
            self.leave(number);
        }
        if before.0 != after.0 {
            before.0.map(|spot| self.by_tasks.remove(&spot));
            after.0.map(|spot| self.by_tasks.insert(spot));
        }
        if before.1 != after.1 {
            before.1.map(|spot| self.by_fullness.remove(&spot));
            after.1.map(|spot| self.by_fullness.insert(spot));
        }
        outcome
    }

    fn enter(&mut self, id: &NodeId) -> NodeNumber {
        if let Some(number) = self.number(id) {
            return number;
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            u32::try_from(self.nodes.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let number = NodeNumber::new(id, place);
        if let Some(slot) = self.nodes.get_mut(number.place()) {
            *slot = Some(Node::new(id.clone()));
        }
        self.numbers.insert(NodeNumber::id(id), number);
        number
    }

    fn leave(&mut self, number: NodeNumber) {
        let gone = self.nodes.get_mut(number.place()).and_then(Option::take);
        if let Some(node) = gone {
            self.numbers.remove(&NodeNumber::id(&node.id));
            self.vacant.extend(u32::try_from(number.place()));
        }
    }

    /// Gives the task `id` on `node` new revisions if it is known as it is, value and all; returns whether it is.
    pub(crate) fn stamp_task(&mut self, node: &NodeId, id: &TaskId, task: &Versioned<Task>) -> bool {
        let place = self.number(node).map(NodeNumber::place);
        let node = place.and_then(|place| self.nodes.get_mut(place)).and_then(Option::as_mut);
        node.is_some_and(|node| node.ledger.stamp(id, task))
    }

    /// Changes what is known of the task `id` on `node`. Returns whether something was set free.
    pub(crate) fn edit_task(
        &mut self,
        node: &NodeId,
        id: &TaskId,
        demands: &Demands,
        edit: impl FnOnce(&mut Record),
    ) -> bool {
        let (number, edited) =
            self.change(node, |number, node| (number, node.ledger.edit(id, demands, edit)));
        if let Some(task) = &edited.task {
            self.count(&task.uid, number, &edited);
            self.calm_down(&task.uid, edited.calm_before, edited.calm_now);
            if edited.end_before != edited.end_now {
                self.faults.set_end(id, &Group::of(task), number, edited.end_now);
            }
        }
        if edited.is_there && !edited.was_there {
            self.homes.insert(id.clone(), number);
        } else if edited.was_there && !edited.is_there && self.home(id) == Some(number) {
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
        self.all().flat_map(|(_, node)| on(node)).collect()
    }

    fn calm_down(&mut self, service: &Uid, before: Option<bool>, now: Option<bool>) {
        if before == now {
            return;
        }
        let mut calm = self.calm(service);
        for (standing, step) in [(before, -1), (now, 1)] {
            match standing {
                Some(true) => calm.running = calm.running.saturating_add_signed(step),
                Some(false) => calm.others = calm.others.saturating_add_signed(step),
                None => {}
            }
        }
        if calm == Calm::default() {
            self.calm.remove(service);
        } else {
            self.calm.insert(service.clone(), calm);
        }
    }

    fn count(&mut self, service: &Uid, number: NodeNumber, edited: &Edited) {
        if edited.active_before == edited.active_now {
            return;
        }
        if !self.services.has(service) {
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

/// The places of `node` in the two orders, if it is open.
fn spots(number: NodeNumber, node: &Node) -> (Option<Spot>, Option<Spot>) {
    if node.opening().is_none() {
        return (None, None);
    }
    let by_tasks = Spot { fullness: 0, tasks: node.ledger.load().active, node: number };
    (Some(by_tasks), Some(Spot { fullness: node.fullness(None), ..by_tasks }))
}
