//! One node as the scheduler sees it.

use skep_api::constraint::NodeFacts;
use skep_api::ident::NodeId;
use skep_api::node::{Availability, NodeReport, NodeSpec, NodeState, display_name};
use skep_runtime::table::Versioned;

use crate::ledger::Ledger;
use crate::load::Load;

/// A node of the fleet: it sorts like the node's id, finds the node at once, and is copied for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeNumber {
    /// The id as the number that it is in base 36.
    id: u64,
    /// Where the fleet keeps it.
    place: u32,
}

/// What is known of a node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its id.
    pub(crate) id: NodeId,
    /// Whether its spec's key is there, valid or not.
    pub(crate) is_known: bool,
    /// What people want of it.
    pub(crate) spec: Option<Versioned<NodeSpec>>,
    /// The revision at which its session was created, while it lives.
    pub(crate) session_created: Option<i64>,
    /// How the node controller sees it.
    pub(crate) state: NodeState,
    /// What its agent says of it.
    pub(crate) report: Option<Versioned<NodeReport>>,
    /// What its tasks hold.
    pub(crate) ledger: Ledger,
}

/// How many steps of fullness a node has.
const FULL: u128 = 1 << 20;

/// What a placement on a node stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) spec: &'a Versioned<NodeSpec>,
    pub(crate) session_created: i64,
}

impl NodeNumber {
    /// The node `id`, kept at `place`.
    pub(crate) fn new(id: &NodeId, place: u32) -> Self {
        Self { id: Self::id(id), place }
    }

    /// The number that `id` is in base 36.
    pub(crate) fn id(id: &NodeId) -> u64 {
        let digit = |byte: u8| char::from(byte).to_digit(36).unwrap_or(0);
        id.as_str().bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(36).wrapping_add(digit(byte).into()))
    }

    /// Where the fleet keeps it.
    pub(crate) fn place(self) -> usize {
        usize::try_from(self.place).unwrap_or(usize::MAX)
    }
}

impl Node {
    /// A node of which nothing is known.
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            is_known: false,
            spec: None,
            session_created: None,
            state: NodeState::Unknown,
            report: None,
            ledger: Ledger::default(),
        }
    }

    /// What stands open for new tasks: the agent lives, and people want tasks there.
    pub(crate) fn opening(&self) -> Option<Opening<'_>> {
        let spec = self.spec.as_ref()?;
        let is_open = self.state == NodeState::Ready && spec.availability == Availability::Active;
        let session_created = self.session_created.filter(|_| is_open)?;
        Some(Opening { spec, session_created })
    }

    /// Whether there is nothing left to remember.
    pub(crate) fn is_forgotten(&self) -> bool {
        !self.is_known
            && self.session_created.is_none()
            && self.state == NodeState::Unknown
            && self.report.is_none()
            && self.ledger.is_empty()
    }

    /// Which part of its cpus or memory would be set aside, whichever is more, with `more` beside what its tasks hold: 0 to
    /// 2^20, and beyond if it is overfull. A machine of which nothing was measured is empty.
    pub(crate) fn fullness(&self, more: Option<&Load>) -> u32 {
        let (cpus, memory) = more.map_or((0, 0), |more| (more.cpus, more.memory));
        let load = self.ledger.load();
        self.fullness_of(load.cpus.saturating_add(cpus), load.memory.saturating_add(memory))
    }

    /// The same, without `less` of what its tasks hold.
    pub(crate) fn fullness_without(&self, less: &Load) -> u32 {
        let load = self.ledger.load();
        self.fullness_of(load.cpus.saturating_sub(less.cpus), load.memory.saturating_sub(less.memory))
    }

    fn fullness_of(&self, cpus: u128, memory: u128) -> u32 {
        let Some(report) = &self.report else { return 0 };
        let part = |held: u128, has: u64| {
            if held == 0 || has == 0 {
                return 0;
            }
            u32::try_from(held.saturating_mul(FULL) / u128::from(has)).unwrap_or(u32::MAX)
        };
        part(cpus, report.capacity.cpus.as_nanos()).max(part(memory, report.capacity.memory.as_bytes()))
    }

    /// What constraints look at.
    pub(crate) fn facts<'a>(&'a self, spec: &'a NodeSpec) -> NodeFacts<'a> {
        NodeFacts { id: &self.id, spec, report: self.report.as_deref() }
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &str {
        display_name(self.spec.as_deref(), &self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_like_the_ids_that_they_stand_for() {
        let mut ids: Vec<NodeId> =
            [0, 1, 35, 36, u64::MAX, 4_738_381_338_321_616_895].map(NodeId::from_random).into();
        ids.sort();
        let numbers: Vec<NodeNumber> = ids.iter().map(|id| NodeNumber::new(id, 0)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }
}
