//! The filters that a node must pass, in SwarmKit's order (`manager/scheduler/filter.go`).

use skep_api::constraint::Constraint;
use skep_api::node::{Generic, NodeReport};

use crate::load::{HostPort, Kind, Load};
use crate::node::Node;
use crate::rules::Rules;

/// Why a node cannot take a task: the first filter that it does not pass, and by how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Miss<'w> {
    /// It takes no new tasks.
    Closed,
    /// It lacks some of these.
    Resources(Lack),
    /// It does not meet so many constraints; this is the first of them.
    Constraints { unmet: usize, first: &'w Constraint },
    /// The image does not run on it.
    Platform,
    /// The port is taken.
    HostPort(HostPort),
    /// It has as many tasks of the service as it may have.
    MaxReplicas { has: u32 },
}

/// What resources a node lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lack {
    /// Thousand-millionths of a core.
    pub(crate) cpus: u128,
    /// Bytes.
    pub(crate) memory: u128,
    /// Generic resources by kind, none of them zero.
    pub(crate) generic: Vec<(Kind, u64)>,
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
        let taken = [Some(self.node.ledger.load()), self.planned];
        let lack = Lack::of(self.need, taken, self.node.report.as_deref());
        lack.is_any().then_some(Miss::Resources(lack))
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

impl Lack {
    /// What a machine lacks of `need` beside what is `taken`; one that has said nothing of itself has nothing. Who takes
    /// nothing of a resource is never short of it, even where others have taken too much.
    pub(crate) fn of(need: &Load, taken: [Option<&Load>; 2], report: Option<&NodeReport>) -> Self {
        let capacity = report.map(|report| report.capacity).unwrap_or_default();
        let shortage = |part: fn(&Load) -> u128, capacity: u128| {
            let (need, [first, second]) = (part(need), taken.map(|load| load.map_or(0, part)));
            let sum = need.saturating_add(first).saturating_add(second);
            if need == 0 { 0 } else { sum.saturating_sub(capacity) }
        };
        let missing = |(kind, need): (&Kind, &u64)| {
            let capacity = report.and_then(|report| report.generic.get(&**kind)).map_or(0, Generic::count);
            let [first, second] = taken.map(|load| load.map_or(0, |load| load.of_kind(kind)));
            let lack = need.saturating_add(first).saturating_add(second).saturating_sub(capacity);
            (lack > 0).then(|| (Kind::clone(kind), lack))
        };
        Self {
            cpus: shortage(|load| load.cpus, capacity.cpus.as_nanos().into()),
            memory: shortage(|load| load.memory, capacity.memory.as_bytes().into()),
            generic: need.generic.iter().filter_map(missing).collect(),
        }
    }

    /// Whether anything is missing.
    pub(crate) fn is_any(&self) -> bool {
        self.cpus > 0 || self.memory > 0 || !self.generic.is_empty()
    }
}

impl Miss<'_> {
    /// How far the node is from passing, to find the one that comes nearest.
    pub(crate) fn distance(&self) -> u128 {
        match self {
            Self::Resources(Lack { cpus, memory, generic }) => {
                let counts = || generic.iter().map(|(_, count)| u128::from(*count)).sum();
                [*memory, *cpus].into_iter().find(|lack| *lack > 0).unwrap_or_else(counts)
            }
            Self::Constraints { unmet, .. } => u128::try_from(*unmet).unwrap_or(u128::MAX),
            Self::Closed | Self::Platform | Self::HostPort(_) | Self::MaxReplicas { .. } => 0,
        }
    }
}
