//! Which tasks of the target have failed, and what is kept of the one that decides.

use skep_api::rollout::{Failure, Rollout};
use skep_api::task::{DesiredState, Obstacle, Slot, TaskState};
use skep_api::time::{Span, Timestamp};
use skep_runtime::tasks::{Home, Run};

use crate::scope::Scope;
use crate::world::World;

/// The reason of a failure that people declare.
pub(crate) const ABORTED: &str = "Aborted";
/// The reason of a slot that did not run in time.
pub(crate) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// Counts the slots in which a task of the target has failed, and names the task that decides: the first that is new,
/// else the newest that is still known.
pub(crate) fn count(world: &World, scope: &Scope<'_>, rollout: &mut Rollout) -> Option<Failure> {
    let monitor = scope.policy(rollout.state).monitor;
    let runs = world.tasks.slots(scope.uid).into_values().flatten();
    let is_ours =
        |run: &Run<'_>| run.task.revision == rollout.target && run.task.stamp.created > rollout.since;
    let failed: Vec<Run<'_>> = runs.filter(is_ours).filter(|run| has_failed(run, monitor)).collect();
    let news = failed.iter().find(|run| !rollout.failed.contains(&run.task.slot));
    let decides = news.or_else(|| failed.iter().max_by_key(|run| run.at.name.planned_at()));
    let failure = decides.map(|run| of_task(run, scope.at.now));
    rollout.failed.extend(failed.iter().map(|run| run.task.slot.clone()));
    failure
}

/// Whether the task ended by itself before it ran, or not later than `monitor` after it came to run, with whatever exit
/// code ("failure or early termination"). Both instants are by the clock of its node. What was told to stop is SHUTDOWN.
fn has_failed(run: &Run<'_>, monitor: Span) -> bool {
    ended_by_itself(run)
        && run.task.desired < DesiredState::Remove
        && !is_being_examined(run)
        && run
            .status
            .is_some_and(|status| status.running.is_none_or(|running| status.since.since(running) <= monitor))
}

/// Whether its agent is about to say more of its end: that is part of what is kept. A node that is down says nothing more.
fn is_being_examined(run: &Run<'_>) -> bool {
    !matches!(run.home, Home::Down(_)) && run.status.is_some_and(|status| status.is_unexamined())
}

/// Whether the task has ended, not because it was told to and not because its node was removed.
pub(crate) fn ended_by_itself(run: &Run<'_>) -> bool {
    matches!(run.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected)
}

/// Whether the task ran for longer than `monitor` before it ended by itself: it had proved itself.
pub(crate) fn has_outlived(run: &Run<'_>, monitor: Span) -> bool {
    let ran = run.status.and_then(|status| Some(status.since.since(status.running?)));
    ended_by_itself(run) && ran.is_some_and(|ran| ran > monitor)
}

fn of_task(run: &Run<'_>, now: Timestamp) -> Failure {
    let reason = match run.state {
        TaskState::Rejected => "TaskRejected",
        TaskState::Complete => "TaskCompleted",
        TaskState::New
        | TaskState::Pending
        | TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Shutdown
        | TaskState::Failed
        | TaskState::Orphaned => "TaskFailed",
    };
    Failure { message: said(run), ..evidence(run, reason, now) }
}

/// What is kept of a slot whose failure only the rollout remembers, because its tasks are gone.
pub(crate) fn remembered(rollout: &Rollout, now: Timestamp) -> Option<Failure> {
    let slot = rollout.failed.first()?.clone();
    Some(unknown(slot, rollout.target, "TaskFailed", now))
}

/// What is kept of `slot`, which did not run within `deadline`: how far its newest task is, and why no further.
pub(crate) fn late(
    world: &World,
    scope: &Scope<'_>,
    rollout: &Rollout,
    slot: &Slot,
    deadline: Span,
) -> Failure {
    let now = scope.at.now;
    let runs = world.tasks.slots(scope.uid).remove(slot).unwrap_or_default();
    let newest = runs.iter().rfind(|run| run.task.revision == rollout.target);
    let Some(run) = newest else {
        let message = format!("no task of revision {} within {deadline}", rollout.target);
        return Failure { message, ..unknown(slot.clone(), rollout.target, DEADLINE_EXCEEDED, now) };
    };
    let said = said(run);
    let colon = if said.is_empty() { "" } else { ": " };
    let message = format!("not running within {deadline}, but {}{colon}{said}", run.state);
    Failure { message, ..evidence(run, DEADLINE_EXCEEDED, now) }
}

fn unknown(slot: Slot, revision: u64, reason: &str, now: Timestamp) -> Failure {
    Failure {
        task: None,
        slot,
        revision,
        reason: reason.to_owned(),
        message: String::new(),
        exit_code: None,
        log: Vec::new(),
        health: String::new(),
        seen: now,
    }
}

fn evidence(run: &Run<'_>, reason: &str, now: Timestamp) -> Failure {
    let failure = unknown(run.task.slot.clone(), run.task.revision, reason, now);
    let Some(status) = run.status else { return Failure { task: Some(run.at.name.clone()), ..failure } };
    Failure {
        task: Some(run.at.name.clone()),
        exit_code: status.container.as_ref().and_then(|container| container.exit_code),
        log: status.log.clone(),
        health: status.health.as_ref().map(|health| health.output.clone()).unwrap_or_default(),
        ..failure
    }
}

/// What went wrong with a task, or what it waits for, in the words of whoever knows.
fn said(run: &Run<'_>) -> String {
    let Some(status) = run.status else { return String::new() };
    let obstacles = || {
        let told = |it: &Obstacle| format!("{} on {} nodes: {}", it.filter, it.nodes, it.detail);
        let obstacles: Vec<String> = status.obstacles.iter().map(told).collect();
        (!obstacles.is_empty()).then(|| obstacles.join("; "))
    };
    status.error.clone().or_else(obstacles).unwrap_or_else(|| status.message.clone())
}
