//! Affinity: which other services must be, or must not be, where a task goes.
//!
//! A node is compared with the nodes that have the same value of the term's level, or with itself alone. `apart` holds in
//! both directions: what one service keeps away from, does not come to it either. A task that was placed stays, whatever
//! comes to pass near it: terms hold at the moment of placing (as Kubernetes' `IgnoredDuringExecution`).

use std::collections::BTreeMap;
use std::fmt;

use skep_api::constraint::{NodeFacts, Property};
use skep_api::ident::Uid;
use skep_api::key::ServiceRef;

use crate::fleet::{Counts, Fleet};
use crate::node::{Node, NodeNumber};
use crate::rules::{RuleBook, Rules, Term};

/// What affinity asks of nodes for the tasks of one service, while one plan is made.
#[derive(Debug, Default)]
pub(crate) struct Neighbours<'w> {
    sides: Vec<Side<'w>>,
}

/// One term, as the service that is placed has to look at it.
#[derive(Debug)]
struct Side<'w> {
    conflict: Conflict<'w>,
    /// Whether the tasks to look for are the service's own.
    is_own: bool,
    /// Whether the service may go anywhere while there is none of the tasks to be with.
    may_begin: bool,
    counts: Option<&'w Counts>,
    /// How many there are by value of the level, what this plan has placed included.
    branches: BTreeMap<&'w str, u32>,
    /// How many of the service's own this plan has placed anywhere.
    placed: u32,
}

/// A term that a node does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict<'w> {
    /// The service whose term it is.
    pub(crate) service: &'w ServiceRef,
    pub(crate) term: &'w Term,
    /// The service whose tasks are missing, or in the way.
    pub(crate) other: &'w ServiceRef,
}

/// A node that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'w, 'f> {
    pub(crate) number: NodeNumber,
    pub(crate) node: &'w Node,
    /// What it is, or would be.
    pub(crate) facts: NodeFacts<'f>,
    /// Active tasks of the service that are there, what this plan has placed included.
    pub(crate) replicas: u32,
    /// Active tasks that would be added.
    pub(crate) more: u32,
}

impl<'w> Neighbours<'w> {
    /// What affinity asks for the tasks of `uid`, which is `service` and has these `rules`.
    pub(crate) fn of(
        book: &'w RuleBook,
        fleet: &'w Fleet,
        uid: &Uid,
        service: &'w ServiceRef,
        rules: &'w Rules,
    ) -> Self {
        let own = rules.affinity.iter().map(|term| Conflict { service, term, other: &term.other });
        // What a service says of itself is looked at once.
        let others = book.kept_apart_from(service).filter(|(other, _)| *other != service);
        let theirs = others.map(|(other, term)| Conflict { service: other, term, other });
        let side = |conflict: Conflict<'w>| {
            let is_own = conflict.other == service;
            let other = if is_own { Some(uid) } else { book.uid(conflict.other) };
            let counts = other.and_then(|other| fleet.counts(other));
            let level = conflict.term.level.as_ref();
            let may_begin = is_own || book.is_with(conflict.other, service) && service < conflict.other;
            Side { conflict, is_own, may_begin, counts, branches: branches(fleet, level, counts), placed: 0 }
        };
        Self { sides: own.chain(theirs).map(side).collect() }
    }

    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.sides.is_empty()
    }

    /// The terms that are not met at `site`.
    pub(crate) fn conflicts<'f>(
        &self,
        site: Site<'w, 'f>,
    ) -> impl Iterator<Item = Conflict<'w>> + use<'_, 'w, 'f> {
        self.sides.iter().filter(move |side| !side.is_met(site)).map(|side| side.conflict)
    }

    /// Sees one task of the service less around `node`, which it has to leave. Whether that can let another in anywhere else.
    pub(crate) fn take(&mut self, node: &'w Node) -> bool {
        let mut is_seen = false;
        for side in self.sides.iter_mut().filter(|side| side.is_own && side.conflict.term.is_apart) {
            if let Some(level) = &side.conflict.term.level {
                let count = side.branches.entry(branch(node, level)).or_default();
                *count = count.saturating_sub(1);
                is_seen = true;
            }
        }
        is_seen
    }

    /// Remembers that the plan has placed `active` tasks of the service on `node`.
    pub(crate) fn put(&mut self, node: &'w Node, active: u32) {
        for side in self.sides.iter_mut().filter(|side| side.is_own) {
            side.placed = side.placed.saturating_add(active);
            if let Some(level) = &side.conflict.term.level {
                let count = side.branches.entry(branch(node, level)).or_default();
                *count = count.saturating_add(active);
            }
        }
    }
}

impl<'w> Side<'w> {
    fn is_met(&self, site: Site<'w, '_>) -> bool {
        let here = self.here(site);
        match (self.conflict.term.is_apart, self.is_own) {
            (true, true) => here.saturating_add(site.more) <= 1,
            (true, false) => here == 0,
            (false, _) => here > 0 || self.may_begin && self.is_nowhere(),
        }
    }

    /// How many there are where `site` is.
    fn here(&self, site: Site<'w, '_>) -> u32 {
        let counted = || self.counts.and_then(|counts| counts.get(&site.number)).copied().unwrap_or(0);
        let own = if self.is_own { site.replicas } else { counted() };
        let Some(level) = &self.conflict.term.level else { return own };
        let (value, before) = (level.value(&site.facts).unwrap_or_default(), branch(site.node, level));
        let others = self.branches.get(value).copied().unwrap_or(0);
        // A node that would be elsewhere takes its tasks with it.
        if value == before { others } else { others.saturating_add(own) }
    }

    fn is_nowhere(&self) -> bool {
        self.counts.is_none_or(BTreeMap::is_empty) && self.placed == 0
    }
}

fn branches<'w>(
    fleet: &'w Fleet,
    level: Option<&Property>,
    counts: Option<&'w Counts>,
) -> BTreeMap<&'w str, u32> {
    let mut branches: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, count) in counts.into_iter().flatten() {
        if let (Some(level), Some(node)) = (level, fleet.node(*number)) {
            let sum = branches.entry(branch(node, level)).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    branches
}

/// The branch of the level that `node` is in.
fn branch<'w>(node: &'w Node, level: &Property) -> &'w str {
    let facts = node.spec.as_deref().map(|spec| node.facts(spec));
    facts.and_then(|facts| level.value(&facts)).unwrap_or_default()
}

impl fmt::Display for Conflict<'_> {
    /// What speaks against a node, such as `has no task of shop/db`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, term, other } = self;
        let level = term.level.as_ref().map(|level| format!(" on nodes with the same {level}"));
        let near = level.unwrap_or_default();
        if !term.is_apart {
            write!(f, "has no task of {other}{near}")
        } else if service == other && term.other == **other {
            write!(f, "has a task of {other}{near} already, which keeps apart from itself")
        } else if service == other {
            write!(f, "has a task of {other}{near}, which keeps apart from it")
        } else {
            write!(f, "has a task of {other}{near}, and the service keeps apart from that")
        }
    }
}
