//! Invariants of nodes, at every commit: what a task needs when it is placed, and what a node can give.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::constraint::NodeFacts;
use skep_api::ident::NodeId;
use skep_api::key::Place;
use skep_api::node::{Availability, Resources};
use skep_api::service::Protocol;
use skep_api::task::{DesiredState, Slot, TaskState};

use super::invariant::{CONSTRAINED, HOST_PORT, NO_OVERCOMMIT, Violation};
use super::view::{Seen, Step, View};

/// A port of a host.
pub(crate) type HostPort = (u16, Protocol);

/// Checks where one commit placed tasks, and the nodes on which it did so.
pub(crate) fn check(view: &View, steps: &[Step]) -> Result<(), Violation> {
    let mut nodes = BTreeSet::new();
    for step in steps {
        let Some(after) = &step.after else { continue };
        let Some(node) = after.key.place.node() else { continue };
        nodes.insert(node.clone());
        if step.before.as_ref().is_some_and(|before| before.key.place == Place::Pending) {
            check_choice(view, after, node)?;
        }
    }
    nodes.iter().try_for_each(|node| check_node(view, node))
}

/// What keeps a task from `node`, as far as availability and what its service asks of nodes now go.
pub(crate) fn obstacle(view: &View, task: &Seen, node: &NodeId) -> Option<String> {
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
    let report = view.reports.get(node).map(|held| held.value.as_ref());
    service.spec.placement.misfit(&NodeFacts { id: node, spec: &spec.value, report })
}

fn check_choice(view: &View, task: &Seen, node: &NodeId) -> Result<(), Violation> {
    match obstacle(view, task, node) {
        Some(obstacle) => Err(CONSTRAINED.broken(format!("{} was placed although {obstacle}", task.key))),
        None => Ok(()),
    }
}

fn check_node(view: &View, node: &NodeId) -> Result<(), Violation> {
    let tasks = live_on(view, node);
    if let Some(report) = view.reports.get(node) {
        let given = reserved(view, &tasks);
        let has = report.capacity;
        NO_OVERCOMMIT.check(given.cpus <= has.cpus && given.memory <= has.memory, || {
            format!("{node} has {has:?}, and {given:?} is given to {}", names(&tasks))
        })?;
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

/// The tasks on `node` that run or may still: one that was never claimed and is to end holds nothing.
pub(crate) fn live_on(view: &View, node: &NodeId) -> Vec<Seen> {
    let is_given_up = |task: &Seen| !task.is_wanted() && task.state < TaskState::Starting;
    let tasks = view.tasks().filter(|task| task.key.place.node() == Some(node) && task.is_live());
    tasks.filter(|task| !is_given_up(task)).collect()
}

/// What tasks of one node have been given together. One that is staged beside the task that it replaces counts with
/// what it needs more.
pub(crate) fn reserved(view: &View, tasks: &[Seen]) -> Resources {
    tasks.iter().fold(Resources::default(), |sum, task| {
        let own = needs(view, task);
        let freed = replaced_by(task, tasks).map(|old| needs(view, old)).unwrap_or_default();
        plus(sum, minus(own, freed))
    })
}

/// What a task reserves.
pub(crate) fn needs(view: &View, task: &Seen) -> Resources {
    let revision = view.revision_of(&task.task);
    revision.map(|revision| revision.task.resources.reservations.amounts()).unwrap_or_default()
}

/// The host ports that a task asks for by number.
pub(crate) fn host_ports(view: &View, task: &Seen) -> BTreeSet<HostPort> {
    let ports =
        view.revision_of(&task.task).map(|revision| revision.host_ports.as_slice()).unwrap_or_default();
    ports.iter().filter(|port| port.published != 0).map(|port| (port.published, port.protocol)).collect()
}

/// The task in whose place a staged task stands, if that has not ended.
fn replaced_by<'a>(task: &Seen, tasks: &'a [Seen]) -> Option<&'a Seen> {
    let old = task.task.replaces.as_ref().filter(|_| task.task.desired == DesiredState::Ready)?;
    tasks.iter().find(|other| other.key.name == *old && other.key.stack == task.key.stack)
}

/// The sum of two amounts.
pub(crate) fn plus(one: Resources, other: Resources) -> Resources {
    combine(one, other, u64::saturating_add)
}

fn minus(one: Resources, other: Resources) -> Resources {
    combine(one, other, u64::saturating_sub)
}

fn combine(one: Resources, other: Resources, with: impl Fn(u64, u64) -> u64) -> Resources {
    use skep_api::quantity::{Cpus, Memory};
    Resources {
        cpus: Cpus::from_nanos(with(one.cpus.as_nanos(), other.cpus.as_nanos())),
        memory: Memory::from_bytes(with(one.memory.as_bytes(), other.memory.as_bytes())),
    }
}

fn names(tasks: &[Seen]) -> String {
    tasks.iter().map(|task| task.key.name.to_string()).collect::<Vec<_>>().join(", ")
}
