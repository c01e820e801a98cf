//! Chooses nodes for the tasks of one group: away from where they fail, in equal shares over the levels that the service
//! names, then by its strategy. A task that belongs to a node (global services and jobs) goes there or nowhere, through the
//! same filters.

mod rank;
mod state;
mod tree;
mod walk;

use std::collections::BTreeSet;

use skep_api::eviction::EvictionReason;
use skep_api::key::{ServiceRef, TaskRef};
use skep_api::service::Strategy;
use skep_api::task::{Cause, Task, TaskState};
use skep_api::time::Timestamp;

use crate::filter::{Fittings, Miss, Trial};
use crate::fleet::Fleet;
use crate::load::Load;
use crate::node::{Node, NodeNumber};
use crate::record::{self, TaskId};
use crate::rules::{RuleBook, Rules};
use crate::subject::Group;

use rank::Rank;
pub(crate) use rank::Standing;
use state::State;
use tree::Branch;
use walk::{Drawn, Emptiest, Fullest};

/// The node of the task that a staged task replaces, and what the staged one would take there.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) node: NodeNumber,
    pub(crate) need: Load,
    replaced: TaskId,
}

/// The node that was chosen for a task.
pub(crate) struct Choice<'w> {
    pub(crate) node: &'w Node,
    /// The task beside which it is staged there.
    pub(crate) replaced: Option<TaskId>,
}

/// What a group is placed by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'w> {
    pub(crate) group: &'w Group,
    /// What one task takes.
    pub(crate) share: &'w Load,
    pub(crate) rules: &'w Rules,
    /// What else one task needs of its node.
    pub(crate) fittings: &'w Fittings,
    /// The service and all others, for affinity.
    pub(crate) service: &'w ServiceRef,
    pub(crate) book: &'w RuleBook,
    /// The strategy of a service that names none.
    pub(crate) strategy: Strategy,
    pub(crate) now: Timestamp,
}

/// The placing of one group.
pub(crate) struct Placing<'w> {
    state: State<'w>,
    source: Source<'w>,
    /// Tasks beside which this plan has staged one.
    taken_over: BTreeSet<TaskId>,
}

/// Where the next node comes from.
enum Source<'w> {
    Emptiest(Emptiest<'w>),
    Fullest(Fullest<'w>),
    Drawn(Drawn),
    Tree(Box<Branch<'w>>),
}

/// Whether a task fits `node` as it is.
pub(crate) fn fits<'w>(fleet: &'w Fleet, terms: Terms<'w>, node: NodeNumber) -> bool {
    State::new(fleet, terms).fits(node)
}

/// The fleet as a group sees it, to look at and not to place on.
pub(crate) struct Survey<'w>(State<'w>);

impl<'w> Survey<'w> {
    /// What the group sees.
    pub(crate) fn new(fleet: &'w Fleet, terms: Terms<'w>) -> Self {
        Self(State::new(fleet, terms))
    }

    /// The same once a task of the service has left `node`; nothing if that lets nobody in anywhere else.
    pub(crate) fn without_one_on(mut self, node: NodeNumber) -> Option<Self> {
        self.0.take(node).then_some(self)
    }

    pub(crate) fn strategy(&self) -> Strategy {
        self.0.strategy
    }

    /// Active tasks of the service on `node`.
    pub(crate) fn replicas(&self, node: NodeNumber) -> u32 {
        self.0.replicas(node)
    }

    /// What is on `node`, and what a task adds to that: tasks, or how full the node is if the group reserves anything.
    pub(crate) fn load(&self, node: NodeNumber) -> (u32, u32) {
        let standing = self.0.standing(node);
        if !self.0.reserves() {
            return (standing.tasks, 1);
        }
        let fuller = self.0.fleet.node(node).map_or(0, |node| node.fullness(Some(self.0.share)));
        (standing.fullness, fuller.saturating_sub(standing.fullness))
    }

    /// Whether a task fits `node`.
    pub(crate) fn fits(&self, node: NodeNumber) -> bool {
        self.0.fits(node)
    }

    /// Whether tasks of the group fail on `node`.
    pub(crate) fn is_avoided(&self, node: NodeNumber) -> bool {
        self.0.is_avoided(node)
    }

    /// The values of the levels' labels on `node`.
    pub(crate) fn path(&self, node: NodeNumber) -> Vec<&'w str> {
        self.0.path(node)
    }

    /// What one task takes.
    pub(crate) fn share(&self) -> &'w Load {
        self.0.share
    }

    /// Whether it is tasks that make a node full, and not what they set aside.
    pub(crate) fn counts_tasks(&self) -> bool {
        !self.0.reserves()
    }

    /// Sees what a task of another service takes on `node`.
    pub(crate) fn put_foreign(&mut self, node: NodeNumber, load: &Load) {
        self.0.put(node, load);
    }

    /// Sees a further task on `node`.
    pub(crate) fn put(&mut self, node: NodeNumber) {
        self.0.put(node, self.0.share);
    }
}

impl<'w> Placing<'w> {
    /// Begins to place tasks of a group.
    pub(crate) fn new(fleet: &'w Fleet, terms: Terms<'w>) -> Self {
        let state = State::new(fleet, terms);
        let spots = if state.reserves() { fleet.by_fullness() } else { fleet.by_tasks() };
        let has_levels = !terms.rules.levels.is_empty();
        let source = match state.strategy {
            Strategy::Spread if !has_levels => Source::Emptiest(Emptiest::new(spots)),
            Strategy::Binpack if !has_levels => Source::Fullest(Fullest::new(spots)),
            Strategy::Random if !has_levels => Source::Drawn(Drawn::new(&state)),
            Strategy::Spread | Strategy::Binpack | Strategy::Random => {
                Source::Tree(Box::new(Branch::of(&state)))
            }
        };
        Self { state, source, taken_over: BTreeSet::new() }
    }

    /// The node for `task`, if there is one. The next task is placed as if this one were there.
    pub(crate) fn place(&mut self, key: &TaskRef, task: &Task) -> Option<Choice<'w>> {
        let home = self.home(key, task).filter(|home| self.miss(home.node, &home.need).is_none());
        if let Some(only) = record::own_node(task) {
            let only = self.state.fleet.number(only)?;
            return self.place_on(only, home);
        }
        let best = self.best(key.name.as_str()).filter(|best| Some(best.node) != self.left(key, task));
        match (home, best) {
            (Some(home), best) if best.is_none_or(|best| self.is_home_better(&home, best)) => self.stay(home),
            (_, best) => self.put(best?.node, self.state.share),
        }
    }

    /// The node that `task` is to get away from, because another would suit it better: going there again is no move.
    fn left(&self, key: &TaskRef, task: &Task) -> Option<NodeNumber> {
        let name = task.replaces.as_ref().filter(|_| task.cause == Cause::Evict)?;
        let replaced = TaskId::named(&key.stack, name);
        let node = self.state.fleet.home(&replaced)?;
        let record = self.state.fleet.node(node)?.ledger.record(&replaced)?;
        record.wanted()?;
        // Without a request, that was taken back, and the task is about to be.
        let is_for_the_better =
            record.eviction.is_none_or(|request| request.reason == Some(EvictionReason::Rebalance));
        is_for_the_better.then_some(node)
    }

    /// The node `only`, if it takes the task; no other is looked at.
    fn place_on(&mut self, only: NodeNumber, home: Option<Home>) -> Option<Choice<'w>> {
        match home.filter(|home| home.node == only) {
            Some(home) => self.stay(home),
            None if self.state.fits(only) => self.put(only, self.state.share),
            None => None,
        }
    }

    fn stay(&mut self, home: Home) -> Option<Choice<'w>> {
        self.taken_over.insert(home.replaced.clone());
        let choice = self.put(home.node, &home.need)?;
        Some(Choice { replaced: Some(home.replaced), ..choice })
    }

    /// Where `task` may be staged beside the task that it replaces, while that one holds anything. Not where that one was
    /// asked to leave: what it holds there is not to be passed on.
    pub(crate) fn home(&self, key: &TaskRef, task: &Task) -> Option<Home> {
        let replaced = TaskId::staged_beside(&key.stack, task, TaskState::Pending)?;
        let fleet = self.state.fleet;
        let node = fleet.home(&replaced).filter(|_| !self.taken_over.contains(&replaced))?;
        let ledger = &fleet.node(node)?.ledger;
        let is_free = ledger.is_holding(&replaced) && !ledger.is_evicted(&replaced);
        is_free.then(|| Home { node, need: ledger.excess(&replaced, self.state.share), replaced })
    }

    /// Why `node` cannot take a task that needs `need`.
    pub(crate) fn miss(&self, node: NodeNumber, need: &Load) -> Option<Miss<'w>> {
        self.state.miss(node, need)
    }

    /// A task that needs `need`, tried on `node`.
    pub(crate) fn trial<'a>(&'a self, node: NodeNumber, need: &'a Load) -> Option<Trial<'w, 'a>> {
        self.state.trial(node, need)
    }

    /// The node that the next task would get; for a strategy that draws by the name of the task, a task without one.
    pub(crate) fn choose(&mut self) -> Option<NodeNumber> {
        self.best("").map(|rank| rank.node)
    }

    /// What the node's rank is made of, and how many tasks of the service each branch on its way has, by level.
    pub(crate) fn standing(&self, node: NodeNumber) -> (Standing, Vec<u32>) {
        (self.state.standing(node), self.shares(node))
    }

    /// The two are compared as they will be with the task: at home it takes the place of another.
    fn is_home_better(&self, home: &Home, best: Rank) -> bool {
        let outlook = |node: NodeNumber, active: u32| {
            let shares = self.shares(node).into_iter().map(|share| share.saturating_add(active));
            let standing = self.state.standing(node).with(active);
            // A task that stays sets little more aside, so fullness would only drive it away.
            let rank = Standing { fullness: 0, lot: 0, ..standing }.rank(Strategy::Spread);
            (standing.faults, shares.collect::<Vec<_>>(), rank.worth())
        };
        outlook(home.node, home.need.active) <= outlook(best.node, self.state.share.active)
    }

    fn shares(&self, node: NodeNumber) -> Vec<u32> {
        match &self.source {
            Source::Tree(tree) => tree.shares(&self.state.path(node)),
            Source::Emptiest(_) | Source::Fullest(_) | Source::Drawn(_) => Vec::new(),
        }
    }

    /// The best node that passes the filters.
    fn best(&mut self, task: &str) -> Option<Rank> {
        match &mut self.source {
            Source::Drawn(nodes) => nodes.best(task, &self.state),
            Source::Emptiest(nodes) => nodes.best(&self.state),
            Source::Fullest(nodes) => nodes.best(&self.state),
            Source::Tree(tree) => tree.best(&self.state),
        }
    }

    fn put(&mut self, number: NodeNumber, need: &Load) -> Option<Choice<'w>> {
        let node = self.state.fleet.node(number)?;
        self.state.put(number, need);
        match &mut self.source {
            Source::Emptiest(nodes) => nodes.put(number, &self.state),
            Source::Fullest(nodes) => nodes.put(number, &self.state),
            Source::Drawn(_) => {}
            Source::Tree(tree) => {
                let path = self.state.path(number);
                tree.put(&path, need.active, Some(self.state.rank(number)));
            }
        }
        Some(Choice { node, replaced: None })
    }
}
