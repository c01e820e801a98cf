//! Placement: constraints must have the form of one, and should name something that nodes have; levels name what nodes are
//! grouped by; what places tasks freely is not for services whose tasks belong to nodes.

use std::collections::BTreeMap;

use super::{LABEL_MAX_BYTES, LABELS_MAX, Report, affinity, steps, within};
use crate::code;
use crate::constraint::{Constraint, ConstraintError, Property};
use crate::object::Service;
use crate::problem::{Code, Fault};
use crate::service::{Mode, Placement};
use crate::tree::Step;

/// The most levels over which tasks are spread.
pub(super) const LEVELS_MAX: usize = 8;

pub(super) fn check(service: &Service, report: &mut Report<'_>) {
    let placement = &service.spec.placement;
    constraints(&placement.constraints, report);
    spread(&placement.spread, report);
    affinity::check(service, report);
    if report.is_sound(&["spec".into(), "mode".into()]) {
        goes_with_mode(service.spec.mode, placement, report);
    }
}

/// A task of a global service belongs to its node: nothing chooses it. A job's task runs once, and is not moved.
fn goes_with_mode(mode: Mode, placement: &Placement, report: &mut Report<'_>) {
    let is_everywhere = matches!(mode, Mode::Global | Mode::GlobalJob);
    let modes = "the modes replicated and replicated-job";
    let chosen = "remove it: such a service has a task on each node that its constraints allow";
    let fields = [
        ("maxReplicasPerNode", placement.max_replicas_per_node > 0, modes, "remove it"),
        ("spread", !placement.spread.is_empty(), modes, chosen),
        ("strategy", placement.strategy.is_some(), modes, chosen),
        (
            "affinity",
            !placement.affinity.is_empty(),
            modes,
            "use constraints, or the affinity of the other service",
        ),
    ];
    for (field, _, with, hint) in fields.into_iter().filter(|(_, is_there, ..)| *is_there && is_everywhere) {
        misplaced(field, with, hint, report);
    }
    if placement.rebalance.is_some() && mode != Mode::Replicated {
        misplaced("rebalance", "the mode replicated", "remove it", report);
    }
}

fn misplaced(field: &'static str, with: &str, hint: &str, report: &mut Report<'_>) {
    let path = steps(&["spec", "placement", field]);
    report.fault_name(code::CONFLICT, &path, format!("`{field}` goes with {with}"), hint);
}

fn constraints(constraints: &[String], report: &mut Report<'_>) {
    let list: [Step<'_>; 3] = ["spec".into(), "placement".into(), "constraints".into()];
    if constraints.len() > LABELS_MAX {
        let message = format!("{} constraints are more than {LABELS_MAX}", constraints.len());
        report.fault(code::LIMIT, &list, message, "");
    }
    for (index, text) in constraints.iter().enumerate() {
        let path = [list.as_slice(), &[Step::Item(index)]].concat();
        if !report.is_sound(&path) {
            continue;
        }
        if text.len() > LABEL_MAX_BYTES {
            let message = format!("a constraint has at most {LABEL_MAX_BYTES} bytes");
            report.fault(code::LIMIT, &path, message, "");
            continue;
        }
        match text.parse::<Constraint>() {
            Err(error) => grammar(code::BAD_CONSTRAINT, &path, text, &error, report),
            Ok(constraint) => {
                if let Some(doubt) = constraint.doubt() {
                    let message = format!("no node will match {text:?}: {}", doubt.reason);
                    let whole = report.root.locate(&path);
                    let extent = within(whole, text, doubt.at, doubt.length).unwrap_or(whole);
                    report.push(Fault::new(code::NEVER_MATCHES, extent, message).hint(doubt.hint));
                }
            }
        }
    }
}

/// Notes where `text` is wrong: at the character if the text is written on one line as it is, else in words.
fn grammar(code: Code, path: &[Step<'_>], text: &str, error: &ConstraintError, report: &mut Report<'_>) {
    let whole = report.root.locate(path);
    let fault = match within(whole, text, error.at(), error.length()) {
        Some(extent) => Fault::new(code, extent, error.reason()).hint(error.hint()),
        None => Fault::new(code, whole, error.to_string()),
    };
    report.push(fault);
}

fn spread(levels: &[String], report: &mut Report<'_>) {
    let list: [Step<'_>; 3] = ["spec".into(), "placement".into(), "spread".into()];
    if levels.len() > LEVELS_MAX {
        let message = format!("{} levels are more than {LEVELS_MAX}", levels.len());
        report.fault(code::LIMIT, &list, message, "");
        return;
    }
    let mut seen = BTreeMap::new();
    for (index, text) in levels.iter().enumerate() {
        let path = [list.as_slice(), &[Step::Item(index)]].concat();
        let Some(property) = level(text, &path, report) else { continue };
        if let Some(first) = seen.get(&property) {
            let message = format!("tasks are spread over `{property}` already");
            report.fault(code::DUPLICATE_ITEM, &path, message, format!("see line {first}"));
        } else {
            seen.insert(property, report.line(&path));
        }
    }
}

/// What the nodes of a level have in common; nothing if it is not a property, which is noted.
pub(super) fn level(text: &str, path: &[Step<'_>], report: &mut Report<'_>) -> Option<Property> {
    if !report.is_sound(path) {
        return None;
    }
    if text.len() > LABEL_MAX_BYTES {
        report.fault(code::LIMIT, path, format!("a level has at most {LABEL_MAX_BYTES} bytes"), "");
        return None;
    }
    match text.parse() {
        Ok(property) => Some(property),
        Err(error) => {
            grammar(code::BAD_LEVEL, path, text, &error, report);
            None
        }
    }
}
