//! What nodes are known by: the properties that constraints, spread levels and affinities look at.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::constraint::parse::{self, ConstraintError};
use crate::ident::NodeId;
use crate::manifest::nearest;
use crate::node::{NodeReport, NodeSpec, Role};

/// What a constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// The node's id, exactly.
    Id,
    /// The node's name.
    Name,
    /// The machine's host name.
    Hostname,
    /// The node's address: an address or a network.
    Ip,
    /// worker or manager.
    Role,
    /// The operating system.
    Os,
    /// The processor.
    Architecture,
    /// A label of the node.
    NodeLabel(String),
    /// A label of its Docker daemon.
    EngineLabel(String),
    /// Something that no node has.
    Unknown,
}

/// What is known of a node, for comparing.
#[derive(Debug, Clone, Copy)]
pub struct NodeFacts<'a> {
    /// Its id.
    pub id: &'a NodeId,
    /// What people say of it.
    pub spec: &'a NodeSpec,
    /// What its agent says of it, if it has said anything.
    pub report: Option<&'a NodeReport>,
}

/// Those with a name of their own.
const NAMED: [(&str, Property); 7] = [
    ("node.id", Property::Id),
    ("node.name", Property::Name),
    ("node.hostname", Property::Hostname),
    ("node.ip", Property::Ip),
    ("node.role", Property::Role),
    ("node.platform.os", Property::Os),
    ("node.platform.arch", Property::Architecture),
];
/// What begins the names of labels.
const NODE_LABELS: &str = "node.labels.";
const ENGINE_LABELS: &str = "engine.labels.";
/// What others call it.
const ELSEWHERE: [(&str, &str); 3] =
    [("node.arch", "node.platform.arch"), ("node.os", "node.platform.os"), ("node.address", "node.ip")];
/// What to say when nothing is near.
pub(super) const SUCH_AS: &str = "such as node.labels.KEY, node.name, node.role, node.platform.arch";

impl Property {
    /// The value that `node` has; `None` if it has none, or its agent has not said it yet. A label that is there may be
    /// empty.
    pub fn value<'a>(&self, node: &NodeFacts<'a>) -> Option<&'a str> {
        let said = |get: fn(&'a NodeReport) -> &'a str| node.report.map(get).filter(|text| !text.is_empty());
        match self {
            Self::Id => Some(node.id.as_str()),
            Self::Name => Some(node.spec.name.as_str()),
            Self::Hostname => said(|report| &report.hostname),
            Self::Ip => said(|report| &report.address),
            Self::Role => Some(match node.spec.role {
                Role::Worker => "worker",
                Role::Manager => "manager",
            }),
            Self::Os => said(|report| &report.platform.os),
            Self::Architecture => said(|report| &report.platform.architecture),
            Self::NodeLabel(key) => label(&node.spec.labels, key),
            Self::EngineLabel(key) => node.report.and_then(|report| label(&report.engine.labels, key)),
            Self::Unknown => None,
        }
    }

    /// The property that `key` names; names are case-insensitive, labels' keys are not.
    pub(super) fn of(key: &str) -> Self {
        let after = |prefix: &str| {
            let head = key.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix));
            head.and(key.get(prefix.len()..)).filter(|rest| !rest.is_empty())
        };
        if let Some(label) = after(NODE_LABELS) {
            return Self::NodeLabel(label.to_owned());
        }
        if let Some(label) = after(ENGINE_LABELS) {
            return Self::EngineLabel(label.to_owned());
        }
        let named = NAMED.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        named.map_or(Self::Unknown, |(_, property)| property)
    }
}

fn label<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    labels.get(key).map(String::as_str)
}

/// What `key`, which nodes do not have, most likely stands for.
pub(super) fn meant(key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    if let Some((_, ours)) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == lower) {
        return Some((*ours).to_owned());
    }
    let mut names = NAMED.iter().map(|(name, _)| *name);
    let Some((head, last)) = key.rsplit_once('.').filter(|(_, last)| !last.is_empty()) else {
        // One word: the end of a name, or else somebody's label.
        let whole = names.find(|name| name.rsplit('.').next() == Some(lower.as_str()));
        return Some(whole.map_or_else(|| format!("{NODE_LABELS}{key}"), str::to_owned));
    };
    if matches!(head, "label" | "labels") {
        return Some(format!("{NODE_LABELS}{last}"));
    }
    // What follows `node.lable.` may be anything; a label's key may have dots itself.
    let kind_end = key.match_indices('.').nth(1).map(|(at, _)| at);
    let kind = kind_end.and_then(|end| key.get(..end)).unwrap_or_default();
    let kinds = [NODE_LABELS, ENGINE_LABELS].map(|kind| kind.trim_end_matches('.'));
    let label = kind_end.and_then(|end| key.get(end..)).filter(|label| label.len() > 1);
    if let (Some(kind), Some(label)) = (nearest(kind, kinds.into_iter()), label) {
        return Some(format!("{kind}{label}"));
    }
    nearest(key, names).map(str::to_owned)
}

/// Reads the name of a property that nodes have.
impl FromStr for Property {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        parse::property(text)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeLabel(key) => write!(f, "{NODE_LABELS}{key}"),
            Self::EngineLabel(key) => write!(f, "{ENGINE_LABELS}{key}"),
            Self::Id
            | Self::Name
            | Self::Hostname
            | Self::Ip
            | Self::Role
            | Self::Os
            | Self::Architecture
            | Self::Unknown => {
                let name = NAMED.iter().find(|(_, property)| property == self).map(|(name, _)| *name);
                f.write_str(name.unwrap_or("unknown"))
            }
        }
    }
}
