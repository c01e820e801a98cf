//! The filters that a node must pass, in SwarmKit's order (`manager/scheduler/filter.go`).

use skep_api::constraint::Constraint;

use crate::load::{HostPort, Load};
use crate::node::Node;
use crate::rules::Rules;

/// Why a node cannot take a task: the first filter that it does not pass, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss<'w> {
    /// It takes no new tasks.
    Closed,
    /// It lacks so many thousand-millionths of a core, and so many bytes; not both are zero.
    Resources { cpus: u128, memory: u128 },
    /// It does not meet so many constraints; this is the first of them.
    Constraints { unmet: usize, first: &'w Constraint },
    /// The image does not run on it.
    Platform,
    /// The port is taken.
    HostPort(HostPort),
    /// It has as many tasks of the service as it may have.
    MaxReplicas { has: u32 },
}

/// A task that is tried on a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'w, 'a> {
    pub(crate) node: &'w Node,
    pub(crate) rules: &'w Rules,
    /// What the task would take here.
    pub(crate) need: &'a Load,
    /// What the plan has already put here, beyond what the node's ledger knows.
    pub(crate) planned: Option<&'a Load>,
    /// How many tasks of the service count here already.
    pub(crate) replicas: u32,
}

impl<'w> Trial<'w, '_> {
    /// The first filter that the node does not pass.
    pub(crate) fn miss(&self) -> Option<Miss<'w>> {
        let Some(opening) = self.node.opening() else { return Some(Miss::Closed) };
        self.resources()
            .or_else(|| {
                let facts = self.node.facts(opening.spec);
                let mut unmet = self.rules.unmet(&facts);
                unmet.next().map(|first| Miss::Constraints { unmet: unmet.count().saturating_add(1), first })
            })
            .or_else(|| self.platform())
            .or_else(|| {
                self.need.ports.keys().find(|port| self.is_taken(**port)).map(|port| Miss::HostPort(*port))
            })
            .or_else(|| self.replicas())
    }

    fn resources(&self) -> Option<Miss<'w>> {
        let capacity = self.node.report.as_ref().map(|report| report.capacity).unwrap_or_default();
        let cpus = self.shortage(|load| load.cpus, capacity.cpus.as_nanos().into());
        let memory = self.shortage(|load| load.memory, capacity.memory.as_bytes().into());
        (cpus > 0 || memory > 0).then_some(Miss::Resources { cpus, memory })
    }

    /// A task that takes nothing more is never short of anything, even where others have taken too much.
    fn shortage(&self, part: impl Fn(&Load) -> u128, capacity: u128) -> u128 {
        let need = part(self.need);
        let taken = part(self.node.ledger.load()).saturating_add(self.planned.map_or(0, &part));
        if need == 0 { 0 } else { taken.saturating_add(need).saturating_sub(capacity) }
    }

    fn platform(&self) -> Option<Miss<'w>> {
        let platform = self.node.report.as_ref().map(|report| &report.platform);
        (!self.rules.runs_on(platform)).then_some(Miss::Platform)
    }

    fn is_taken(&self, port: HostPort) -> bool {
        let planned = self.planned.map_or(0, |load| load.takers(port));
        self.node.ledger.load().takers(port).saturating_add(planned) > 0
    }

    fn replicas(&self) -> Option<Miss<'w>> {
        let limit = self.rules.max_replicas;
        let sum = self.replicas.saturating_add(self.need.active);
        (limit > 0 && sum > limit).then_some(Miss::MaxReplicas { has: self.replicas })
    }
}

impl Miss<'_> {
    /// How far the node is from passing, to find the one that comes nearest.
    pub(crate) fn distance(&self) -> u128 {
        match self {
            Self::Resources { cpus, memory } => {
                if *memory > 0 {
                    *memory
                } else {
                    *cpus
                }
            }
            Self::Constraints { unmet, .. } => u128::try_from(*unmet).unwrap_or(u128::MAX),
            Self::Closed | Self::Platform | Self::HostPort(_) | Self::MaxReplicas { .. } => 0,
        }
    }
}
