//! Candidates that are walked lazily, in an order that the fleet keeps: a plan costs what its tasks cost, and not what the
//! cluster would.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::{Peekable, Rev};

use super::rank::Rank;
use super::state::State;
use crate::fleet::{Spot, Spots};
use crate::node::NodeNumber;

/// For `spread`: nodes without a task of the service come first and are walked in the fleet's order, one step per task; the
/// others are sorted only when those are used up.
pub(super) struct Emptiest<'w> {
    /// Nodes that may have no task of the service, best first.
    fresh: Peekable<Spots<'w>>,
    /// Nodes that have some, or that are to be avoided. An entry that is not the node's rank any more is out of date: there is
    /// a newer one.
    others: BinaryHeap<Reverse<Rank>>,
    /// Whether `others` has all of them, and not only those that this plan has used.
    is_complete: bool,
}

/// For `binpack`: the fullest node stays the first until it is full.
pub(super) struct Fullest<'w> {
    rest: Peekable<Rev<Spots<'w>>>,
    /// Nodes to avoid, and those on which a task took the place of another.
    others: BinaryHeap<Reverse<Rank>>,
    is_complete: bool,
}

impl<'w> Emptiest<'w> {
    pub(super) fn new(spots: Spots<'w>) -> Self {
        Self { fresh: spots.peekable(), others: BinaryHeap::new(), is_complete: false }
    }

    /// The best node that fits. One that does not never will within this plan, so it is dropped.
    pub(super) fn best(&mut self, state: &State<'w>) -> Option<Rank> {
        while let Some(Spot { node, .. }) = self.fresh.peek().copied().copied() {
            if state.is_plain(node) && state.fits(node) {
                return Some(state.rank(node));
            }
            self.fresh.next();
        }
        if !self.is_complete {
            self.is_complete = true;
            let ranks = state.peculiar().map(|node| Reverse(state.rank(node)));
            self.others.extend(ranks);
        }
        first_of(&mut self.others, state)
    }

    pub(super) fn put(&mut self, node: NodeNumber, state: &State<'w>) {
        self.others.push(Reverse(state.rank(node)));
    }
}

impl<'w> Fullest<'w> {
    pub(super) fn new(spots: Spots<'w>) -> Self {
        Self { rest: spots.rev().peekable(), others: BinaryHeap::new(), is_complete: false }
    }

    pub(super) fn best(&mut self, state: &State<'w>) -> Option<Rank> {
        while let Some(Spot { node, .. }) = self.rest.peek().copied().copied() {
            if !state.is_avoided(node) && state.fits(node) {
                break;
            }
            self.rest.next();
        }
        let next = self.rest.peek().map(|spot| state.rank(spot.node));
        if next.is_none() && !self.is_complete {
            self.is_complete = true;
            self.others.extend(state.avoided().map(|node| Reverse(state.rank(node))));
        }
        let other = first_of(&mut self.others, state);
        next.into_iter().chain(other).min()
    }

    pub(super) fn put(&mut self, node: NodeNumber, state: &State<'w>) {
        self.others.push(Reverse(state.rank(node)));
    }
}

/// For `random`: any node that fits, drawn by the task's name, so that it is the same one whenever it is drawn.
pub(super) struct Drawn {
    /// In the order of the ids, but for those that were dropped; nodes to avoid are kept apart.
    nodes: Vec<NodeNumber>,
    avoided: BinaryHeap<Reverse<Rank>>,
}

impl Drawn {
    pub(super) fn new(state: &State<'_>) -> Self {
        let open = state.everywhere().filter(|(node, _, is_open)| *is_open && !state.is_avoided(*node));
        let avoided = state.avoided().map(|node| Reverse(state.rank(node))).collect();
        Self { nodes: open.map(|(node, ..)| node).collect(), avoided }
    }

    pub(super) fn best(&mut self, task: &str, state: &State<'_>) -> Option<Rank> {
        while !self.nodes.is_empty() {
            let position = state.draw(task, self.nodes.len());
            let node = self.nodes.get(position).copied()?;
            if state.fits(node) {
                return Some(state.rank(node));
            }
            self.nodes.swap_remove(position);
        }
        first_of(&mut self.avoided, state)
    }
}

/// The best of `ranks` that is up to date and fits; those before it are dropped.
pub(super) fn first_of(ranks: &mut BinaryHeap<Reverse<Rank>>, state: &State<'_>) -> Option<Rank> {
    loop {
        let Reverse(rank) = *ranks.peek()?;
        if state.rank(rank.node) == rank && state.fits(rank.node) {
            return Some(rank);
        }
        ranks.pop();
    }
}
