//! How a node would meet the constraints: by other labels, or by fewer constraints.

use std::collections::BTreeSet;

use skep_api::constraint::{Constraint, NodeFacts, Property, Wanted};
use skep_api::node::NodeSpec;
use skep_api::task::RemedyStep;

use crate::filter::Trial;
use crate::fleet::Fleet;

/// The steps by which `spec`, that of the node, would meet the constraints, and what it would be then, if it would change.
pub(super) fn steps(
    fleet: &Fleet,
    trial: &Trial<'_, '_>,
    spec: &NodeSpec,
    may_label: bool,
) -> (Vec<RemedyStep>, Option<NodeSpec>) {
    let unmet: Vec<&Constraint> = trial.rules.unmet(&trial.node.facts(spec)).collect();
    if unmet.is_empty() {
        return (Vec::new(), None);
    }
    let mut steps: Vec<RemedyStep> = Vec::new();
    let mut changed = spec.clone();
    let keys: BTreeSet<&str> = unmet.iter().filter_map(|constraint| label(constraint)).collect();
    for key in keys.into_iter().filter(|_| may_label) {
        steps.extend(label_steps(fleet, trial, key, &mut changed));
    }
    let relax = |constraint: &Constraint| RemedyStep::Relax { constraint: constraint.to_string() };
    steps.extend(trial.rules.unmet(&trial.node.facts(&changed)).map(relax));
    (steps, Some(changed))
}

/// Sets or removes the label `key` of `spec` so that the fewest constraints on it are left over, if that is of use.
fn label_steps(fleet: &Fleet, trial: &Trial<'_, '_>, key: &str, spec: &mut NodeSpec) -> Option<RemedyStep> {
    let constraints: Vec<&Constraint> =
        trial.rules.constraints.iter().filter(|constraint| label(constraint) == Some(key)).collect();
    let left = |spec: &NodeSpec| {
        let facts = trial.node.facts(spec);
        constraints.iter().filter(|constraint| !constraint.matches(&facts)).count()
    };
    let before = left(spec);
    let with = |value: Option<&str>| {
        let mut spec = spec.clone();
        match value {
            Some(value) => spec.labels.insert(key.to_owned(), value.to_owned()),
            None => spec.labels.remove(key),
        };
        spec
    };
    let wanted = constraints.iter().filter_map(|constraint| match constraint.wanted() {
        Wanted::Value(value) => Some(value),
        Wanted::Nothing | Wanted::Impossible => None,
    });
    let property = Property::NodeLabel(key.to_owned());
    let facts = fleet.known().filter_map(|(_, node)| Some(node.facts(node.spec.as_deref()?)));
    let found: BTreeSet<&str> = facts.filter_map(|facts: NodeFacts<'_>| property.value(&facts)).collect();
    let removed = spec.labels.contains_key(key).then_some(None);
    // Of those that leave as few over, the first: what constraints ask for, then what other nodes have, then nothing.
    let candidates = wanted.chain(found).map(Some).chain(removed);
    let best = candidates.map(|value| (left(&with(value)), value)).min_by_key(|(left, _)| *left);
    let (_, value) = best.filter(|(left, _)| *left < before)?;
    let changed = with(value);
    *spec = changed;
    let (node, key) = (trial.node.id.clone(), key.to_owned());
    Some(match value {
        Some(value) => RemedyStep::Label { node, key, value: value.to_owned() },
        None => RemedyStep::Unlabel { node, key },
    })
}

/// The label of nodes that `constraint` looks at.
fn label(constraint: &Constraint) -> Option<&str> {
    if let Property::NodeLabel(key) = constraint.property() { Some(key) } else { None }
}
