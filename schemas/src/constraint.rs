//! Placement constraints: `key == value` and `key != value`, by SwarmKit's rules (`manager/constraint`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Not as _;
use std::str::FromStr;

use crate::ident::NodeId;
use crate::node::{NodeReport, NodeSpec, Platform, Role};
use crate::service::{Placement, PlatformRequirement};

/// What a constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// How it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// A condition that a node must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    text: String,
    property: Property,
    operator: Operator,
    value: String,
}

/// A text is not a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a constraint: {reason}")]
pub struct ConstraintError {
    text: String,
    reason: &'static str,
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

impl Constraint {
    /// What it looks at.
    pub fn property(&self) -> &Property {
        &self.property
    }

    /// Whether `node` meets it. A property that the node lacks is unequal to everything; an unknown one never matches.
    pub fn matches(&self, node: &NodeFacts<'_>) -> bool {
        if self.property == Property::Unknown {
            return false;
        }
        if self.property == Property::Ip {
            return self.matches_address(node);
        }
        let found = self.found(node).filter(|found| !found.is_empty());
        let is_exact = self.property == Property::Id;
        let is_equal = found.is_some_and(|found| {
            if is_exact { found == self.value } else { found.to_lowercase() == self.value.to_lowercase() }
        });
        self.holds(is_equal)
    }

    fn holds(&self, is_equal: bool) -> bool {
        is_equal == (self.operator == Operator::Equal)
    }

    /// A value that is neither an address nor a network never matches.
    fn matches_address(&self, node: &NodeFacts<'_>) -> bool {
        let Some(network) = Network::parse(&self.value) else { return false };
        let address = node.report.and_then(|report| report.address.parse().ok());
        self.holds(address.is_some_and(|address| network.contains(address)))
    }

    fn found<'a>(&self, node: &NodeFacts<'a>) -> Option<&'a str> {
        let report = node.report;
        match &self.property {
            Property::Id => Some(node.id.as_str()),
            Property::Name => Some(node.spec.name.as_str()),
            Property::Hostname => report.map(|report| report.hostname.as_str()),
            Property::Role => Some(match node.spec.role {
                Role::Worker => "worker",
                Role::Manager => "manager",
            }),
            Property::Os => report.map(|report| report.platform.os.as_str()),
            Property::Architecture => report.map(|report| report.platform.architecture.as_str()),
            Property::NodeLabel(key) => label(&node.spec.labels, key),
            Property::EngineLabel(key) => report.and_then(|report| label(&report.engine.labels, key)),
            Property::Ip | Property::Unknown => None,
        }
    }
}

impl Placement {
    /// Why `node` is none of the nodes that this asks for, in a few words; nothing if it is one. A constraint that does
    /// not parse is met by no node.
    pub fn misfit(&self, node: &NodeFacts<'_>) -> Option<String> {
        let unmet = self.constraints.iter().find(|text| {
            let constraint: Result<Constraint, _> = text.parse();
            constraint.is_ok_and(|constraint| constraint.matches(node)).not()
        });
        if let Some(text) = unmet {
            return Some(format!("it does not meet {text:?}"));
        }
        let platform = node.report.map(|report| &report.platform);
        let runs = self.platforms.is_empty() || self.platforms.iter().any(|wanted| wanted.is_met(platform));
        (!runs).then(|| "the image does not run on its platform".to_owned())
    }
}

impl PlatformRequirement {
    /// Whether `platform` is what this asks for; `None` is a machine that has not said what it is.
    pub fn is_met(&self, platform: Option<&Platform>) -> bool {
        let is_any_or = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        platform.is_some_and(|have| {
            is_any_or(&self.os, &have.os) && is_any_or(goarch(&self.architecture), goarch(&have.architecture))
        })
    }
}

/// The kernel's name of a processor in Go's words, as SwarmKit reads it.
fn goarch(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn label<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    labels.get(key).map(String::as_str)
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Self, ConstraintError> {
        let wrong = |reason| ConstraintError { text: text.chars().take(100).collect(), reason };
        let (key, operator, value) = if let Some((key, value)) = text.split_once("==") {
            (key, Operator::Equal, value)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, Operator::NotEqual, value)
        } else {
            return Err(wrong("write `key == value` or `key != value`, such as `node.labels.zone == a`"));
        };
        let (key, value) = (key.trim(), value.trim());
        if !is_key(key) {
            return Err(wrong("its key must be letters, digits, '.', '_' and '-', such as node.labels.zone"));
        }
        if !is_value(value) {
            return Err(wrong(
                "its value must not be empty, and has letters, digits, spaces or : - _ . * ( ) ? + [ ] \\ ^ $ | / only",
            ));
        }
        Ok(Self { text: text.to_owned(), property: Property::of(key), operator, value: value.to_owned() })
    }
}

impl Property {
    /// The property that `key` names; names are case-insensitive, labels' keys are not.
    fn of(key: &str) -> Self {
        let after = |prefix: &str| {
            let head = key.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix));
            head.and(key.get(prefix.len()..)).filter(|rest| !rest.is_empty())
        };
        if let Some(label) = after("node.labels.") {
            return Self::NodeLabel(label.to_owned());
        }
        if let Some(label) = after("engine.labels.") {
            return Self::EngineLabel(label.to_owned());
        }
        match key.to_ascii_lowercase().as_str() {
            "node.id" => Self::Id,
            "node.name" => Self::Name,
            "node.hostname" => Self::Hostname,
            "node.ip" => Self::Ip,
            "node.role" => Self::Role,
            "node.platform.os" => Self::Os,
            "node.platform.arch" => Self::Architecture,
            _ => Self::Unknown,
        }
    }
}

fn is_key(key: &str) -> bool {
    key.len() >= 2
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_value(value: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || r":-_.*()?+[]\^$|/".contains(c);
    !value.is_empty() && value.chars().all(is_allowed)
}

/// A network of addresses; one address is a network of one.
struct Network {
    address: IpAddr,
    /// How many leading bits count.
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - self.prefix;
                ours.to_bits().checked_shr(shift) == theirs.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - self.prefix;
                ours.to_bits().checked_shr(shift) == theirs.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Engine, Platform};

    /// What `look` sees of a node that has everything.
    fn with_node<T>(look: impl FnOnce(&NodeFacts<'_>) -> T) -> T {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let spec = NodeSpec {
            drain: crate::node::DrainMode::default(),
            name: "n1".to_owned(),
            role: Role::Manager,
            availability: crate::node::Availability::Active,
            labels: labels("zone", "A b"),
        };
        let report = NodeReport {
            hostname: "host-1".to_owned(),
            address: "10.0.0.7".to_owned(),
            platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
            engine: Engine { version: String::new(), labels: labels("disk", "ssd") },
            ..NodeReport::default()
        };
        let id = NodeId::from_random(1);
        look(&NodeFacts { id: &id, spec: &spec, report: Some(&report) })
    }

    fn matches(constraint: &str) -> bool {
        with_node(|node| constraint.parse::<Constraint>().unwrap().matches(node))
    }

    #[test]
    fn a_placement_names_what_a_node_does_not_meet() {
        let platform = |architecture: &str| PlatformRequirement {
            os: String::new(),
            architecture: architecture.to_owned(),
        };
        let misfit = |constraints: &[&str], architectures: &[&str]| {
            let constraints = constraints.iter().map(|&text| text.to_owned()).collect();
            let platforms = architectures.iter().map(|name| platform(name)).collect();
            let placement = Placement { constraints, platforms, ..Placement::default() };
            with_node(|node| placement.misfit(node))
        };
        assert_eq!(misfit(&[], &[]), None);
        assert_eq!(misfit(&["node.role == manager"], &["arm64", "x86_64"]), None);
        assert!(misfit(&["node.role == worker"], &[]).unwrap().contains("node.role == worker"));
        assert!(misfit(&["nonsense"], &[]).is_some());
        assert!(misfit(&[], &["arm64"]).unwrap().contains("platform"));
    }

    #[test]
    fn values_are_compared_without_case_and_keys_of_labels_with_it() {
        for yes in [
            "node.labels.zone == a B",
            "node.labels.zone!=b",
            "NODE.Role==MANAGER",
            "node.name == N1",
            "node.hostname == HOST-1",
            "node.platform.os == linux",
            "node.platform.arch != arm64",
            "engine.labels.disk == SSD",
            "node.id == 000000000001",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["node.labels.zone == b", "node.labels.Zone == a b", "node.role != manager"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn a_missing_label_is_unequal_and_an_unknown_key_never_matches() {
        assert!(!matches("node.labels.rack == 1"));
        assert!(matches("node.labels.rack != 1"));
        assert!(!matches("node.colour == red"));
        assert!(!matches("node.colour != red"));
    }

    #[test]
    fn an_address_is_compared_with_an_address_or_a_network() {
        for yes in [
            "node.ip == 10.0.0.7",
            "node.ip == 10.0.0.0/24",
            "node.ip != 10.1.0.0/16",
            "node.ip == 0.0.0.0/0",
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in
            ["node.ip == 10.0.0.8", "node.ip == 10.0.0.0/33", "node.ip != 10.0.0.0/33", "node.ip != nonsense"]
        {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn without_a_report_what_the_agent_says_is_unequal() {
        let id = NodeId::from_random(1);
        let spec = NodeSpec {
            drain: crate::node::DrainMode::default(),
            name: "n".to_owned(),
            role: Role::Worker,
            availability: crate::node::Availability::Active,
            labels: BTreeMap::new(),
        };
        let facts = NodeFacts { id: &id, spec: &spec, report: None };
        for (text, outcome) in
            [("node.hostname == x", false), ("node.hostname != x", true), ("node.ip != 10.0.0.1", true)]
        {
            assert_eq!(text.parse::<Constraint>().unwrap().matches(&facts), outcome, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_constraint_is_refused() {
        for text in [
            "",
            "node.role",
            "node.role = x",
            "== x",
            "n == x",
            "1a == x",
            "node.role ==",
            "node.role == ä",
            "a b == c",
        ] {
            assert!(text.parse::<Constraint>().is_err(), "{text:?}");
        }
    }
}
