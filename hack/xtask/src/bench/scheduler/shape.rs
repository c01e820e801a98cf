//! The clusters that are measured, and what SwarmKit made of the same.

use std::fmt;

/// How large a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) tasks: usize,
    pub(super) services: usize,
}

/// What SwarmKit's scheduler does, in tasks per second on one core: the medians of quiet runs of SwarmKit 3e72cb64 (Go 1.27)
/// with its own in-memory store, on two cores of the kind that these benches were first run on. It cannot run in the same run.
#[derive(Debug, Clone, Copy)]
pub(super) struct SwarmKit {
    /// All of it: from the first decision to the last task that is committed.
    pub(super) placed: f64,
    /// The decisions alone, until the first is committed.
    pub(super) planned: f64,
}

/// What is said beside a ratio to one of those figures.
pub(super) const SWARMKIT: &str = "SwarmKit 3e72cb64, measured before on a like machine";

const fn shape(nodes: usize, tasks: usize, services: usize) -> Shape {
    Shape { nodes, tasks, services }
}

const fn swarmkit(placed: f64, planned: f64) -> SwarmKit {
    SwarmKit { placed, planned }
}

/// What is measured, with SwarmKit's figures. It was not run at the last shape: those are its figures for a tenth of the tasks.
pub(super) const SHAPES: [(Shape, SwarmKit); 8] = [
    (shape(1_000, 1_000, 1), swarmkit(15_700.0, 42_000.0)),
    (shape(1_000, 100_000, 1), swarmkit(8_740.0, 145_000.0)),
    (shape(1_000, 100_000, 100), swarmkit(8_390.0, 124_000.0)),
    (shape(1_000, 10_000, 10_000), swarmkit(2_970.0, 3_600.0)),
    (shape(10_000, 100_000, 100), swarmkit(8_220.0, 60_000.0)),
    (shape(10_000, 10_000, 10_000), swarmkit(294.0, 301.0)),
    (shape(100_000, 100_000, 100), swarmkit(4_830.0, 11_700.0)),
    (LARGEST, swarmkit(4_830.0, 11_700.0)),
];

/// A million tasks.
pub(super) const LARGEST: Shape = shape(100_000, 1_000_000, 100);
/// The shape at which different wishes are compared.
pub(super) const VARIED: Shape = shape(1_000, 100_000, 100);

/// What services ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing.
    Plain,
    /// CPU and memory, of which there is enough.
    Reserved,
    /// Three constraints.
    Constrained,
    /// Even over three zones.
    Zones,
    /// The fullest node that fits; with reservations.
    Binpack,
    /// Any node.
    Random,
    /// Memory, of which there is enough for nine tasks of ten.
    Full,
    /// Memory that no node has.
    Vast,
}

/// Those that are compared at [`VARIED`].
pub(super) const VARIANTS: [Variant; 6] = [
    Variant::Reserved,
    Variant::Constrained,
    Variant::Zones,
    Variant::Binpack,
    Variant::Random,
    Variant::Full,
];

impl Variant {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Plain, "plain"),
        (Self::Reserved, "reserved"),
        (Self::Constrained, "constrained"),
        (Self::Zones, "zones"),
        (Self::Binpack, "binpack"),
        (Self::Random, "random"),
        (Self::Full, "full"),
        (Self::Vast, "vast"),
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(variant, _)| *variant)
    }

    /// Where its tasks may run, as a service's spec says it.
    pub(super) fn placement(self) -> &'static str {
        match self {
            Self::Plain | Self::Reserved | Self::Full | Self::Vast => "{}",
            Self::Constrained => {
                "{constraints: [node.role == worker, node.labels.zone != none, engine.labels.disk == ssd]}"
            }
            Self::Zones => "{spread: [node.labels.zone]}",
            Self::Binpack => "{strategy: binpack}",
            Self::Random => "{strategy: random}",
        }
    }

    /// What one of its tasks sets aside: thousandths of a core, and MiB.
    pub(super) fn reservation(self) -> Option<(u64, u64)> {
        match self {
            Self::Plain | Self::Constrained | Self::Zones | Self::Random => None,
            Self::Reserved | Self::Binpack | Self::Full => Some((100, 256)),
            Self::Vast => Some((100, 1 << 20)),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(variant, _)| variant == self).map_or("", |(_, name)| *name);
        f.write_str(name)
    }
}

impl Shape {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('/').map(|number| number.parse().ok());
        let shape = shape(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(shape)
    }

    /// Tasks per node if they are spread evenly, rounded up.
    pub(super) fn density(self) -> usize {
        self.tasks.div_ceil(self.nodes.max(1))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.nodes, self.tasks, self.services)
    }
}
