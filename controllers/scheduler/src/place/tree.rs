//! Candidates in a tree by the values of labels: tasks are spread in equal shares over the branches of each level, counting
//! the tasks that are there; within a leaf the strategy decides (SwarmKit's `scheduler/decision_tree.go`).
//!
//! A branch that can take no more is passed over, so its share goes to the others. A node without the label is in a branch
//! of its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::rank::Rank;
use super::state::State;
use super::walk::first_of;

/// The values of the levels' labels on one node, from the root.
pub(super) type Path<'w> = Vec<&'w str>;

/// A branch, a leaf, or the root.
#[derive(Default)]
pub(super) struct Branch<'w> {
    /// Active tasks of the service, those that this plan has placed among them.
    tasks: u32,
    branches: BTreeMap<&'w str, Branch<'w>>,
    leaf: BinaryHeap<Reverse<Rank>>,
    next: Next,
}

/// The node of a branch that would be chosen.
#[derive(Clone, Copy, Default)]
enum Next {
    /// Nobody has looked since the branch changed.
    #[default]
    Unknown,
    /// This one; none if no node takes any more.
    Known(Option<Rank>),
}

impl<'w> Branch<'w> {
    /// The tree of all nodes.
    pub(super) fn of(state: &State<'w>) -> Self {
        let mut root = Self::default();
        for (node, replicas, is_open) in state.everywhere() {
            root.put(&state.path(node), replicas, is_open.then(|| state.rank(node)));
        }
        root
    }

    /// Adds `tasks` at the leaf of `path`, and the rank that a node has there now.
    pub(super) fn put(&mut self, path: &[&'w str], tasks: u32, rank: Option<Rank>) {
        self.tasks = self.tasks.saturating_add(tasks);
        self.next = Next::Unknown;
        match path.split_first() {
            Some((value, rest)) => self.branches.entry(value).or_default().put(rest, tasks, rank),
            None => self.leaf.extend(rank.map(Reverse)),
        }
    }

    /// How many tasks each branch on `path` has, from the first level.
    pub(super) fn shares(&self, path: &[&'w str]) -> Vec<u32> {
        let mut shares = Vec::with_capacity(path.len());
        let mut branch = Some(self);
        for value in path {
            branch = branch.and_then(|branch| branch.branches.get(value));
            shares.push(branch.map_or(0, |branch| branch.tasks));
        }
        shares
    }

    /// The node that comes next.
    pub(super) fn best(&mut self, state: &State<'w>) -> Option<Rank> {
        loop {
            let rank = self.next(state)?;
            // What was looked for before may have been taken since, from another branch.
            if state.fits(rank.node) {
                return Some(rank);
            }
            self.forget(&state.path(rank.node));
        }
    }

    fn next(&mut self, state: &State<'w>) -> Option<Rank> {
        if let Next::Known(known) = self.next {
            return known;
        }
        let found = if self.branches.is_empty() {
            first_of(&mut self.leaf, state)
        } else {
            // A node to avoid is taken only when no branch has a better one.
            let next = |branch: &mut Self| branch.next(state).map(|rank| (rank.faults, branch.tasks, rank));
            self.branches.values_mut().filter_map(next).min().map(|(_, _, rank)| rank)
        };
        self.next = Next::Known(found);
        found
    }

    fn forget(&mut self, path: &[&'w str]) {
        self.next = Next::Unknown;
        if let Some((value, rest)) = path.split_first()
            && let Some(branch) = self.branches.get_mut(value)
        {
            branch.forget(rest);
        }
    }
}
