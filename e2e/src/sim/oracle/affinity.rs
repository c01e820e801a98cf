//! Affinity, at the commit that places a task and at rest: `apart` in both directions, `with` unless it begins.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::ident::NodeId;
use skep_api::key::{Key, ServiceRef};
use skep_api::service::Affinity;

use super::constraint::property;
use super::fit::facts;
use super::placement::replaced_by;
use super::view::{Seen, Step, View, Written};

/// How late a scheduler may know what no write of its own compares: tasks and specs of other services, labels of other
/// nodes. A watch may be silent for so long.
const LATE: Duration = Duration::from_secs(60);

/// What was so a short time ago.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    now: Duration,
    /// When services and nodes were last written.
    written: BTreeMap<Key, Duration>,
    /// When a task of a service last ceased to be on a node.
    left: BTreeMap<(ServiceRef, NodeId), Duration>,
}

impl Recent {
    /// Takes in what a commit did.
    pub(super) fn learn(&mut self, at: Duration, written: &[Written], steps: &[Step]) {
        self.now = at;
        let specs = written.iter().filter(|write| matches!(write.key, Key::Service(_) | Key::Node(_)));
        self.written.extend(specs.map(|write| (write.key.clone(), at)));
        for before in steps.iter().filter_map(|step| step.before.as_ref()).filter(|seen| is_active(seen)) {
            if let Some(node) = before.key.place.node() {
                self.left.insert((before.task.service.clone(), node.clone()), at);
            }
        }
    }

    fn is_new(&self, at: Option<&Duration>) -> bool {
        at.is_some_and(|at| *at + LATE >= self.now)
    }

    fn is_rewritten(&self, service: &ServiceRef) -> bool {
        self.is_new(self.written.get(&Key::Service(service.clone())))
    }

    fn is_a_node_rewritten(&self) -> bool {
        self.written.iter().any(|(key, at)| matches!(key, Key::Node(_)) && self.is_new(Some(at)))
    }
}

/// One term of a service.
struct Term {
    is_apart: bool,
    other: ServiceRef,
    level: Option<String>,
}

/// What affinity has against `task` on `node`. `recent` excuses what a scheduler may not know yet.
pub(super) fn conflict(view: &View, task: &Seen, node: &NodeId, recent: Option<&Recent>) -> Option<String> {
    let us = &task.task.service;
    let tasks: Vec<Seen> = view.tasks().filter(|other| is_active(other) && other.key != task.key).collect();
    let replaced = replaced_by(task, &tasks).map(|old| old.key.clone());
    let on = |service: &ServiceRef, level: Option<&String>, any_uid: bool| {
        let uid = view.uid_of(service);
        let place = branch(view, node, level);
        let is_there = |other: &&Seen| {
            other.task.service == *service
                && (any_uid || uid.as_ref() == Some(&other.task.uid))
                && Some(&other.key) != replaced.as_ref()
                && other.key.place.node().is_some_and(|node| branch(view, node, level) == place)
        };
        tasks.iter().filter(is_there).count()
    };
    let is_vague =
        |level: Option<&String>| level.is_some() && recent.is_some_and(Recent::is_a_node_rewritten);
    for term in terms(view, us).iter().filter(|term| !is_vague(term.level.as_ref())) {
        let (other, level) = (&term.other, term.level.as_ref());
        let is_excused = other != us && recent.is_some_and(|recent| recent.is_rewritten(other));
        if term.is_apart && !is_excused && on(other, level, false) > 0 {
            return Some(format!("it is to be apart from {other}"));
        }
        if !term.is_apart && !is_excused && on(other, level, true) == 0 && !begins(view, us, other, &tasks) {
            let place = branch(view, node, level);
            let was_there = recent.is_some_and(|recent| {
                let left = recent
                    .left
                    .iter()
                    .filter(|((service, _), at)| service == other && recent.is_new(Some(at)));
                left.into_iter().any(|((_, node), _)| branch(view, node, level) == place)
            });
            if !was_there {
                return Some(format!("it is to be with {other}"));
            }
        }
    }
    let others = view.services.iter().map(|(name, _)| name).filter(|name| *name != us);
    for other in others.filter(|other| !recent.is_some_and(|recent| recent.is_rewritten(other))) {
        let against = |term: &&Term| term.is_apart && term.other == *us && !is_vague(term.level.as_ref());
        if terms(view, other).iter().filter(against).any(|term| on(other, term.level.as_ref(), false) > 0) {
            return Some(format!("{other} is to be apart from it"));
        }
    }
    None
}

/// Whether `us` may go anywhere although it is to be with `other`: there is none, and one of the two has to be first.
fn begins(view: &View, us: &ServiceRef, other: &ServiceRef, tasks: &[Seen]) -> bool {
    let uid = view.uid_of(other);
    let is_nowhere = !tasks.iter().any(|task| Some(&task.task.uid) == uid.as_ref());
    let is_mutual = terms(view, other).iter().any(|term| !term.is_apart && term.other == *us);
    is_nowhere && (us == other || is_mutual && us < other)
}

fn terms(view: &View, service: &ServiceRef) -> Vec<Term> {
    let term = |affinity: &Affinity| {
        let name = affinity.apart.as_ref().or(affinity.with.as_ref())?;
        let stack = affinity.stack.as_ref().unwrap_or(&service.stack);
        let other = ServiceRef::new(stack.clone(), name.clone());
        Some(Term { is_apart: affinity.apart.is_some(), other, level: affinity.level.clone() })
    };
    let spec = view.services.get(service).map(|service| service.spec.placement.affinity.as_slice());
    spec.unwrap_or_default().iter().filter_map(term).collect()
}

/// Where `node` is, as `level` divides the nodes: nodes that lack the property are together.
pub(super) fn branch(view: &View, node: &NodeId, level: Option<&String>) -> String {
    let Some(level) = level else { return node.to_string() };
    facts(view, node).and_then(|facts| property(level, facts)).unwrap_or_default()
}

/// Whether it is on a node and meant to go on.
fn is_active(task: &Seen) -> bool {
    task.is_wanted() && task.is_live() && task.key.place.node().is_some()
}
