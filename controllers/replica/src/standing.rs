//! Which slots a service has, by its mode, and what is to become of each.

use std::collections::BTreeMap;

use skep_api::constraint::NodeFacts;
use skep_api::node::{Availability, NodeState};
use skep_api::service::{Mode, ServiceSpec};
use skep_api::task::{Slot, TaskState};
use skep_runtime::plan::Guard;
use skep_runtime::tasks::{NodeView, Tasks};

use crate::scale;
use crate::scope::is_job;
use crate::slots::SlotView;

/// What is to become of a slot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// It has a task, or gets one.
    Wanted,
    /// Nothing in it is made, stopped or followed.
    Frozen,
    /// It has no task now, for a reason that these guards stand for; its history is kept.
    Vacated(Vec<Guard>),
    /// It is none of the service's, or one too many.
    Surplus,
}

/// The slots that the service should have or has, with what is to become of each. `target` is the revision that slots
/// move to, if that is known.
pub(crate) fn of(
    tasks: &Tasks,
    spec: &ServiceSpec,
    target: Option<u64>,
    slots: &BTreeMap<Slot, SlotView<'_>>,
) -> BTreeMap<Slot, Standing> {
    let mut standings = match spec.mode {
        Mode::Replicated => replicated(spec, slots),
        Mode::ReplicatedJob => completions(spec, target, slots),
        Mode::Global | Mode::GlobalJob => on_nodes(tasks, spec, slots),
    };
    for slot in slots.keys() {
        standings.entry(slot.clone()).or_insert(Standing::Surplus);
    }
    standings
}

fn replicated(spec: &ServiceSpec, slots: &BTreeMap<Slot, SlotView<'_>>) -> BTreeMap<Slot, Standing> {
    let surplus = scale::surplus(slots, spec.replicas);
    let is_numbered = |slot: &&SlotView<'_>| slot.slot.number().is_some();
    let kept = slots.values().filter(is_numbered).filter(|slot| slot.is_kept());
    let kept = kept.filter(|slot| !surplus.contains(&slot.slot)).map(|slot| slot.slot.clone());
    kept.chain(scale::missing(slots, spec.replicas)).map(|slot| (slot, Standing::Wanted)).collect()
}

/// Each number is one run that must succeed. One that has succeeded is kept even if fewer are wanted now, so that it is
/// not repeated when more are wanted again.
fn completions(
    spec: &ServiceSpec,
    target: Option<u64>,
    slots: &BTreeMap<Slot, SlotView<'_>>,
) -> BTreeMap<Slot, Standing> {
    let completions = spec.job.as_ref().map_or(1, |job| job.completions);
    let done = slots.values().filter(|slot| slot.slot.number().is_some() && is_done(slot, target));
    let mut standings: BTreeMap<Slot, Standing> =
        done.map(|slot| (slot.slot.clone(), Standing::Frozen)).collect();
    standings.extend((0..completions).map(|number| (Slot::Number(number), Standing::Wanted)));
    standings
}

/// Whether a task of the revision `target` ran to its end in the slot of a job.
pub(crate) fn is_done(slot: &SlotView<'_>, target: Option<u64>) -> bool {
    slot.kept().any(|run| run.state == TaskState::Complete && Some(run.task.revision) == target)
}

/// A node that was removed is not among the nodes, so what is left in its slot is one too many.
fn on_nodes(
    tasks: &Tasks,
    spec: &ServiceSpec,
    slots: &BTreeMap<Slot, SlotView<'_>>,
) -> BTreeMap<Slot, Standing> {
    let mut standings = BTreeMap::new();
    for node in tasks.nodes() {
        let slot = Slot::Node(node.id.clone());
        let standing = on_node(&node, spec);
        if standing == Standing::Wanted || slots.contains_key(&slot) {
            standings.insert(slot, standing);
        }
    }
    standings
}

/// Swarm decides by the constraints that the task was made with; here the service's current ones count, so that a change of
/// placement alone adds and removes tasks and leaves all others alone.
fn on_node(node: &NodeView<'_>, spec: &ServiceSpec) -> Standing {
    let (Some(want), Some(status)) = (node.spec, node.status) else { return Standing::Frozen };
    match want.availability {
        Availability::Active => {}
        Availability::Pause => return Standing::Frozen,
        Availability::Drain => return Standing::Vacated(vec![node.spec_unchanged()]),
    }
    match status.state {
        NodeState::Ready => {}
        NodeState::Unreachable if !is_job(spec) => {}
        NodeState::Unknown | NodeState::Unreachable => return Standing::Frozen,
        NodeState::Down => return Standing::Vacated(vec![node.status_unchanged()]),
    }
    let facts = NodeFacts { id: node.id, spec: want, report: status.report.as_ref() };
    match spec.placement.misfit(&facts) {
        Some(_) => Standing::Vacated(vec![node.spec_unchanged(), node.status_unchanged()]),
        None => Standing::Wanted,
    }
}
