//! What tasks need of a node beside room: drivers of its Docker daemon, and volumes that are on one node only.

use std::collections::BTreeSet;
use std::fmt;

use skep_api::container::MountType;
use skep_api::ident::Name;
use skep_api::node::{NodeReport, Plugins};
use skep_api::rollout::Revision;

use crate::node::Node;

/// What a driver is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Volume,
    Log,
}

/// A driver that a task needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Driver {
    pub(crate) sort: Sort,
    pub(crate) name: String,
}

/// A volume that is on one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pinned {
    pub(crate) volume: Name,
    /// The node's name or id.
    pub(crate) node: String,
}

/// What tasks of one revision need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fittings {
    pub(crate) drivers: BTreeSet<Driver>,
    pub(crate) volumes: BTreeSet<Pinned>,
}

/// What tasks without mounts and logging need.
pub(crate) static NONE: Fittings = Fittings { drivers: BTreeSet::new(), volumes: BTreeSet::new() };

impl Fittings {
    /// What tasks of `revision` need. Networks are nobody's to name yet.
    pub(crate) fn of(revision: &Revision) -> Self {
        let mounts = revision.task.mounts.iter().filter(|mount| mount.kind == MountType::Volume);
        let anonymous = mounts.filter_map(|mount| mount.driver.as_deref());
        let named = revision.volumes.values().filter_map(|volume| volume.driver.as_deref());
        let volume = anonymous.chain(named).filter(|name| !matches!(*name, "" | "local"));
        let log = revision.task.logging.iter().map(|logging| logging.driver.as_str());
        let log = log.filter(|name| !matches!(*name, "" | "none"));
        let driver = |sort: Sort| move |name: &str| Driver { sort, name: name.to_owned() };
        let pinned = revision.volumes.iter().filter_map(|(name, volume)| {
            let node = volume.node.clone().filter(|node| !node.is_empty())?;
            Some(Pinned { volume: name.clone(), node })
        });
        let drivers = volume.map(driver(Sort::Volume)).chain(log.map(driver(Sort::Log)));
        Self { drivers: drivers.collect(), volumes: pinned.collect() }
    }

    /// The drivers that the machine does not have; one that has said nothing of itself has none.
    pub(super) fn missing(&self, report: Option<&NodeReport>) -> impl Iterator<Item = &Driver> {
        let plugins = report.map(|report| &report.plugins);
        self.drivers.iter().filter(move |driver| plugins.is_none_or(|plugins| !driver.is_among(plugins)))
    }

    /// The volumes that are elsewhere.
    pub(super) fn elsewhere(&self, node: &Node) -> impl Iterator<Item = &Pinned> {
        self.volumes.iter().filter(|pinned| {
            pinned.node != node.id.as_str() && node.spec.as_ref().is_none_or(|spec| spec.name != pinned.node)
        })
    }
}

impl Driver {
    /// Whether it is one of `plugins`.
    ///
    /// Of a sort of which an agent names none it knows nothing: every daemon has some built in (`local`, `json-file`), so
    /// that is an agent from before they were told. SwarmKit lets a log driver pass there, and a node without a
    /// description pass at all; to leave such nodes out for volumes would take tasks from nodes that run them well.
    fn is_among(&self, plugins: &Plugins) -> bool {
        let known = match self.sort {
            Sort::Volume => &plugins.volume,
            Sort::Log => &plugins.log,
        };
        let is_latest = |name: &String| name.strip_suffix(":latest") == Some(&self.name);
        known.is_empty() || known.contains(&self.name) || known.iter().any(is_latest)
    }
}

impl Sort {
    /// As Docker names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Log => "log",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} driver {}", self.sort.name(), self.name)
    }
}
