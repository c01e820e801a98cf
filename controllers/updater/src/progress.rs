//! The next step of a rollout. Whether the update has failed is decided in the same plan that would admit further slots,
//! and before it (reliability.md, invariant 21).

use skep_api::rollout::{Batch, Rollout, RolloutState, Waiting};
use skep_api::time::Span;
use skep_runtime::plan::Plan;
use skep_runtime::table::Versioned;

use crate::act;
use crate::change::Change;
use crate::control;
use crate::failure;
use crate::scope::Scope;
use crate::slots::Slots;
use crate::world::World;

/// The next step of a rollout whose target holds all that the spec as it is wants.
pub(crate) fn advance(world: &World, scope: &Scope<'_>, old: &Versioned<Rollout>, plan: &mut Plan<Change>) {
    let mut rollout = (*old.value).clone();
    rollout.observed_version = scope.service.stamp.modified;
    if !scope.is_job() {
        control::obey(world, scope, &mut rollout, plan);
    }
    step(world, scope, &mut rollout, plan);
    if rollout == *old.value {
        plan.notes.clear();
    } else {
        plan.write(scope.advance(old, rollout));
    }
}

fn step(world: &World, scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    match rollout.state {
        RolloutState::Updating if rollout.batch == Batch::All => first(world, scope, rollout, plan),
        RolloutState::Updating | RolloutState::RollbackStarted => move_on(world, scope, rollout, plan),
        RolloutState::Paused | RolloutState::RollbackPaused => {
            if rollout.is_paused_by_people() {
                failure::count(world, scope, rollout);
            }
        }
        RolloutState::Completed | RolloutState::RollbackCompleted => {
            rollout.waiting = None;
            if rollout.stable != Some(rollout.target) {
                let slots = Slots::of(world, scope, rollout.target, rollout.state);
                settle(rollout, &slots);
            }
        }
    }
}

/// A first rollout replaces nothing: it is complete when all of it runs, however long that takes and whatever fails.
fn first(world: &World, scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    rollout.waiting = None;
    let slots = Slots::of(world, scope, rollout.target, rollout.state);
    if slots.is_complete() {
        complete(scope, rollout, &slots, plan);
    }
}

fn move_on(world: &World, scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    let policy = scope.policy(rollout.state);
    rollout.holds_new = rollout.state == RolloutState::Updating && policy.partition.is_some();
    let failure = failure::count(world, scope, rollout);
    let failure = failure.or_else(|| failure::remembered(rollout, scope.at.now));
    if let Some(failure) = failure
        && has_failed(scope, rollout)
        && act::fail(world, scope, rollout, failure, plan)
    {
        return;
    }
    let slots = Slots::of(world, scope, rollout.target, rollout.state);
    let missing = slots.missing(rollout);
    if let Some(slot) = missing.first() {
        let deadline = Some(policy.deadline).filter(|deadline| *deadline > Span::default());
        if !has_waited(scope, rollout, Waiting::BATCH, deadline, plan) {
            return;
        }
        let failure = failure::late(world, scope, rollout, slot, policy.deadline);
        rollout.failed.extend(missing);
        if has_failed(scope, rollout) && act::fail(world, scope, rollout, failure, plan) {
            return;
        }
    }
    if slots.has_waiting(&rollout.batch) {
        next_batch(scope, rollout, &slots, plan);
    } else if slots.is_whole()
        && (rollout.batch_number == 0
            || has_waited(scope, rollout, Waiting::MONITOR, Some(policy.monitor), plan))
    {
        complete(scope, rollout, &slots, plan);
    }
}

/// Whether more than the tolerated part of the slots has failed.
fn has_failed(scope: &Scope<'_>, rollout: &Rollout) -> bool {
    let failed = u32::try_from(rollout.failed.len()).unwrap_or(u32::MAX);
    scope.policy(rollout.state).max_failure_ratio.is_exceeded_by(failed, rollout.total)
}

/// The next batch comes when the delay after the last one is over, and as far as a partition lets it.
fn next_batch(scope: &Scope<'_>, rollout: &mut Rollout, slots: &Slots, plan: &mut Plan<Change>) {
    let delay = scope.policy(rollout.state).delay;
    let is_delayed = rollout.batch_number > 0 && !rollout.waits_for(Waiting::PARTITION);
    if is_delayed && !has_waited(scope, rollout, Waiting::DELAY, Some(delay), plan) {
        return;
    }
    if slots.room(scope, rollout) == 0 {
        has_waited(scope, rollout, Waiting::PARTITION, None, plan);
        return;
    }
    slots.admit(scope, rollout);
    let message = format!("batch {} may take revision {}", rollout.batch_number, rollout.target);
    plan.note(scope.regarding(), "BatchAdmitted", message);
}

/// Waits for `reason` since it was first waited for; returns whether that is `length` ago. Without one, it never is.
fn has_waited(
    scope: &Scope<'_>,
    rollout: &mut Rollout,
    reason: &str,
    length: Option<Span>,
    plan: &mut Plan<Change>,
) -> bool {
    let now = scope.at.now;
    let known = rollout.waiting.as_ref().filter(|waiting| waiting.reason == reason);
    let since = known.map_or(now, |waiting| waiting.since);
    let until = length.map(|length| since.after(length));
    if until.is_some_and(|until| until <= now) {
        return true;
    }
    if let Some(until) = until {
        plan.look_again_at(until);
    }
    rollout.waiting = Some(Waiting { reason: reason.to_owned(), since, until });
    false
}

fn complete(scope: &Scope<'_>, rollout: &mut Rollout, slots: &Slots, plan: &mut Plan<Change>) {
    let reason = if rollout.state == RolloutState::RollbackStarted {
        rollout.state = RolloutState::RollbackCompleted;
        "RollbackCompleted"
    } else {
        rollout.state = RolloutState::Completed;
        rollout.message.clear();
        "RolloutCompleted"
    };
    rollout.batch = Batch::All;
    rollout.waiting = None;
    rollout.holds_new = false;
    settle(rollout, slots);
    plan.note(scope.regarding(), reason, format!("slots have come to revision {}", rollout.target));
}

/// A revision is stable only if some slot has really run it: a service without replicas has proved nothing.
fn settle(rollout: &mut Rollout, slots: &Slots) {
    if slots.has_run() {
        rollout.stable = Some(rollout.target);
    }
}
