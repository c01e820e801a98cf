//! How far the slots are on their way to the target, and whose turn is next.

use std::collections::BTreeMap;

use skep_api::rollout::{Batch, Rollout, RolloutState, Waiting};
use skep_api::task::{DesiredState, Slot};
use skep_runtime::plan::Plan;
use skep_runtime::table::Versioned;
use skep_runtime::tasks::Run;

use crate::change::Change;
use crate::rollout::Scope;
use crate::world::World;

/// How far a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has no task of the target.
    Behind,
    /// It has one, or had one, which does not run.
    Moving,
    /// A task of the target runs in it.
    There,
}

/// How far each slot of the service is on its way to the revision `target`. Slots that are being removed do not count.
pub(crate) fn slots(world: &World, scope: &Scope<'_>, target: u64) -> BTreeMap<Slot, Stage> {
    let slots = world.tasks.slots(scope.uid);
    slots.into_iter().filter_map(|(slot, runs)| Some((slot.clone(), stage(&runs, target)?))).collect()
}

fn stage(runs: &[Run<'_>], target: u64) -> Option<Stage> {
    let kept = || runs.iter().filter(|run| run.task.desired < DesiredState::Remove);
    let newest = kept().next_back()?;
    let mut of_target = kept().filter(|run| run.task.revision == target);
    Some(if of_target.clone().any(Run::is_serving) {
        Stage::There
    } else if newest.task.revision == target || of_target.any(Run::is_wanted) {
        Stage::Moving
    } else {
        Stage::Behind
    })
}

/// The slots whose turn is next: as many of those that are behind as `parallelism` (0: all) says.
pub(crate) fn next_batch(slots: &BTreeMap<Slot, Stage>, parallelism: u32) -> Batch {
    let behind = slots.iter().filter(|(_, stage)| **stage == Stage::Behind).map(|(slot, _)| slot.clone());
    if parallelism == 0 { Batch::All } else { Batch::Slots(behind.take(parallelism as usize).collect()) }
}

/// The next step of a rollout that speaks of the spec as it is.
pub(crate) fn advance(world: &World, scope: &Scope<'_>, old: &Versioned<Rollout>, plan: &mut Plan<Change>) {
    let is_settled = old.state == RolloutState::Completed && old.stable == Some(old.target);
    if is_settled || !matches!(old.state, RolloutState::Updating | RolloutState::Completed) {
        return;
    }
    let slots = slots(world, scope, old.target);
    let next = if old.state == RolloutState::Completed {
        with_stable(old, &slots)
    } else if is_complete(scope, &slots) {
        let message = format!("every slot is on revision {}", old.target);
        plan.note(format!("Service/{}", scope.name), "RolloutCompleted", message);
        Rollout {
            state: RolloutState::Completed,
            batch: Batch::All,
            waiting: None,
            ..with_stable(old, &slots)
        }
    } else {
        moved(scope, old, &slots, plan)
    };
    if next != *old.value {
        plan.write(scope.advance(old, next));
    }
}

fn is_complete(scope: &Scope<'_>, slots: &BTreeMap<Slot, Stage>) -> bool {
    let wanted = scope.service.spec.replicas as usize;
    slots.len() == wanted && slots.values().all(|stage| *stage == Stage::There)
}

/// A revision is stable only if some slot has really run it: a service without replicas has proved nothing.
fn with_stable(old: &Rollout, slots: &BTreeMap<Slot, Stage>) -> Rollout {
    let has_run = slots.values().any(|stage| *stage == Stage::There);
    Rollout { stable: if has_run { Some(old.target) } else { old.stable }, ..old.clone() }
}

/// The next batch comes when every slot of the last one runs the target, and the delay after that is over.
fn moved(
    scope: &Scope<'_>,
    old: &Rollout,
    slots: &BTreeMap<Slot, Stage>,
    plan: &mut Plan<Change>,
) -> Rollout {
    let policy = &scope.service.spec.update;
    let at_rest = Rollout { waiting: None, ..old.clone() };
    let Batch::Slots(batch) = &old.batch else { return at_rest };
    let is_there = |slot: &Slot| slots.get(slot).is_none_or(|stage| *stage == Stage::There);
    let is_last = slots.values().all(|stage| *stage != Stage::Behind);
    if is_last || !batch.iter().all(is_there) {
        return at_rest;
    }
    let since = old.waiting.as_ref().map_or(scope.at.now, |waiting| waiting.since);
    let until = since.after(policy.delay);
    if until <= scope.at.now {
        return Rollout { batch: next_batch(slots, policy.parallelism), ..at_rest };
    }
    plan.look_again_at(until);
    Rollout { waiting: Some(Waiting { reason: "Delay".to_owned(), since, until: Some(until) }), ..at_rest }
}
