//! The filters that a node must pass, in SwarmKit's order (`manager/scheduler/filter.go`), and then affinity.

mod fittings;

use skep_api::constraint::{Constraint, NodeFacts};
use skep_api::node::{Generic, NodeReport};

use crate::load::{HostPort, Kind, Load};
use crate::neighbours::{Conflict, Neighbours, Site};
use crate::node::{Node, NodeNumber};
use crate::rules::Rules;

pub(crate) use fittings::{Driver, Fittings, NONE, Pinned};

/// Why a node cannot take a task: the first filter that it does not pass, and by how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Miss<'w> {
    /// It takes no new tasks.
    Closed,
    /// It lacks some of these.
    Resources(Lack),
    /// It does not have so many drivers; this is the first of them.
    Plugins { missing: usize, first: &'w Driver },
    /// It does not meet so many constraints; this is the first of them.
    Constraints { unmet: usize, first: &'w Constraint },
    /// The image does not run on it.
    Platform,
    /// The port is taken.
    HostPort(HostPort),
    /// It has so many tasks of the service, and no more may be there.
    MaxReplicas { has: u32 },
    /// So many volumes are elsewhere; this is the first of them.
    Volumes { elsewhere: usize, first: &'w Pinned },
    /// So many terms of affinity are not met; this is the first of them.
    Affinity { unmet: usize, first: Conflict<'w> },
}

/// The filters in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter {
    Availability,
    Resources,
    Plugins,
    Constraints,
    Platform,
    HostPorts,
    MaxReplicas,
    Volumes,
    Affinity,
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
    pub(crate) number: NodeNumber,
    pub(crate) node: &'w Node,
    pub(crate) rules: &'w Rules,
    pub(crate) fittings: &'w Fittings,
    pub(crate) neighbours: &'a Neighbours<'w>,
    /// What the task would take here.
    pub(crate) need: &'a Load,
    /// What the plan has already put here, beyond what the node's ledger knows.
    pub(crate) planned: Option<&'a Load>,
    /// How many tasks of the service count here already, those that the plan has put here included.
    pub(crate) replicas: u32,
}

impl Filter {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Availability,
        Self::Resources,
        Self::Plugins,
        Self::Constraints,
        Self::Platform,
        Self::HostPorts,
        Self::MaxReplicas,
        Self::Volumes,
        Self::Affinity,
    ];

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Resources => "resources",
            Self::Plugins => "plugins",
            Self::Constraints => "constraints",
            Self::Platform => "platform",
            Self::HostPorts => "host-ports",
            Self::MaxReplicas => "max-replicas",
            Self::Volumes => "volumes",
            Self::Affinity => "affinity",
        }
    }
}

impl<'w, 'a> Trial<'w, 'a> {
    /// The first filter that the node does not pass.
    pub(crate) fn miss(&self) -> Option<Miss<'w>> {
        Filter::ALL.into_iter().find_map(|filter| self.check(filter))
    }

    /// Every filter that the node does not pass.
    pub(crate) fn misses(&self) -> impl Iterator<Item = Miss<'w>> {
        Filter::ALL.into_iter().filter_map(|filter| self.check(filter))
    }

    /// Why the node does not pass `filter`.
    pub(crate) fn check(&self, filter: Filter) -> Option<Miss<'w>> {
        match filter {
            Filter::Availability => self.node.opening().is_none().then_some(Miss::Closed),
            Filter::Resources => self.resources(),
            Filter::Plugins => {
                let (missing, first) = count(self.missing_drivers())?;
                Some(Miss::Plugins { missing, first })
            }
            Filter::Constraints => {
                let (unmet, first) = count(self.rules.unmet(&self.facts()?))?;
                Some(Miss::Constraints { unmet, first })
            }
            Filter::Platform => self.platform(),
            Filter::HostPorts => self.taken_ports().next().map(Miss::HostPort),
            Filter::MaxReplicas => self.replicas(),
            Filter::Volumes => {
                let (elsewhere, first) = count(self.volumes_elsewhere())?;
                Some(Miss::Volumes { elsewhere, first })
            }
            Filter::Affinity if self.neighbours.is_empty() => None,
            Filter::Affinity => {
                let (unmet, first) = count(self.neighbours.conflicts(self.site(self.facts()?)))?;
                Some(Miss::Affinity { unmet, first })
            }
        }
    }

    /// What constraints look at; nothing if the node's spec does not decode.
    pub(crate) fn facts(&self) -> Option<NodeFacts<'w>> {
        self.node.spec.as_deref().map(|spec| self.node.facts(spec))
    }

    /// The node for affinity, with `facts` of it as they are or would be.
    pub(crate) fn site<'f>(&self, facts: NodeFacts<'f>) -> Site<'w, 'f> {
        Site { number: self.number, node: self.node, facts, replicas: self.replicas, more: self.need.active }
    }

    /// The drivers that the task needs and the machine does not have.
    pub(crate) fn missing_drivers(&self) -> impl Iterator<Item = &'w Driver> + use<'w, 'a> {
        self.fittings.missing(self.node.report.as_deref())
    }

    /// The volumes that the task needs and that are elsewhere.
    pub(crate) fn volumes_elsewhere(&self) -> impl Iterator<Item = &'w Pinned> + use<'w, 'a> {
        self.fittings.elsewhere(self.node)
    }

    /// The ports that the task needs and others have.
    pub(crate) fn taken_ports(&self) -> impl Iterator<Item = HostPort> + use<'_, 'w, 'a> {
        self.need.ports.keys().copied().filter(|port| self.is_taken(*port))
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
            Self::Plugins { missing: count, .. }
            | Self::Constraints { unmet: count, .. }
            | Self::Volumes { elsewhere: count, .. }
            | Self::Affinity { unmet: count, .. } => u128::try_from(*count).unwrap_or(u128::MAX),
            Self::Closed | Self::Platform | Self::HostPort(_) | Self::MaxReplicas { .. } => 0,
        }
    }
}

/// How many there are, and the first of them; nothing if there is none.
fn count<T>(mut all: impl Iterator<Item = T>) -> Option<(usize, T)> {
    let first = all.next()?;
    Some((all.count().saturating_add(1), first))
}
