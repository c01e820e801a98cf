//! Invariants of updates, at every commit: how many slots go down, what a failure leads to, and what tasks are made of.

use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::rollout::{Rollout, RolloutState};
use skep_api::service::{FailureAction, Mode, ServiceSpec, UpdatePolicy};
use skep_api::task::{Cause, DesiredState, TaskState};

use super::invariant::{FAILURE_ACTS, PARALLELISM, ROLLBACK_RESTORES, SUPERSEDED, Violation};
use super::view::{Seen, Step, View, Written};

/// Checks what one commit did to rollouts and to the tasks that they move.
pub(crate) fn check(view: &View, written: &[Written], steps: &[Step]) -> Result<(), Violation> {
    for write in written {
        let (Key::Rollout(_), Some(entry)) = (&write.key, &write.entry) else { continue };
        let Ok(Object::Rollout(new)) = &entry.value else { continue };
        check_rollout(view, write.rollout_before.as_deref(), new)?;
    }
    steps.iter().try_for_each(|step| check_created(view, step))?;
    steps.iter().try_for_each(|step| check_stopped(view, step))
}

fn check_rollout(view: &View, old: Option<&Rollout>, new: &Rollout) -> Result<(), Violation> {
    let is_current =
        |version: i64| view.services.stamp(&new.service).is_some_and(|stamp| stamp.modified == version);
    let spec = view.services.get(&new.service).filter(|_| is_current(new.observed_version));
    if let Some(service) = spec {
        let policy = policy(&service.spec, new.state);
        let is_moving = matches!(new.state, RolloutState::Updating | RolloutState::RollbackStarted);
        let has_moved = old.is_none_or(|old| old.batch != new.batch && old.target == new.target);
        let failed = u32::try_from(new.failed.len()).unwrap_or(u32::MAX);
        let has_failed = policy.max_failure_ratio.is_exceeded_by(failed, new.total);
        let goes_on = policy.failure_action == FailureAction::Continue || !has_failed || new.stable.is_none();
        FAILURE_ACTS.check(!is_moving || !has_moved || goes_on, || {
            format!("{} admits slots although {failed} of {} have failed", new.service, new.total)
        })?;
    }
    let begins = new.state == RolloutState::RollbackStarted
        && old.is_some_and(|old| old.state != RolloutState::RollbackStarted && old.target != new.target);
    let is_restored = old.is_none_or(|old| Some(new.target) == old.stable);
    ROLLBACK_RESTORES.check(!begins || is_restored, || {
        format!(
            "{} goes back to {}, but {:?} was stable",
            new.service,
            new.target,
            old.and_then(|old| old.stable)
        )
    })
}

fn policy(spec: &ServiceSpec, state: RolloutState) -> &UpdatePolicy {
    match state {
        RolloutState::RollbackStarted | RolloutState::RollbackPaused | RolloutState::RollbackCompleted => {
            &spec.rollback
        }
        RolloutState::Updating | RolloutState::Paused | RolloutState::Completed => &spec.update,
    }
}

/// A task is made of the revision that slots move to, or of the stable one.
fn check_created(view: &View, step: &Step) -> Result<(), Violation> {
    let (None, Some(task)) = (&step.before, &step.after) else { return Ok(()) };
    let Some(rollout) = view.rollouts.get(&task.task.uid) else { return Ok(()) };
    let revision = task.task.revision;
    SUPERSEDED.check(revision == rollout.target || Some(revision) == rollout.stable, || {
        format!("{} was made of revision {revision}, but the rollout is {:?}", task.key, rollout.value)
    })
}

/// A task that serves is stopped for an update only while fewer slots are down by such stops than may be.
fn check_stopped(view: &View, step: &Step) -> Result<(), Violation> {
    let (Some(before), Some(after)) = (&step.before, &step.after) else { return Ok(()) };
    let is_lost = view.is_down(&before.key.place);
    if is_lost || !is_serving(before) || after.task.desired != DesiredState::Shutdown {
        return Ok(());
    }
    let Some((name, spec)) = own_service(view, before) else { return Ok(()) };
    if spec.mode != Mode::Replicated || view.evicts_now(&before.key) {
        return Ok(());
    }
    let tasks: Vec<Seen> = view.tasks().filter(|task| task.task.uid == before.task.uid).collect();
    let in_slot =
        |slot: &Seen| tasks.iter().filter(move |task| task.task.slot == slot.task.slot).cloned().collect();
    let moved: Vec<Seen> = in_slot(before);
    // One that replaces nothing was made for a slot that was empty already.
    let is_ours = |task: &Seen| {
        let is_move = matches!(task.task.cause, Cause::Update | Cause::Evict);
        is_move && task.is_wanted() && task.task.replaces.is_some()
    };
    if moved.iter().any(is_serving) || !moved.iter().any(is_ours) {
        return Ok(());
    }
    let state = view.rollouts.get(&before.task.uid).map_or(RolloutState::Updating, |rollout| rollout.state);
    let most = match policy(spec, state).parallelism {
        0 => usize::MAX,
        parallelism => parallelism as usize,
    };
    let mut down: Vec<String> = tasks
        .iter()
        .filter(|task| is_ours(task) && task.is_live() && !view.is_down(&task.key.place))
        .filter(|task| !tasks.iter().any(|other| other.task.slot == task.task.slot && is_serving(other)))
        .map(|task| task.task.slot.to_string())
        .collect();
    down.sort();
    down.dedup();
    PARALLELISM.check(down.len() <= most, || {
        format!("the slots {} of {name} are down by updates, but {most} may be", down.join(", "))
    })
}

fn is_serving(task: &Seen) -> bool {
    task.task.desired == DesiredState::Running && task.state == TaskState::Running
}

/// The service of `task`, if that is the one which made it.
fn own_service<'a>(view: &'a View, task: &'a Seen) -> Option<(&'a ServiceRef, &'a ServiceSpec)> {
    let name = &task.task.service;
    let is_own = view.uid_of(name).is_some_and(|uid| uid == task.task.uid);
    view.services.get(name).filter(|_| is_own).map(|service| (name, &service.spec))
}
