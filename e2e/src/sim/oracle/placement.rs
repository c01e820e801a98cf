//! Invariants of nodes, at every commit: what a task needs when it is placed, and what a node can give.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::NodeId;
use skep_api::key::Place;
use skep_api::node::{Availability, Generic, NodeReport};
use skep_api::service::Protocol;
use skep_api::task::{DesiredState, Slot, TaskState};

use super::affinity::{Recent, conflict};
use super::fit::{lack, misfit};
use super::invariant::{CONSTRAINED, HOST_PORT, NO_OVERCOMMIT, Violation};
use super::view::{Seen, Step, View};

/// A port of a host.
type HostPort = (u16, Protocol);

/// What tasks reserve, and what nodes have to give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Amounts {
    cpus: u64,
    memory: u64,
    generic: BTreeMap<String, u64>,
}

/// Checks where one commit placed tasks, and the nodes on which it did so.
pub(super) fn check(view: &View, steps: &[Step], recent: &Recent) -> Result<(), Violation> {
    let mut nodes = BTreeSet::new();
    for step in steps {
        let Some(after) = &step.after else { continue };
        let Some(node) = after.key.place.node() else { continue };
        nodes.insert(node.clone());
        if step.before.as_ref().is_some_and(|before| before.key.place == Place::Pending) {
            check_choice(view, after, node, recent)?;
        }
    }
    nodes.iter().try_for_each(|node| check_node(view, node))
}

/// What keeps a task from `node`, as far as the node itself and what its service asks of nodes now go.
pub(super) fn obstacle(view: &View, task: &Seen, node: &NodeId) -> Option<String> {
    let Some(spec) = view.nodes.get(node) else { return Some("the node is gone".to_owned()) };
    if spec.availability != Availability::Active {
        return Some(format!("the node is {:?}", spec.availability));
    }
    if view.sessions.get(node).is_none() {
        return Some("the node has no session".to_owned());
    }
    if matches!(&task.task.slot, Slot::Node(own) if own != node) {
        return Some("the task belongs to another node".to_owned());
    }
    let service = &task.task.service;
    let is_same = view.uid_of(service).is_some_and(|uid| uid == task.task.uid);
    let Some(service) = view.services.get(service).filter(|_| is_same) else {
        return Some("its service is gone or damaged".to_owned());
    };
    misfit(view, &service.spec.placement, node).or_else(|| lack(view, task, node))
}

/// Whether `node` would take `task` now, beside what is on it.
pub(super) fn fits(view: &View, task: &Seen, node: &NodeId) -> bool {
    let Some(report) = view.reports.get(node) else { return false };
    let on_node = live_on(view, node);
    let mut used = reserved(view, &on_node);
    used.add(&needs(view, task));
    let ports = host_ports(view, task);
    obstacle(view, task, node).is_none()
        && on_node.iter().all(|other| host_ports(view, other).is_disjoint(&ports))
        && used.excess(report).is_none()
        && is_one_too_many(view, task, node).is_none()
        && conflict(view, task, node, None).is_none()
}

fn check_choice(view: &View, task: &Seen, node: &NodeId, recent: &Recent) -> Result<(), Violation> {
    if let Some(obstacle) = obstacle(view, task, node) {
        return Err(CONSTRAINED.broken(format!("{} was placed although {obstacle}", task.key)));
    }
    if let Some(conflict) = conflict(view, task, node, Some(recent)) {
        return Err(CONSTRAINED.broken(format!("{} was placed although {conflict}", task.key)));
    }
    match is_one_too_many(view, task, node) {
        Some(words) => Err(NO_OVERCOMMIT.broken(format!("{} was placed although {words}", task.key))),
        None => Ok(()),
    }
}

/// Whether `node` has as many tasks of the service of `task` beside it as it may have. That limit holds where a task is
/// placed: nobody has to go when it is lowered.
fn is_one_too_many(view: &View, task: &Seen, node: &NodeId) -> Option<String> {
    let most = view.services.get(&task.task.service)?.spec.placement.max_replicas_per_node;
    let on_node = live_on(view, node);
    let replaced = replaced_by(task, &on_node).map(|old| &old.key.name);
    let is_other = |other: &&Seen| {
        other.task.uid == task.task.uid
            && other.is_wanted()
            && other.key.name != task.key.name
            && Some(&other.key.name) != replaced
    };
    let others = on_node.iter().filter(is_other).count();
    (most > 0 && others >= most as usize)
        .then(|| format!("{others} of its service are there, and {most} may be"))
}

fn check_node(view: &View, node: &NodeId) -> Result<(), Violation> {
    let tasks = live_on(view, node);
    if let Some(report) = view.reports.get(node) {
        let excess = reserved(view, &tasks).excess(report);
        NO_OVERCOMMIT.check(excess.is_none(), || {
            format!("of {node} {} is given to {}", excess.unwrap_or_default(), names(&tasks))
        })?;
        check_claims(view, report, &tasks)?;
    }
    let mut holders: BTreeMap<HostPort, &Seen> = BTreeMap::new();
    for task in &tasks {
        let freed = replaced_by(task, &tasks).map(|old| host_ports(view, old)).unwrap_or_default();
        for port in host_ports(view, task).difference(&freed) {
            if let Some(other) = holders.insert(*port, task) {
                let words = format!("{port:?} of {node} is held by {} and {}", other.key, task.key);
                return Err(HOST_PORT.broken(words));
            }
        }
    }
    Ok(())
}

/// A task has as many named resources as it reserves, those that its node has, and none that another one has.
fn check_claims(view: &View, report: &NodeReport, tasks: &[Seen]) -> Result<(), Violation> {
    let mut holders: BTreeMap<(&str, &str), &Seen> = BTreeMap::new();
    for task in tasks {
        let needs = needs(view, task).generic;
        let unasked = task.task.generic.keys().find(|kind| !needs.contains_key(*kind));
        NO_OVERCOMMIT.check(unasked.is_none(), || format!("{} has {unasked:?} unasked", task.key))?;
        let old = replaced_by(task, tasks);
        for (kind, count) in needs {
            let claimed = task.task.generic.get(&kind);
            let named = match report.generic.get(&kind) {
                Some(Generic::Named(named)) => named,
                Some(Generic::Count(_)) | None => {
                    NO_OVERCOMMIT.check(claimed.is_none(), || {
                        format!("{} has {claimed:?} of {kind}, which has no names there", task.key)
                    })?;
                    continue;
                }
            };
            let held = claimed.map_or(0, |claimed| claimed.len() as u64);
            let is_there = claimed.is_none_or(|claimed| claimed.is_subset(named));
            NO_OVERCOMMIT.check(held == count && is_there, || {
                format!("{} reserves {count} {kind} of {named:?}, and has {claimed:?}", task.key)
            })?;
            let Some((kind, claimed)) = task.task.generic.get_key_value(&kind) else { continue };
            for value in claimed {
                let is_inherited = old
                    .and_then(|old| old.task.generic.get(kind))
                    .is_some_and(|inherited| inherited.contains(value));
                let other = if is_inherited { None } else { holders.insert((kind, value), task) };
                NO_OVERCOMMIT.check(other.is_none(), || {
                    format!("{kind} {value} is held by {} and {:?}", task.key, other.map(|other| &other.key))
                })?;
            }
        }
    }
    Ok(())
}

/// The tasks on `node` that run or may still: one that was never claimed and is to end holds nothing.
pub(super) fn live_on(view: &View, node: &NodeId) -> Vec<Seen> {
    let is_given_up = |task: &Seen| !task.is_wanted() && task.state < TaskState::Starting;
    let tasks = view.tasks().filter(|task| task.key.place.node() == Some(node) && task.is_live());
    tasks.filter(|task| !is_given_up(task)).collect()
}

/// What tasks of one node have been given together. One that is staged beside the task that it replaces counts with
/// what it needs more.
fn reserved(view: &View, tasks: &[Seen]) -> Amounts {
    tasks.iter().fold(Amounts::default(), |mut sum, task| {
        let freed = replaced_by(task, tasks).map(|old| needs(view, old)).unwrap_or_default();
        sum.add(&needs(view, task).beyond(&freed));
        sum
    })
}

/// What a task reserves.
fn needs(view: &View, task: &Seen) -> Amounts {
    let Some(revision) = view.revision_of(&task.task) else { return Amounts::default() };
    let reserved = &revision.task.resources.reservations;
    let amounts = reserved.amounts();
    let generic = reserved.generic.iter().filter(|(_, count)| **count > 0);
    Amounts {
        cpus: amounts.cpus.as_nanos(),
        memory: amounts.memory.as_bytes(),
        generic: generic.map(|(kind, count)| (kind.clone(), u64::from(*count))).collect(),
    }
}

/// The host ports that a task asks for by number.
fn host_ports(view: &View, task: &Seen) -> BTreeSet<HostPort> {
    let ports =
        view.revision_of(&task.task).map(|revision| revision.host_ports.as_slice()).unwrap_or_default();
    ports.iter().filter(|port| port.published != 0).map(|port| (port.published, port.protocol)).collect()
}

/// The task in whose place a staged task stands, if that has not ended.
pub(super) fn replaced_by<'a>(task: &Seen, tasks: &'a [Seen]) -> Option<&'a Seen> {
    let old = task.task.replaces.as_ref().filter(|_| task.task.desired == DesiredState::Ready)?;
    let is_here = |other: &&Seen| {
        other.key.name == *old && other.key.stack == task.key.stack && other.key.place == task.key.place
    };
    tasks.iter().find(is_here)
}

impl Amounts {
    fn add(&mut self, other: &Self) {
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.memory = self.memory.saturating_add(other.memory);
        for (kind, count) in &other.generic {
            *self.generic.entry(kind.clone()).or_default() += count;
        }
    }

    /// What it has more than `other`.
    fn beyond(self, other: &Self) -> Self {
        let more = |(kind, count): (String, u64)| {
            let rest = count.saturating_sub(other.generic.get(&kind).copied().unwrap_or_default());
            (kind, rest)
        };
        Self {
            cpus: self.cpus.saturating_sub(other.cpus),
            memory: self.memory.saturating_sub(other.memory),
            generic: self.generic.into_iter().map(more).collect(),
        }
    }

    /// What of it is more than a machine has.
    fn excess(&self, report: &NodeReport) -> Option<String> {
        let has = |kind: &str| report.generic.get(kind).map_or(0, Generic::count);
        let capacity = report.capacity;
        let generic = self.generic.iter().map(|(kind, count)| (kind.as_str(), *count, has(kind)));
        let fixed = [
            ("cpus", self.cpus, capacity.cpus.as_nanos()),
            ("memory", self.memory, capacity.memory.as_bytes()),
        ];
        let mut all = fixed.into_iter().chain(generic);
        let over = all.find(|(_, given, has)| given > has);
        over.map(|(kind, given, has)| format!("{given} {kind} of {has}"))
    }
}

fn names(tasks: &[Seen]) -> String {
    tasks.iter().map(|task| task.key.name.to_string()).collect::<Vec<_>>().join(", ")
}
