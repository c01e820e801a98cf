//! Says why no node takes a task: Swarm's sentence, what is missing on the nodes that come nearest, and the smallest change
//! that would help.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use skep_api::ident::TaskName;
use skep_api::task::{NEAR_MISSES_MAX, NearMiss, Obstacle, Remedy};

use crate::filter::{Lack, Miss};
use crate::fleet::Fleet;
use crate::load::Load;
use crate::node::{Node, NodeNumber};
use crate::place::{Home, Placing};
use crate::remedy::Search;
use crate::words;

/// Why no node takes a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In Swarm's words.
    pub(crate) error: String,
    /// By filter, the most frequent first.
    pub(crate) obstacles: Vec<Obstacle>,
    /// What would help.
    pub(crate) remedy: Option<Remedy>,
}

impl Reason {
    /// The same, if the task would fit were `task` gone, from which its service keeps it apart.
    pub(crate) fn freed_by(mut self, task: &TaskName) -> Self {
        let affinity = self.obstacles.iter_mut().filter(|told| told.filter == Kind::Affinity.name());
        affinity.for_each(|told| told.freed_by = Some(task.clone()));
        self
    }
}

/// The kinds of obstacles, in the order of the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Availability,
    Cpus,
    Memory,
    Generic,
    Plugin,
    Constraint,
    Platform,
    HostPort,
    MaxReplicas,
    Volume,
    Affinity,
}

/// The nodes that one kind of obstacle leaves out.
struct Tally<'w> {
    kind: Kind,
    nodes: u32,
    /// Those that come nearest, best first.
    near: Vec<Near<'w>>,
}

/// A node, how far it is from passing, and why.
struct Near<'w> {
    distance: (u128, NodeNumber),
    node: &'w Node,
    miss: Miss<'w>,
}

/// Why no node takes a task that needs `need`, or less at home.
pub(crate) fn explain(fleet: &Fleet, placing: &Placing<'_>, need: &Load, home: Option<&Home>) -> Reason {
    let reason = reason(fleet, fleet.known(), placing, need, home);
    let error = match reason.error.as_str() {
        "" => "no suitable node".to_owned(),
        words => format!("no suitable node ({words})"),
    };
    Reason { error, ..reason }
}

/// Why `node`, to which a task belongs, does not take it: in Swarm's words, the explanation without "no suitable node".
pub(crate) fn explain_one(
    fleet: &Fleet,
    node: (NodeNumber, &Node),
    placing: &Placing<'_>,
    need: &Load,
    home: Option<&Home>,
) -> Reason {
    reason(fleet, std::iter::once(node), placing, need, home)
}

/// What stands in the way on each of `nodes`.
fn reason<'n>(
    fleet: &Fleet,
    nodes: impl Iterator<Item = (NodeNumber, &'n Node)>,
    placing: &Placing<'_>,
    need: &Load,
    home: Option<&Home>,
) -> Reason {
    let mut tallies: BTreeMap<Kind, Tally<'_>> = BTreeMap::new();
    let mut search = Search::new(fleet);
    for (number, _) in nodes {
        let need = home.filter(|home| home.node == number).map_or(need, |home| &home.need);
        let Some(trial) = placing.trial(number, need) else { continue };
        let misses: Vec<Miss<'_>> = trial.misses().collect();
        search.consider(&trial, &misses);
        if let Some(miss) = misses.into_iter().next() {
            let kind = Kind::of(&miss);
            let near = Near { distance: (miss.distance(), number), node: trial.node, miss };
            tallies.entry(kind).or_insert_with(|| Tally::of(kind)).count(near);
        }
    }
    let mut tallies: Vec<Tally<'_>> = tallies.into_values().collect();
    tallies.sort_by_key(|tally| (Reverse(tally.nodes), tally.kind));
    let error = in_swarms_words(&tallies);
    let obstacles = tallies.into_iter().map(|tally| tally.obstacle(fleet)).collect();
    Reason { error, obstacles, remedy: Some(search.remedy(need)) }
}

/// SwarmKit's explanation (`manager/scheduler/pipeline.go`): all resources are one filter to it.
fn in_swarms_words(tallies: &[Tally<'_>]) -> String {
    let mut filters: Vec<(Kind, u32)> = Vec::new();
    for tally in tallies {
        let is_resource = matches!(tally.kind, Kind::Cpus | Kind::Memory | Kind::Generic);
        let kind = if is_resource { Kind::Memory } else { tally.kind };
        match filters.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, nodes)) => *nodes = nodes.saturating_add(tally.nodes),
            None => filters.push((kind, tally.nodes)),
        }
    }
    filters.sort_by_key(|(kind, nodes)| (Reverse(*nodes), *kind));
    let parts: Vec<String> = filters.into_iter().map(|(kind, nodes)| kind.in_swarms_words(nodes)).collect();
    parts.join("; ")
}

impl<'w> Tally<'w> {
    fn of(kind: Kind) -> Self {
        Self { kind, nodes: 0, near: Vec::new() }
    }

    fn count(&mut self, near: Near<'w>) {
        self.nodes = self.nodes.saturating_add(1);
        let place = self.near.partition_point(|other| other.distance < near.distance);
        if place < NEAR_MISSES_MAX {
            self.near.insert(place, near);
            self.near.truncate(NEAR_MISSES_MAX);
        }
    }

    fn obstacle(self, fleet: &Fleet) -> Obstacle {
        let detail = self.near.first().map(|near| near.detail(fleet)).unwrap_or_default();
        let near = self.near.iter().map(Near::told).collect();
        Obstacle { filter: self.kind.name().to_owned(), nodes: self.nodes, detail, near, freed_by: None }
    }
}

impl Near<'_> {
    fn told(&self) -> NearMiss {
        NearMiss { node: self.node.name().to_owned(), missing: words::missing(self.node, &self.miss) }
    }

    fn detail(&self, fleet: &Fleet) -> String {
        let meant = match &self.miss {
            Miss::Constraints { first, .. } => words::guess(fleet, first),
            Miss::Closed
            | Miss::Resources(_)
            | Miss::Plugins { .. }
            | Miss::Platform
            | Miss::HostPort(_)
            | Miss::MaxReplicas { .. }
            | Miss::Volumes { .. }
            | Miss::Affinity { .. } => None,
        };
        let meant = meant.map(|meant| format!(": did you mean {meant}?")).unwrap_or_default();
        format!("{} {}{meant}", self.node.name(), words::missing(self.node, &self.miss))
    }
}

impl Kind {
    fn of(miss: &Miss<'_>) -> Self {
        match miss {
            Miss::Closed => Self::Availability,
            Miss::Resources(Lack { memory: 1.., .. }) => Self::Memory,
            Miss::Resources(Lack { cpus: 1.., .. }) => Self::Cpus,
            Miss::Resources(_) => Self::Generic,
            Miss::Plugins { .. } => Self::Plugin,
            Miss::Constraints { .. } => Self::Constraint,
            Miss::Platform => Self::Platform,
            Miss::HostPort(_) => Self::HostPort,
            Miss::MaxReplicas { .. } => Self::MaxReplicas,
            Miss::Volumes { .. } => Self::Volume,
            Miss::Affinity { .. } => Self::Affinity,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Generic => "generic",
            Self::Plugin => "plugin",
            Self::Constraint => "constraint",
            Self::Platform => "platform",
            Self::HostPort => "host-port",
            Self::MaxReplicas => "max-replicas",
            Self::Volume => "volume",
            Self::Affinity => "affinity",
        }
    }

    fn in_swarms_words(self, nodes: u32) -> String {
        let count = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        match self {
            Self::Availability => format!("{count} not available for new tasks"),
            Self::Cpus | Self::Memory | Self::Generic => format!("insufficient resources on {count}"),
            Self::Plugin => format!("missing plugin on {count}"),
            Self::Constraint => format!("scheduling constraints not satisfied on {count}"),
            Self::Platform => format!("unsupported platform on {count}"),
            Self::HostPort => format!("host-mode port already in use on {count}"),
            Self::MaxReplicas => "max replicas per node limit exceed".to_owned(),
            Self::Volume => format!("cannot fulfill requested volume mounts on {count}"),
            Self::Affinity => format!("affinity not satisfied on {count}"),
        }
    }
}
