//! What is said of nodes that do not fit.

use std::collections::BTreeSet;
use std::fmt;

use skep_api::constraint::{Constraint, NodeFacts, Property, Wanted};
use skep_api::manifest::nearest;
use skep_api::node::{Availability, NodeReport, NodeSpec, NodeState};
use skep_api::quantity::{Cpus, Memory};

use crate::filter::{Lack, Miss};
use crate::fleet::Fleet;
use crate::node::Node;

/// Memory that is missing is told in whole MiB, rounded up, so that it is enough.
const MIB: u128 = 1 << 20;
/// Values that are shorter than this are all alike.
const GUESS_MIN: usize = 3;

/// What speaks against `node`, as the rest of a sentence that begins with its name.
pub(crate) fn missing(node: &Node, miss: &Miss<'_>) -> String {
    match miss {
        Miss::Closed => closed(node).to_owned(),
        Miss::Resources(lack) => format!("needs {lack}"),
        Miss::Plugins { first, .. } => format!("lacks {first}"),
        Miss::Constraints { first, .. } => format!("does not meet {first}"),
        Miss::Platform => match &node.report {
            Some(report) => format!("is {}", platform_of(report)),
            None => "has not said what it is".to_owned(),
        },
        Miss::HostPort(port) => {
            let holder = node.ledger.holder(*port).map_or("another task", |task| task.as_str());
            let protocol = format!("{:?}", port.1).to_lowercase();
            format!("has {}/{protocol} in use by {holder}", port.0)
        }
        Miss::MaxReplicas { has: 1 } => "has 1 task of the service already".to_owned(),
        Miss::MaxReplicas { has } => format!("has {has} tasks of the service already"),
        Miss::Volumes { first, .. } => {
            format!("lacks the volume {}, which is on {}", first.volume, first.node)
        }
        Miss::Affinity { first, .. } => first.to_string(),
    }
}

/// What somebody may have meant who wrote `constraint`: the label or the value of a node that is nearest to what no node
/// has. Nothing if some node has it.
pub(crate) fn guess(fleet: &Fleet, constraint: &Constraint) -> Option<String> {
    let Wanted::Value(wanted) = constraint.wanted() else { return None };
    let property = constraint.property();
    let facts = || fleet.known().filter_map(|(_, node)| Some(node.facts(node.spec.as_deref()?)));
    if facts().any(|facts| constraint.matches(&facts)) {
        return None;
    }
    if let Some(meant) = other_name(fleet, property, wanted) {
        return Some(meant);
    }
    let values: BTreeSet<&str> = facts().filter_map(|facts| property.value(&facts)).collect();
    if let (true, Property::NodeLabel(label)) = (values.is_empty(), property) {
        let labels: BTreeSet<&str> =
            facts().flat_map(|facts| facts.spec.labels.keys()).map(String::as_str).collect();
        let near = nearest(label, labels.iter().copied()).filter(|near| near != label);
        return near.map(|near| Property::NodeLabel(near.to_owned()).to_string());
    }
    let near = nearest(wanted, values.iter().copied()).filter(|_| wanted.len() >= GUESS_MIN)?;
    Some(format!("{property} == {near}"))
}

/// The constraint by the other name, if a node is called `wanted` by that: people's name of it, or the machine's own.
fn other_name(fleet: &Fleet, property: &Property, wanted: &str) -> Option<String> {
    if !matches!(property, Property::Id | Property::Name | Property::Hostname) {
        return None;
    }
    let other = if *property == Property::Name { Property::Hostname } else { Property::Name };
    let mut facts = fleet.known().filter_map(|(_, node)| Some(node.facts(node.spec.as_deref()?)));
    let is_called =
        |facts: NodeFacts<'_>| other.value(&facts).is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    facts.any(is_called).then(|| format!("{other} == {wanted}"))
}

/// What the machine is, as `os/architecture`.
pub(crate) fn platform_of(report: &NodeReport) -> String {
    format!("{}/{}", report.platform.os, report.platform.architecture)
}

fn closed(node: &Node) -> &'static str {
    match (node.spec.as_deref(), node.state) {
        (None, _) => "has a spec that does not decode",
        (_, NodeState::Unknown) => "has not been heard of yet",
        (_, NodeState::Unreachable) => "is unreachable",
        (_, NodeState::Down) => "is down",
        (Some(NodeSpec { availability, .. }), NodeState::Ready) => match availability {
            Availability::Pause => "is paused",
            Availability::Drain => "is drained",
            Availability::Active => "has lost its session",
        },
    }
}

/// `bytes` in whole MiB, rounded up.
pub(crate) fn whole_mib(bytes: u128) -> Memory {
    Memory::from_bytes(saturate(bytes.div_ceil(MIB).saturating_mul(MIB)))
}

/// `number`, or as near to it as 64 bits get.
pub(crate) fn saturate(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
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
