//! Chooses nodes for the tasks of one group: fewest tasks of the service, then fewest tasks, then the first id. A task that
//! belongs to a node (global services and jobs) goes there or nowhere, through the same filters.
//!
//! Nodes without a task of the service come first and are walked in the fleet's order, one step per task; the others
//! are sorted only when those are used up. So a plan costs what its tasks cost, and not what the cluster would.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use skep_api::key::TaskRef;
use skep_api::task::{Task, TaskState};

use crate::filter::{Miss, Trial};
use crate::fleet::{Counts, Fleet};
use crate::load::Load;
use crate::node::{Node, NodeNumber};
use crate::record::{self, TaskId};
use crate::rules::Rules;
use crate::subject::Group;

/// How good a node is for the next task: the smaller, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Tasks of the service.
    replicas: u32,
    /// Tasks of all services.
    tasks: u32,
    node: NodeNumber,
}

/// The node of the task that a staged task replaces, and what the staged one would take there.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) node: NodeNumber,
    pub(crate) need: Load,
    replaced: TaskId,
}

/// The placing of one group.
pub(crate) struct Placing<'w> {
    fleet: &'w Fleet,
    /// What one task takes.
    share: &'w Load,
    rules: &'w Rules,
    counts: Option<&'w Counts>,
    /// What this plan has put on nodes.
    planned: BTreeMap<NodeNumber, Load>,
    /// Tasks beside which this plan has staged one.
    taken_over: BTreeSet<TaskId>,
    /// Nodes that may have no task of the service, best first.
    fresh: Peekable<Box<dyn Iterator<Item = (u32, NodeNumber)> + 'w>>,
    /// Nodes that have some, best first.
    others: BTreeSet<Rank>,
    /// Whether `others` has all of them, and not only those that this plan has used.
    is_complete: bool,
}

impl<'w> Placing<'w> {
    /// Begins to place tasks of `group`.
    pub(crate) fn new(fleet: &'w Fleet, group: &Group, share: &'w Load, rules: &'w Rules) -> Self {
        let fresh: Box<dyn Iterator<Item = _>> = Box::new(fleet.by_load());
        Self {
            fleet,
            share,
            rules,
            counts: fleet.counts(&group.service),
            planned: BTreeMap::new(),
            taken_over: BTreeSet::new(),
            fresh: fresh.peekable(),
            others: BTreeSet::new(),
            is_complete: false,
        }
    }

    /// The node for `task`, if there is one. The next task is placed as if this one were there.
    pub(crate) fn place(&mut self, key: &TaskRef, task: &Task) -> Option<&'w Node> {
        let home = self.home(key, task).filter(|home| self.miss(home.node, &home.need).is_none());
        if let Some(only) = record::own_node(task) {
            return self.place_on(NodeNumber::from(only), home);
        }
        let best = self.best();
        match (home, best) {
            (Some(home), best) if best.is_none_or(|best| self.is_home_better(&home, best)) => {
                let node = home.node;
                self.taken_over.insert(home.replaced);
                self.put(node, &home.need)
            }
            (_, best) => self.put(best?.node, self.share),
        }
    }

    /// The node `only`, if it takes the task; no other is looked at.
    fn place_on(&mut self, only: NodeNumber, home: Option<Home>) -> Option<&'w Node> {
        match home.filter(|home| home.node == only) {
            Some(home) => {
                self.taken_over.insert(home.replaced);
                self.put(only, &home.need)
            }
            None if self.miss(only, self.share).is_none() => self.put(only, self.share),
            None => None,
        }
    }

    /// Where `task` may be staged beside the task that it replaces, while that one holds anything. Not where that one was
    /// asked to leave: what it holds there is not to be passed on.
    pub(crate) fn home(&self, key: &TaskRef, task: &Task) -> Option<Home> {
        let replaced = TaskId::staged_beside(&key.stack, task, TaskState::Pending)?;
        let node = self.fleet.home(&replaced).filter(|_| !self.taken_over.contains(&replaced))?;
        let ledger = &self.fleet.node(node)?.ledger;
        let is_free = ledger.is_holding(&replaced) && !ledger.is_evicted(&replaced);
        is_free.then(|| Home { node, need: ledger.excess(&replaced, self.share), replaced })
    }

    /// Why `node` cannot take a task that needs `need`.
    pub(crate) fn miss(&self, node: NodeNumber, need: &Load) -> Option<Miss<'w>> {
        let replicas = self.replicas(node);
        let node_state = self.fleet.node(node)?;
        Trial { node: node_state, rules: self.rules, need, planned: self.planned.get(&node), replicas }.miss()
    }

    /// The two are compared as they will be with the task: at home it takes the place of another.
    fn is_home_better(&self, home: &Home, best: Rank) -> bool {
        let there = self.rank(home.node);
        let with = |rank: Rank, active: u32| {
            (rank.replicas.saturating_add(active), rank.tasks.saturating_add(active))
        };
        with(there, home.need.active) <= with(best, self.share.active)
    }

    /// The best node that passes the filters. One that does not never will within this plan, so it is dropped.
    fn best(&mut self) -> Option<Rank> {
        loop {
            let (rank, is_fresh) = self.first()?;
            if self.miss(rank.node, self.share).is_none() {
                return Some(rank);
            }
            if is_fresh {
                self.fresh.next();
            } else {
                self.others.remove(&rank);
            }
        }
    }

    /// The best node that was not dropped, and whether it is one of the fresh ones.
    fn first(&mut self) -> Option<(Rank, bool)> {
        while let Some((tasks, node)) = self.fresh.peek().copied() {
            if self.replicas(node) == 0 {
                return Some((Rank { replicas: 0, tasks, node }, true));
            }
            self.fresh.next();
        }
        if !self.is_complete {
            self.is_complete = true;
            let counted: Vec<Rank> =
                self.counts.into_iter().flat_map(BTreeMap::keys).map(|node| self.rank(*node)).collect();
            self.others.extend(counted);
        }
        self.others.first().map(|rank| (*rank, false))
    }

    fn put(&mut self, number: NodeNumber, need: &Load) -> Option<&'w Node> {
        let node = self.fleet.node(number)?;
        let before = self.rank(number);
        self.planned.entry(number).or_default().add(need);
        self.others.remove(&before);
        self.others.insert(self.rank(number));
        Some(node)
    }

    fn rank(&self, node: NodeNumber) -> Rank {
        let placed = self.fleet.node(node).map_or(0, |node| node.ledger.load().active);
        let planned = self.planned.get(&node).map_or(0, |load| load.active);
        Rank { replicas: self.replicas(node), tasks: placed.saturating_add(planned), node }
    }

    fn replicas(&self, node: NodeNumber) -> u32 {
        let placed = self.counts.and_then(|counts| counts.get(&node)).copied().unwrap_or(0);
        let planned = self.planned.get(&node).map_or(0, |load| load.active);
        placed.saturating_add(planned)
    }
}
