//! Constraints, read a second time: the simplest reading of what `skep_api::constraint` documents, for the properties that
//! the simulator's services ask about.

use std::collections::BTreeMap;

use skep_api::ident::NodeId;
use skep_api::node::{NodeReport, NodeSpec, Role};

/// A node as constraints and levels see it.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) id: &'a NodeId,
    pub(super) spec: &'a NodeSpec,
    pub(super) report: Option<&'a NodeReport>,
}

/// The operators, each with what comes before and after it.
const OPERATORS: [&str; 10] = [" not in ", " in ", " !exists", " exists", "==", "!=", "<=", ">=", "<", ">"];

/// Whether the node meets `text`; what cannot be read is met by none.
pub(super) fn is_met(text: &str, facts: Facts<'_>) -> bool {
    let text = format!("{text} ");
    let found = OPERATORS.iter().find_map(|operator| Some((*operator, text.split_once(operator)?)));
    let Some((operator, (key, wanted))) = found else { return false };
    if !is_known(key.trim()) {
        return false;
    }
    let (value, wanted) = (property(key.trim(), facts), wanted.trim());
    let list = || wanted.trim_matches(['(', ')']).split(',').map(str::trim);
    let is = |pattern: &str| value.as_deref().is_some_and(|value| matches(pattern, value));
    let number = || Some((value.as_deref()?.parse::<f64>().ok()?, wanted.parse::<f64>().ok()?));
    match operator {
        "==" => is(wanted),
        "!=" => !is(wanted),
        " in " => list().any(is),
        " not in " => !list().any(is),
        " exists" => value.is_some(),
        " !exists" => value.is_none(),
        "<" => number().is_some_and(|(value, limit)| value < limit),
        "<=" => number().is_some_and(|(value, limit)| value <= limit),
        ">" => number().is_some_and(|(value, limit)| value > limit),
        ">=" => number().is_some_and(|(value, limit)| value >= limit),
        _ => false,
    }
}

/// Whether nodes may have such a property.
fn is_known(key: &str) -> bool {
    const FIXED: [&str; 6] =
        ["node.id", "node.name", "node.role", "node.hostname", "node.platform.os", "node.platform.arch"];
    FIXED.contains(&key) || key.starts_with("node.labels.") || key.starts_with("engine.labels.")
}

/// The value of a property, if the node has one.
pub(super) fn property(key: &str, facts: Facts<'_>) -> Option<String> {
    let Facts { id, spec, report } = facts;
    let of_report = |part: fn(&NodeReport) -> &str| report.map(|report| part(report).to_owned());
    let label = |labels: &BTreeMap<String, String>, key: &str| labels.get(key).cloned();
    if let Some(key) = key.strip_prefix("node.labels.") {
        return label(&spec.labels, key);
    }
    if let Some(key) = key.strip_prefix("engine.labels.") {
        return report.and_then(|report| label(&report.engine.labels, key));
    }
    match key {
        "node.id" => Some(id.to_string()),
        "node.name" => Some(spec.name.clone()),
        "node.role" => Some(if spec.role == Role::Manager { "manager" } else { "worker" }.to_owned()),
        "node.hostname" => of_report(|report| &report.hostname),
        "node.platform.os" => of_report(|report| &report.platform.os),
        "node.platform.arch" => of_report(|report| &report.platform.architecture),
        _ => None,
    }
}

/// Whether `value` is what `pattern` describes, in upper or lower case: `*` is any text, `?` any character.
fn matches(pattern: &str, value: &str) -> bool {
    let is_alike =
        |wanted: char, found: char| wanted == '?' || wanted.to_lowercase().eq(found.to_lowercase());
    let mut rest = pattern.chars();
    match rest.next() {
        None => value.is_empty(),
        Some('*') => {
            let ends = value.char_indices().map(|(at, _)| at).chain([value.len()]);
            ends.filter_map(|at| value.get(at..)).any(|left| matches(rest.as_str(), left))
        }
        Some(wanted) => {
            let mut found = value.chars();
            found.next().is_some_and(|found| is_alike(wanted, found))
                && matches(rest.as_str(), found.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_read() {
        let labels = [("zone", "a"), ("slots", "12"), ("disk", "ssd-1")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let spec = NodeSpec {
            name: "n".to_owned(),
            role: Role::Worker,
            availability: skep_api::node::Availability::Active,
            drain: skep_api::node::DrainMode::default(),
            labels: BTreeMap::from(labels),
        };
        let id = NodeId::from_random(1);
        let met = |text: &str| is_met(text, Facts { id: &id, spec: &spec, report: None });
        for yes in [
            "node.labels.zone == A",
            "node.labels.zone!=b",
            "node.labels.rack != b",
            "node.labels.zone in (a, b)",
            "node.labels.zone not in (b,c)",
            "node.labels.rack not in (b,c)",
            "node.labels.zone exists",
            "node.labels.rack !exists",
            "node.labels.slots >= 12",
            "node.labels.slots < 100",
            "node.labels.disk == ssd-*",
            "node.labels.disk == ??d-?",
        ] {
            assert!(met(yes), "{yes}");
        }
        for no in [
            "node.labels.zone == b",
            "node.labels.rack == b",
            "node.labels.zone in (b, c)",
            "node.labels.rack exists",
            "node.labels.slots > 12",
            "node.labels.disk < 3",
            "node.labels.disk == sd*",
            "nonsense",
            "nonsense == a",
            "node.colour != a",
        ] {
            assert!(!met(no), "{no}");
        }
    }
}
