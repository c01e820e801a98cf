//! The fleet as one plan sees it: what is there, and what the plan has put there.

use std::collections::BTreeMap;

use skep_api::constraint::Property;
use skep_api::service::Strategy;

use super::Terms;
use super::rank::{Rank, Standing};
use super::tree::Path;
use crate::faults::Avoided;
use crate::filter::{Fittings, Miss, Trial};
use crate::fleet::{Counts, Fleet};
use crate::load::Load;
use crate::lookup::Lookup;
use crate::neighbours::Neighbours;
use crate::node::NodeNumber;
use crate::rules::Rules;

/// What a plan for one group sees.
pub(super) struct State<'w> {
    pub(super) fleet: &'w Fleet,
    /// What one task takes.
    pub(super) share: &'w Load,
    pub(super) rules: &'w Rules,
    fittings: &'w Fittings,
    neighbours: Neighbours<'w>,
    pub(super) strategy: Strategy,
    counts: Option<&'w Counts>,
    avoided: Avoided,
    /// What this plan has put on nodes.
    planned: Lookup<NodeNumber, Load>,
    /// What lots are drawn from.
    seed: u64,
}

impl<'w> State<'w> {
    pub(super) fn new(fleet: &'w Fleet, terms: Terms<'w>) -> Self {
        let Terms { group, share, rules, fittings, service, book, strategy, now } = terms;
        Self {
            fleet,
            share,
            rules,
            fittings,
            neighbours: Neighbours::of(book, fleet, &group.service, service, rules),
            strategy: rules.strategy.unwrap_or(strategy),
            counts: fleet.counts(&group.service),
            avoided: fleet.avoided(group, now),
            planned: Lookup::default(),
            seed: lot(0, group.service.as_str().as_bytes()),
        }
    }

    /// Whether the group sets aside cpus or memory, so that it matters how full nodes are.
    pub(super) fn reserves(&self) -> bool {
        self.share.cpus > 0 || self.share.memory > 0
    }

    /// Whether the node is to be avoided.
    pub(super) fn is_avoided(&self, node: NodeNumber) -> bool {
        !self.avoided.is_empty() && self.avoided.contains_key(&node)
    }

    /// The nodes to avoid.
    pub(super) fn avoided(&self) -> impl Iterator<Item = NodeNumber> {
        self.avoided.keys().copied()
    }

    /// Whether the node is as the fleet's order has it: no task of the service is there, and nothing speaks against it.
    pub(super) fn is_plain(&self, node: NodeNumber) -> bool {
        self.replicas(node) == 0 && !self.is_avoided(node)
    }

    /// The nodes that are not plain.
    pub(super) fn peculiar(&self) -> impl Iterator<Item = NodeNumber> {
        let counted = self.counts.into_iter().flat_map(BTreeMap::keys);
        counted.copied().chain(self.avoided().filter(|node| self.replicas(*node) == 0))
    }

    /// Whether a task fits the node.
    pub(super) fn fits(&self, node: NodeNumber) -> bool {
        self.miss(node, self.share).is_none()
    }

    /// Why `node` cannot take a task that needs `need`.
    pub(super) fn miss(&self, node: NodeNumber, need: &Load) -> Option<Miss<'w>> {
        self.trial(node, need)?.miss()
    }

    /// A task that needs `need`, tried on `node`.
    pub(super) fn trial<'a>(&'a self, node: NodeNumber, need: &'a Load) -> Option<Trial<'w, 'a>> {
        let there = self.fleet.node(node)?;
        let (planned, replicas) = (self.planned.get(&node), self.replicas(node));
        let (rules, fittings, neighbours) = (self.rules, self.fittings, &self.neighbours);
        Some(Trial { number: node, node: there, rules, fittings, neighbours, need, planned, replicas })
    }

    /// Puts a task on `node` that needs `need`.
    pub(super) fn put(&mut self, node: NodeNumber, need: &Load) {
        match self.planned.get_mut(&node) {
            Some(planned) => planned.add(need),
            None => drop(self.planned.insert(node, need.clone())),
        }
        if let Some(there) = self.fleet.node(node) {
            self.neighbours.put(there, need.active);
        }
    }

    /// Sees one task of the service less around `node`; returns whether that can let another in anywhere else.
    pub(super) fn take(&mut self, node: NodeNumber) -> bool {
        self.fleet.node(node).is_some_and(|there| self.neighbours.take(there))
    }

    /// How good the node is for the next task.
    pub(super) fn rank(&self, node: NodeNumber) -> Rank {
        self.standing(node).rank(self.strategy)
    }

    /// What that is made of.
    pub(super) fn standing(&self, node: NodeNumber) -> Standing {
        let planned = self.planned.get(&node);
        let active = planned.map_or(0, |load| load.active);
        let there = self.fleet.node(node);
        let replicas = self.replicas(node);
        Standing {
            node,
            faults: self.avoided.get(&node).copied().unwrap_or(0),
            replicas,
            fullness: there.filter(|_| self.reserves()).map_or(0, |node| node.fullness(planned)),
            tasks: there.map_or(0, |node| node.ledger.load().active).saturating_add(active),
            lot: if self.strategy == Strategy::Random { self.lot(node, replicas) } else { 0 },
        }
    }

    /// Active tasks of the service on `node`.
    pub(super) fn replicas(&self, node: NodeNumber) -> u32 {
        let placed = self.counts.and_then(|counts| counts.get(&node)).copied().unwrap_or(0);
        placed.saturating_add(self.planned.get(&node).map_or(0, |load| load.active))
    }

    /// A number below `count` that `text` stands for.
    pub(super) fn draw(&self, text: &str, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(lot(self.seed, text.as_bytes()) % count).unwrap_or(0)
    }

    /// A number for the node that changes with each task that it gets.
    fn lot(&self, node: NodeNumber, replicas: u32) -> u32 {
        let id = self.fleet.node(node).map_or(&[][..], |node| node.id.as_str().as_bytes());
        let drawn = lot(self.seed.wrapping_add(replicas.into()), id);
        u32::try_from(drawn >> 32).unwrap_or(u32::MAX)
    }

    /// The values of the levels' labels on `node`.
    pub(super) fn path(&self, node: NodeNumber) -> Path<'w> {
        let there = self.fleet.node(node);
        let facts = there.and_then(|node| Some(node.facts(node.spec.as_deref()?)));
        let value =
            |level: &Property| facts.as_ref().and_then(|facts| level.value(facts)).unwrap_or_default();
        self.rules.levels.iter().map(value).collect()
    }

    /// Every node on which there are tasks of the service, or may be: how many there are, and whether it is open.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = (NodeNumber, u32, bool)> {
        self.fleet.known().map(|(number, node)| (number, self.replicas(number), node.opening().is_some()))
    }
}

/// A number that `text` stands for: the same on every machine and in every version of the compiler.
fn lot(seed: u64, text: &[u8]) -> u64 {
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // The low bits of the last characters would show otherwise (the finaliser of MurmurHash3).
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
