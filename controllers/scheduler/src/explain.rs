//! Says why no node takes a task: Swarm's sentence, and what is missing on the node that comes nearest.

use std::fmt;

use skep_api::node::{Availability, NodeReport, NodeState};
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::Obstacle;

use crate::filter::{Lack, Miss};
use crate::fleet::Fleet;
use crate::load::Load;
use crate::node::{Node, NodeNumber};
use crate::place::{Home, Placing};

/// Memory that is missing is told in whole MiB, rounded up, so that it is enough.
const MIB: u128 = 1 << 20;

/// Why no node takes a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In Swarm's words.
    pub(crate) error: String,
    /// By filter, the most frequent first.
    pub(crate) obstacles: Vec<Obstacle>,
}

/// The kinds of obstacles, in the order of the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Availability,
    Cpus,
    Memory,
    Generic,
    Constraint,
    Platform,
    HostPort,
    MaxReplicas,
}

/// The nodes that one kind of obstacle leaves out.
struct Tally {
    kind: Kind,
    nodes: u32,
    nearest: (u128, NodeNumber),
    detail: String,
}

/// Why no node takes a task that needs `need`, or less at home.
pub(crate) fn explain(fleet: &Fleet, placing: &Placing<'_>, need: &Load, home: Option<&Home>) -> Reason {
    let tallies = tally(fleet.known(), placing, need, home);
    let error = match in_swarms_words(&tallies).as_str() {
        "" => "no suitable node".to_owned(),
        words => format!("no suitable node ({words})"),
    };
    Reason { error, obstacles: tallies.into_iter().map(Tally::obstacle).collect() }
}

/// Why `node`, to which a task belongs, does not take it: in Swarm's words, the explanation without "no suitable node".
pub(crate) fn explain_one(
    node: (NodeNumber, &Node),
    placing: &Placing<'_>,
    need: &Load,
    home: Option<&Home>,
) -> Reason {
    let tallies = tally(std::iter::once(node), placing, need, home);
    let error = in_swarms_words(&tallies);
    Reason { error, obstacles: tallies.into_iter().map(Tally::obstacle).collect() }
}

/// What stands in the way on each of `nodes`, the most frequent first.
fn tally<'n>(
    nodes: impl Iterator<Item = (NodeNumber, &'n Node)>,
    placing: &Placing<'_>,
    need: &Load,
    home: Option<&Home>,
) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = Vec::new();
    for (number, node) in nodes {
        let need = home.filter(|home| home.node == number).map_or(need, |home| &home.need);
        if let Some(miss) = placing.miss(number, need) {
            count(&mut tallies, number, node, &miss);
        }
    }
    tallies.sort_by_key(|tally| (std::cmp::Reverse(tally.nodes), tally.kind as u8));
    tallies
}

fn count(tallies: &mut Vec<Tally>, number: NodeNumber, node: &Node, miss: &Miss<'_>) {
    let kind = Kind::of(miss);
    let nearest = (miss.distance(), number);
    if let Some(tally) = tallies.iter_mut().find(|tally| tally.kind == kind) {
        tally.nodes = tally.nodes.saturating_add(1);
        if nearest < tally.nearest {
            tally.nearest = nearest;
            tally.detail = detail(node, miss);
        }
    } else {
        tallies.push(Tally { kind, nodes: 1, nearest, detail: detail(node, miss) });
    }
}

/// SwarmKit's explanation (`manager/scheduler/pipeline.go`): all resources are one filter to it.
fn in_swarms_words(tallies: &[Tally]) -> String {
    let mut filters: Vec<(Kind, u32)> = Vec::new();
    for tally in tallies {
        let is_resource = matches!(tally.kind, Kind::Cpus | Kind::Memory | Kind::Generic);
        let kind = if is_resource { Kind::Memory } else { tally.kind };
        match filters.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, nodes)) => *nodes = nodes.saturating_add(tally.nodes),
            None => filters.push((kind, tally.nodes)),
        }
    }
    filters.sort_by_key(|(kind, nodes)| (std::cmp::Reverse(*nodes), *kind as u8));
    let parts: Vec<String> = filters.into_iter().map(|(kind, nodes)| kind.in_swarms_words(nodes)).collect();
    parts.join("; ")
}

/// What is missing on `node`.
fn detail(node: &Node, miss: &Miss<'_>) -> String {
    let name = node.name();
    match miss {
        Miss::Closed => format!("{name} {}", closed(node)),
        Miss::Resources(lack) => format!("{name} needs {lack}"),
        Miss::Constraints { first, .. } => format!("{name} does not meet {first}"),
        Miss::Platform => match &node.report {
            Some(report) => format!("{name} is {}", platform_of(report)),
            None => format!("{name} has not said what it is"),
        },
        Miss::HostPort(port) => {
            let holder = node.ledger.holder(*port).map_or("another task", |task| task.as_str());
            let protocol = format!("{:?}", port.1).to_lowercase();
            format!("{name} has {}/{protocol} in use by {holder}", port.0)
        }
        Miss::MaxReplicas { has } => format!("{name} has {has} tasks of the service already"),
    }
}

impl fmt::Display for Lack {
    /// Such as `0.5 more CPUs and 96Mi more memory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = (self.cpus > 0).then(|| format!("{} more CPUs", Cpus::from_nanos(saturate(self.cpus))));
        let memory = (self.memory > 0).then(|| format!("{} more memory", whole_mib(self.memory)));
        let generic = self.generic.iter().map(|(kind, count)| format!("{count} more {kind}"));
        let parts: Vec<String> = cpus.into_iter().chain(memory).chain(generic).collect();
        f.write_str(&parts.join(" and "))
    }
}

/// What the machine is, as `os/architecture`.
pub(crate) fn platform_of(report: &NodeReport) -> String {
    format!("{}/{}", report.platform.os, report.platform.architecture)
}

fn closed(node: &Node) -> &'static str {
    match (&node.spec, node.state) {
        (None, _) => "has a spec that does not decode",
        (_, NodeState::Unknown) => "has not been heard of yet",
        (_, NodeState::Unreachable) => "is unreachable",
        (_, NodeState::Down) => "is down",
        (Some(spec), NodeState::Ready) => match spec.availability {
            Availability::Pause => "is paused",
            Availability::Drain => "is drained",
            Availability::Active => "has lost its session",
        },
    }
}

fn whole_mib(bytes: u128) -> Memory {
    Memory::from_bytes(saturate(bytes.div_ceil(MIB).saturating_mul(MIB)))
}

fn saturate(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Tally {
    fn obstacle(self) -> Obstacle {
        Obstacle {
            filter: self.kind.name().to_owned(),
            nodes: self.nodes,
            detail: self.detail,
            near: Vec::new(),
        }
    }
}

impl Kind {
    fn of(miss: &Miss<'_>) -> Self {
        match miss {
            Miss::Closed => Self::Availability,
            Miss::Resources(Lack { memory: 1.., .. }) => Self::Memory,
            Miss::Resources(Lack { cpus: 1.., .. }) => Self::Cpus,
            Miss::Resources(_) => Self::Generic,
            Miss::Constraints { .. } => Self::Constraint,
            Miss::Platform => Self::Platform,
            Miss::HostPort(_) => Self::HostPort,
            Miss::MaxReplicas { .. } => Self::MaxReplicas,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Generic => "generic",
            Self::Constraint => "constraint",
            Self::Platform => "platform",
            Self::HostPort => "host-port",
            Self::MaxReplicas => "max-replicas",
        }
    }

    fn in_swarms_words(self, nodes: u32) -> String {
        let count = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        match self {
            Self::Availability => format!("{count} not available for new tasks"),
            Self::Cpus | Self::Memory | Self::Generic => format!("insufficient resources on {count}"),
            Self::Constraint => format!("scheduling constraints not satisfied on {count}"),
            Self::Platform => format!("unsupported platform on {count}"),
            Self::HostPort => format!("host-mode port already in use on {count}"),
            Self::MaxReplicas => "max replicas per node limit exceed".to_owned(),
        }
    }
}
