//! People's word on a rollout: hold it, go on although it failed, go back.

use skep_api::key::ServiceRef;
use skep_api::rollout::{Batch, Failure, Rollout, RolloutState, Waiting};
use skep_api::task::Slot;
use skep_runtime::plan::Plan;

use crate::act;
use crate::change::Change;
use crate::failure;
use crate::scope::{Scope, expect};
use crate::world::World;

/// Deletes a word on a service that is gone; returns whether there is one.
pub(crate) fn forget_stale(world: &World, name: &ServiceRef, plan: &mut Plan<Change>) -> bool {
    let (control, uid) = (world.controls.get(name), world.services.uid(name));
    let is_meant = match control {
        Some(control) => uid == Some(&control.uid),
        None => uid.is_some() || !world.controls.has(name),
    };
    if !is_meant {
        plan.write(Change::ForgetControl {
            service: name.clone(),
            because: world.services.same(name),
            previous: expect(world.controls.stamp(name)),
        });
    }
    !is_meant
}

/// Does what people say. `resume` and `abort` are done once, and only about the target that they name; `paused` holds as
/// long as it stands.
pub(crate) fn obey(world: &World, scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    if let Some(control) = scope.control
        && control.stamp.modified != rollout.obeyed
        && (control.resume.is_some() || control.abort.is_some())
    {
        rollout.obeyed = control.stamp.modified;
        if control.abort == Some(rollout.target) {
            abort(world, scope, rollout, plan);
        } else if control.resume == Some(rollout.target) {
            resume(scope, rollout, plan);
        }
    }
    if pause(scope, rollout) {
        plan.note(scope.regarding(), "UpdatePaused", rollout.message.clone());
    } else if rollout.is_paused_by_people() && !is_pause_wanted(scope) {
        go_on(rollout);
        plan.note(scope.regarding(), "UpdateResumed", format!("slots move to revision {}", rollout.target));
    }
}

fn is_pause_wanted(scope: &Scope<'_>) -> bool {
    scope.control.is_some_and(|control| control.paused)
}

/// Pauses a rollout that moves, if people want that. A first rollout is none: it replaces nothing.
pub(crate) fn pause(scope: &Scope<'_>, rollout: &mut Rollout) -> bool {
    let (state, what) = match rollout.state {
        RolloutState::Updating => (RolloutState::Paused, "paused"),
        RolloutState::RollbackStarted => (RolloutState::RollbackPaused, "rollback paused"),
        RolloutState::Paused
        | RolloutState::RollbackPaused
        | RolloutState::Completed
        | RolloutState::RollbackCompleted => return false,
    };
    if !is_pause_wanted(scope) || rollout.batch == Batch::All {
        return false;
    }
    rollout.state = state;
    rollout.waiting = Some(Waiting { reason: Waiting::PAUSED.to_owned(), since: scope.at.now, until: None });
    rollout.message = format!("{what}{}", by(scope));
    true
}

/// By whom, if that is known.
fn by(scope: &Scope<'_>) -> String {
    let actor = scope.control.map(|control| control.actor.as_str()).filter(|actor| !actor.is_empty());
    actor.map(|actor| format!(" by {actor}")).unwrap_or_default()
}

/// Goes on where it was paused: with the same slots, whose time begins anew.
fn go_on(rollout: &mut Rollout) {
    let is_back = rollout.state == RolloutState::RollbackPaused;
    rollout.state = if is_back { RolloutState::RollbackStarted } else { RolloutState::Updating };
    rollout.waiting = None;
    rollout.message = match &rollout.failure {
        Some(failure) if is_back => act::told("update rolled back", failure),
        Some(_) | None => String::new(),
    };
}

/// Forgives what a failure paused.
fn resume(scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    if !rollout.is_paused() || rollout.is_paused_by_people() {
        return;
    }
    rollout.failure = None;
    rollout.failed.clear();
    rollout.since = scope.at.cut;
    go_on(rollout);
    let message = format!("slots move on to revision {}: its failures are forgiven", rollout.target);
    plan.note(scope.regarding(), "UpdateResumed", message);
}

/// Goes back to what is stable.
fn abort(world: &World, scope: &Scope<'_>, rollout: &mut Rollout, plan: &mut Plan<Change>) {
    let Some(stable) = rollout.stable.filter(|stable| *stable != rollout.target) else { return };
    let slot = match &rollout.batch {
        Batch::Slots(slots) => slots.first().cloned(),
        Batch::All => None,
    };
    let failure = Failure {
        task: None,
        slot: slot.unwrap_or(Slot::Number(1)),
        revision: rollout.target,
        reason: failure::ABORTED.to_owned(),
        message: format!("rolled back{}", by(scope)),
        exit_code: None,
        log: Vec::new(),
        health: String::new(),
        seen: scope.at.now,
    };
    act::roll_back(world, scope, rollout, stable, failure, plan);
}
