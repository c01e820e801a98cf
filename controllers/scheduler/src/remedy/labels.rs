//! How a node would meet the constraints: by other labels, or by fewer constraints.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::constraint::{Constraint, NodeFacts, Property, Wanted};
use skep_api::node::NodeSpec;
use skep_api::task::RemedyStep;

use crate::filter::Trial;
use crate::fleet::Fleet;

/// What each label would best be. It is the same for all nodes, so it is worked out once.
#[derive(Debug, Default)]
pub(super) struct Labels<'w>(BTreeMap<String, Advice<'w>>);

/// What a label would best be.
#[derive(Debug)]
struct Advice<'w> {
    /// The best value, and how many constraints on the label it leaves unmet.
    value: Option<(usize, &'w str)>,
    /// How many are unmet without the label.
    without: usize,
}

impl<'w> Labels<'w> {
    /// The steps by which `spec`, that of the node, would meet the constraints, and what it would be then, if it would change.
    pub(super) fn steps(
        &mut self,
        fleet: &'w Fleet,
        trial: &Trial<'w, '_>,
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
            steps.extend(self.step(fleet, trial, key, &mut changed));
        }
        let relax = |constraint: &Constraint| RemedyStep::Relax { constraint: constraint.to_string() };
        steps.extend(trial.rules.unmet(&trial.node.facts(&changed)).map(relax));
        (steps, Some(changed))
    }

    /// Sets or removes the label `key` of `spec` so that the fewest constraints on it are left over, if that is of use.
    fn step(
        &mut self,
        fleet: &'w Fleet,
        trial: &Trial<'w, '_>,
        key: &str,
        spec: &mut NodeSpec,
    ) -> Option<RemedyStep> {
        let before = left(trial, key, spec);
        if !self.0.contains_key(key) {
            self.0.insert(key.to_owned(), Advice::on(fleet, trial, key, spec));
        }
        let advice = self.0.get(key)?;
        let (node, has_label) = (trial.node.id.clone(), spec.labels.contains_key(key));
        let is_better_without = advice.value.is_none_or(|(left, _)| advice.without < left);
        let key = key.to_owned();
        if has_label && is_better_without && advice.without < before {
            spec.labels.remove(&key);
            return Some(RemedyStep::Unlabel { node, key });
        }
        let (_, value) = advice.value.filter(|(left, _)| *left < before)?;
        spec.labels.insert(key.clone(), value.to_owned());
        Some(RemedyStep::Label { node, key, value: value.to_owned() })
    }
}

impl<'w> Advice<'w> {
    /// Of the values that leave as few constraints over, the first: what constraints ask for, then what other nodes have.
    fn on(fleet: &'w Fleet, trial: &Trial<'w, '_>, key: &str, spec: &NodeSpec) -> Self {
        let mut spec = spec.clone();
        spec.labels.remove(key);
        let without = left(trial, key, &spec);
        let constraints = trial.rules.constraints.iter().filter(|constraint| label(constraint) == Some(key));
        let wanted = constraints.filter_map(|constraint| match constraint.wanted() {
            Wanted::Value(value) => Some(value),
            Wanted::Nothing | Wanted::Impossible => None,
        });
        let property = Property::NodeLabel(key.to_owned());
        let facts = fleet.known().filter_map(|(_, node)| Some(node.facts(node.spec.as_deref()?)));
        let found: BTreeSet<&str> = facts.filter_map(|facts: NodeFacts<'w>| property.value(&facts)).collect();
        let judged = wanted.chain(found).map(|value| {
            spec.labels.insert(key.to_owned(), value.to_owned());
            (left(trial, key, &spec), value)
        });
        Self { value: judged.min_by_key(|(left, _)| *left), without }
    }
}

/// How many constraints on the label `key` a node with `spec` does not meet.
fn left(trial: &Trial<'_, '_>, key: &str, spec: &NodeSpec) -> usize {
    let facts = trial.node.facts(spec);
    let constraints = trial.rules.constraints.iter().filter(|constraint| label(constraint) == Some(key));
    constraints.filter(|constraint| !constraint.matches(&facts)).count()
}

/// The label of nodes that `constraint` looks at.
fn label(constraint: &Constraint) -> Option<&str> {
    if let Property::NodeLabel(key) = constraint.property() { Some(key) } else { None }
}
