//! The kinds that can be shown, by the names that people type.

use std::fmt;
use std::str::FromStr;

use skep_api::key::{Key, prefix};
use skep_store::Range;

use crate::output::text::nearest;

/// A kind that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Services.
    Services,
    /// Tasks.
    Tasks,
    /// Nodes.
    Nodes,
    /// Volumes.
    Volumes,
    /// The cluster's settings: one object.
    Cluster,
    /// Revisions.
    Revisions,
    /// Rollouts.
    Rollouts,
    /// Changes.
    Changes,
    /// Events.
    Events,
}

/// Every name of every kind: the first of each is its own.
const NAMES: [(Kind, &[&str]); 9] = [
    (Kind::Services, &["services", "service", "svc"]),
    (Kind::Tasks, &["tasks", "task", "t"]),
    (Kind::Nodes, &["nodes", "node", "no"]),
    (Kind::Volumes, &["volumes", "volume", "vol"]),
    (Kind::Cluster, &["cluster", "cluster", "clusters"]),
    (Kind::Revisions, &["revisions", "revision", "rev"]),
    (Kind::Rollouts, &["rollouts", "rollout", "ro"]),
    (Kind::Changes, &["changes", "change", "ch"]),
    (Kind::Events, &["events", "event", "ev"]),
];

impl Kind {
    /// The name that `kind:` has in a document.
    pub(crate) fn document(self) -> &'static str {
        match self {
            Self::Services => "Service",
            Self::Tasks => "Task",
            Self::Nodes => "Node",
            Self::Volumes => "Volume",
            Self::Cluster => "Cluster",
            Self::Revisions => "Revision",
            Self::Rollouts => "Rollout",
            Self::Changes => "Change",
            Self::Events => "Event",
        }
    }

    /// The name of one of it.
    pub(crate) fn singular(self) -> &'static str {
        NAMES
            .iter()
            .find(|(kind, _)| *kind == self)
            .and_then(|(_, names)| names.get(1))
            .copied()
            .unwrap_or_default()
    }

    /// What must be read to show it.
    pub(crate) fn ranges(self) -> Vec<Range> {
        let prefixes: &[&str] = match self {
            Self::Services => &[prefix::SERVICES, prefix::SERVICE_STATUSES],
            Self::Tasks => {
                &[prefix::TASKS, prefix::TASK_STATUSES, prefix::REVISIONS, prefix::NODES, prefix::SERVICES]
            }
            Self::Nodes => &[prefix::NODES, prefix::NODE_STATUSES],
            Self::Volumes => &[prefix::VOLUMES, prefix::SERVICES],
            Self::Cluster => return vec![Range::key(&Key::Cluster)],
            Self::Revisions | Self::Rollouts => &[prefix::REVISIONS, prefix::ROLLOUTS],
            Self::Changes => &[prefix::CHANGES],
            Self::Events => &[prefix::EVENTS],
        };
        prefixes.iter().map(Range::prefix).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().find(|(kind, _)| kind == self).and_then(|(_, names)| names.first());
        f.write_str(names.copied().unwrap_or_default())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let given = text.to_lowercase();
        let known = NAMES.iter().find(|(_, names)| names.contains(&given.as_str()));
        known.map(|(kind, _)| *kind).ok_or_else(|| {
            let names = NAMES.iter().flat_map(|(_, names)| names.iter().copied());
            let all = || NAMES.map(|(kind, _)| kind.to_string()).join(", ");
            nearest(&given, names).map_or_else(
                || format!("there is no kind {text:?}; there are {}", all()),
                |near| format!("there is no kind {text:?}; did you mean {near}?"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_a_long_and_a_short_name_in_any_case() {
        for name in ["services", "service", "svc", "Service"] {
            assert_eq!(name.parse(), Ok(Kind::Services));
        }
        assert_eq!("no".parse(), Ok(Kind::Nodes));
        let error = "servics".parse::<Kind>().unwrap_err();
        assert!(error.contains("did you mean services?"), "{error}");
        assert!("x".parse::<Kind>().unwrap_err().contains("there are services, tasks"));
    }
}
