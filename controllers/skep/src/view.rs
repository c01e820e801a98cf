//! Objects as people read them: what lies in several keys of etcd put together, as a row of a table or as one document.

pub(crate) mod change;
pub(crate) mod cluster;
pub(crate) mod describe;
pub(crate) mod event;
pub(crate) mod item;
pub(crate) mod kind;
pub(crate) mod news;
pub(crate) mod node;
pub(crate) mod render;
pub(crate) mod revision;
pub(crate) mod select;
pub(crate) mod service;
#[cfg(test)]
mod situations;
pub(crate) mod task;
pub(crate) mod tree;
pub(crate) mod volume;

pub(crate) use item::Item;
pub(crate) use kind::Kind;
pub(crate) use select::Selection;

use skep_api::time::Timestamp;

use crate::cut::Cut;

/// How rows are made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Now.
    pub(crate) now: Timestamp,
    /// With more columns, and instants in full.
    pub(crate) is_wide: bool,
    /// With the stacks of objects.
    pub(crate) has_stacks: bool,
}

impl Style {
    /// An instant, as people read it here.
    pub(crate) fn time(&self, instant: Timestamp) -> String {
        if self.is_wide { instant.to_string() } else { crate::output::time::ago(self.now, instant) }
    }
}

/// Every object of `kind`, in the order in which it is shown.
pub(crate) fn items(kind: Kind, cut: &Cut, style: Style) -> Vec<Item> {
    match kind {
        Kind::Services => service::items(cut, style),
        Kind::Tasks => task::items(cut, style),
        Kind::Nodes => node::items(cut, style),
        Kind::Volumes => volume::items(cut, style),
        Kind::Cluster => cluster::items(cut, style),
        Kind::Revisions => revision::revisions(cut, style),
        Kind::Rollouts => revision::rollouts(cut, style),
        Kind::Changes => change::items(cut, style),
        Kind::Events => event::items(cut, style),
    }
}

/// The heading of a table of `kind`, without the stack.
pub(crate) fn heading(kind: Kind, is_wide: bool) -> &'static [&'static str] {
    match (kind, is_wide) {
        (Kind::Services, false) => &["NAME", "REPLICAS", "IMAGE", "PORTS", "READY", "SINCE", "MESSAGE"],
        (Kind::Services, true) => &[
            "NAME", "MODE", "REPLICAS", "UPDATED", "REVISION", "IMAGE", "PORTS", "READY", "SINCE", "VERSION",
            "UID", "MESSAGE",
        ],
        (Kind::Tasks, false) => &["NAME", "IMAGE", "NODE", "DESIRED", "STATE", "SINCE", "PORTS", "ERROR"],
        (Kind::Tasks, true) => &[
            "NAME",
            "IMAGE",
            "REVISION",
            "CAUSE",
            "NODE",
            "DESIRED",
            "STATE",
            "SINCE",
            "PORTS",
            "CONTAINER",
            "ERROR",
        ],
        (Kind::Nodes, false) => {
            &["NAME", "ID", "STATE", "AVAILABILITY", "ROLE", "ADDRESS", "SINCE", "MESSAGE"]
        }
        (Kind::Nodes, true) => &[
            "NAME",
            "ID",
            "STATE",
            "AVAILABILITY",
            "ROLE",
            "ADDRESS",
            "CPUS",
            "MEMORY",
            "DOCKER",
            "PLATFORM",
            "LABELS",
            "SINCE",
            "MESSAGE",
        ],
        (Kind::Volumes, _) => &["NAME", "DRIVER", "OPTIONS", "IN DOCKER", "USED BY"],
        (Kind::Cluster, _) => &["NAME", "STRATEGY", "REBALANCE"],
        (Kind::Revisions, _) => &["NAME", "IMAGE", "DIGEST", "USE"],
        (Kind::Rollouts, _) => &["NAME", "STATE", "TARGET", "STABLE", "BATCH", "FAILED", "MESSAGE"],
        (Kind::Changes, _) => &["ID", "TIME", "ACTOR", "OBJECTS", "COMMAND"],
        (Kind::Events, _) => &["LAST SEEN", "COUNT", "TYPE", "OBJECT", "REASON", "MESSAGE"],
    }
}
