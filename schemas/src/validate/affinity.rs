//! Affinity: each term names one service, and no two of them exclude each other.

use super::placement::level;
use super::{Report, item, steps};
use crate::code;
use crate::constraint::Property;
use crate::key::ServiceRef;
use crate::object::Service;
use crate::service::Affinity;
use crate::tree::Step;

/// The most terms of one service.
const TERMS_MAX: usize = 16;
const LIST: [&str; 3] = ["spec", "placement", "affinity"];

/// A term as it is compared with others.
struct Term {
    other: ServiceRef,
    is_with: bool,
    /// `None` is one node.
    level: Option<Property>,
    index: usize,
}

pub(super) fn check(service: &Service, report: &mut Report<'_>) {
    let terms = &service.spec.placement.affinity;
    if terms.len() > TERMS_MAX {
        let message = format!("{} terms of affinity are more than {TERMS_MAX}", terms.len());
        report.fault(code::LIMIT, &steps(&LIST), message, "");
        return;
    }
    let mut sound: Vec<Term> = Vec::new();
    for (index, affinity) in terms.iter().enumerate() {
        let Some(term) = term(service, index, affinity, report) else { continue };
        if let Some(other) = sound.iter().find(|other| other.is_same(&term)) {
            let line = report.line(&path(other.index));
            let message = format!("the same is said of `{}` twice", term.other.name);
            report.fault(
                code::DUPLICATE_ITEM,
                &path(index),
                message,
                format!("it is at line {line} already"),
            );
        } else if let Some(other) = sound.iter().find(|other| other.excludes(&term)) {
            let line = report.line(&path(other.index));
            let message = format!("tasks cannot be with `{}` and apart from it", term.other.name);
            report.fault(code::CONFLICT, &path(index), message, format!("see line {line}"));
        }
        sound.push(term);
    }
}

fn term(service: &Service, index: usize, affinity: &Affinity, report: &mut Report<'_>) -> Option<Term> {
    let path = path(index);
    if !report.is_sound(&path) {
        return None;
    }
    let level = match &affinity.level {
        Some(text) => Some(level(text, &item(&LIST, index, "level"), report)?),
        None => None,
    };
    let (name, is_with) = match (&affinity.with, &affinity.apart) {
        (Some(name), None) => (name, true),
        (None, Some(name)) => (name, false),
        (with, _) => {
            let message = "exactly one of `with` and `apart` is wanted";
            let hint = if with.is_some() { "write two terms" } else { "such as `apart: db`" };
            report.fault(code::CONFLICT, &path, message, hint);
            return None;
        }
    };
    let stack = affinity.stack.as_ref().unwrap_or(&service.metadata.stack);
    Some(Term { other: ServiceRef::new(stack.clone(), name.clone()), is_with, level, index })
}

fn path(index: usize) -> Vec<Step<'static>> {
    let mut path = steps(&LIST);
    path.push(Step::Item(index));
    path
}

impl Term {
    fn is_same(&self, other: &Self) -> bool {
        self.other == other.other && self.is_with == other.is_with && self.level == other.level
    }

    /// Whether no node can meet both: what is on one node is together on every level.
    fn excludes(&self, other: &Self) -> bool {
        let with = if self.is_with { self } else { other };
        self.other == other.other
            && self.is_with != other.is_with
            && (with.level.is_none() || self.level == other.level)
    }
}
