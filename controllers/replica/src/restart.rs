//! What follows a task that ended, or whose node is lost, while it was wanted.

use skep_api::task::{Cause, DesiredState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Raise, Stop};
use crate::create::{Origin, create};
use crate::scope::Scope;
use crate::slots::SlotView;

/// A task that ran for less than this has ended quickly.
const QUICK: Span = Span::from_secs(10);

/// Gives the task `over`, which is wanted but ended or lost, its one successor, and stops wanting it in the same moment.
///
/// A successor of the same revision is prepared during the restart delay and waits for it. A task that ended before its
/// own delay was over is followed only then, or a missing image would be asked for in a tight loop (SwarmKit's restart
/// supervisor, step 1).
pub(crate) fn succeed(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    over: &Run<'_>,
    revision: u64,
    plan: &mut Plan<Change>,
) {
    let is_restart = over.task.revision == revision;
    let alive = slot.alive_besides(Some(over));
    if !scope.rollout.may_make(revision) || alive.len() > 1 {
        return;
    }
    if !is_restart && !scope.is_rollout_current() {
        return;
    }
    if let Some(earliest) = over.task.start_after.filter(|at| is_restart && *at > scope.at.now) {
        plan.look_again_at(earliest);
        return;
    }
    let predecessor = alive.first().copied().unwrap_or(over);
    let origin = if is_restart { again(scope, over, predecessor) } else { changed(predecessor) };
    let mut because = scope.unchanged();
    because.push(over.still_over());
    let successor = create(scope, &slot.slot, revision, origin);
    plan.warn(scope.regarding(), "TaskReplaced", told(over, successor.task.start_after));
    plan.write(Change::Replace(Stop::new(over, DesiredState::Shutdown, because), successor));
}

fn again(scope: &Scope<'_>, over: &Run<'_>, predecessor: &Run<'_>) -> Origin {
    let delay = scope.spec().restart.delay;
    let is_quick = over.status.is_some_and(|status| ended_quickly(status));
    Origin {
        start_after: (delay > Span::default()).then(|| scope.at.now.after(delay)),
        restarts: over.task.restarts.saturating_add(1),
        streak: if is_quick { over.task.streak.saturating_add(1) } else { 0 },
        ..Origin::after(Cause::Restart, Some(predecessor))
    }
}

fn changed(predecessor: &Run<'_>) -> Origin {
    Origin::after(Cause::Update, Some(predecessor))
}

/// Lets the prepared task `staged` start once its delay is over and nothing else in the slot is alive.
pub(crate) fn promote(slot: &SlotView<'_>, staged: &Run<'_>, now: Timestamp, plan: &mut Plan<Change>) {
    if let Some(earliest) = staged.task.start_after.filter(|at| *at > now) {
        plan.look_again_at(earliest);
        return;
    }
    if !slot.alive_besides(Some(staged)).is_empty() {
        return;
    }
    let others = slot.runs.iter().filter(|run| run.at != staged.at);
    let stands_on = others.filter(|run| run.is_lost() || staged.task.replaces.as_ref() == Some(&run.at.name));
    let because = stands_on.map(Run::still_over).collect();
    plan.write(Change::Promote(Raise::new(staged, DesiredState::Running, because)));
}

/// Both instants are by the clock of the task's own node.
fn ended_quickly(status: &TaskStatus) -> bool {
    status.state.is_terminal() && status.started.is_none_or(|started| status.since.since(started) < QUICK)
}

fn told(over: &Run<'_>, start_after: Option<Timestamp>) -> String {
    let name = &over.at.name;
    let what = if over.is_lost() {
        format!("the node of {name} is down")
    } else {
        let error = over.status.and_then(|status| status.error.as_deref()).unwrap_or_default();
        let colon = if error.is_empty() { "" } else { ": " };
        format!("{name} ended as {}{colon}{error}", over.state)
    };
    match start_after {
        Some(instant) => format!("{what}; its successor may start at {instant}"),
        None => what,
    }
}
