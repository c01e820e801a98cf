//! What an update that failed comes to: it goes on, pauses, or goes back.

use std::collections::BTreeSet;

use skep_api::rollout::{Batch, Failure, Rollout, RolloutState};
use skep_api::service::FailureAction;
use skep_runtime::plan::Plan;

use crate::change::Change;
use crate::failure;
use crate::scope::Scope;
use crate::slots::Slots;
use crate::world::World;

/// Does what the policy says about `failure`; returns whether that stops the update. A rollback is never rolled back: its
/// target is what is stable.
pub(crate) fn fail(
    world: &World,
    scope: &Scope<'_>,
    rollout: &mut Rollout,
    failure: Failure,
    plan: &mut Plan<Change>,
) -> bool {
    let is_back = rollout.state == RolloutState::RollbackStarted;
    let back_to = rollout.stable.filter(|stable| *stable != rollout.target);
    match (scope.policy(rollout.state).failure_action, back_to) {
        (FailureAction::Continue, _) => {
            rollout.failure.get_or_insert(failure);
            return false;
        }
        (FailureAction::Rollback, Some(stable)) => {
            roll_back(world, scope, rollout, stable, failure, plan);
        }
        (FailureAction::Rollback, None) | (FailureAction::Pause, _) => {
            let what = if is_back { "rollback paused" } else { "update paused" };
            rollout.state = if is_back { RolloutState::RollbackPaused } else { RolloutState::Paused };
            rollout.waiting = None;
            rollout.message = told(what, &failure);
            rollout.failure = Some(failure);
            plan.warn(scope.regarding(), "UpdatePaused", rollout.message.clone());
        }
    }
    true
}

/// Turns round: slots move to `stable`, as the rollback policy says. What people wrote is left as it is.
pub(crate) fn roll_back(
    world: &World,
    scope: &Scope<'_>,
    rollout: &mut Rollout,
    stable: u64,
    failure: Failure,
    plan: &mut Plan<Change>,
) {
    let slots = Slots::of(world, scope, stable, RolloutState::RollbackStarted);
    rollout.target = stable;
    rollout.since = scope.at.cut;
    rollout.batch = Batch::Slots(BTreeSet::new());
    rollout.batch_number = 0;
    rollout.waiting = None;
    rollout.failed.clear();
    rollout.holds_new = false;
    rollout.state = RolloutState::RollbackStarted;
    rollout.message = told("update rolled back", &failure);
    rollout.failure = Some(failure);
    rollout.total = slots.count_behind();
    slots.admit(scope, rollout);
    plan.warn(scope.regarding(), "RollbackStarted", rollout.message.clone());
}

/// Why, in Docker's words where it has any.
pub(crate) fn told(what: &str, failure: &Failure) -> String {
    match (failure.reason.as_str(), &failure.task) {
        (failure::ABORTED, _) => failure.message.clone(),
        (failure::DEADLINE_EXCEEDED, _) => format!("{what} due to slot {} not running in time", failure.slot),
        (_, Some(task)) => format!("{what} due to failure or early termination of task {task}"),
        (_, None) => format!("{what} due to failure in slot {}", failure.slot),
    }
}
