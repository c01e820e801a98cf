//! Jobs: each slot is one run that must succeed, and a revision is one iteration of all of them.

use std::collections::BTreeMap;

use skep_api::service::ServiceSpec;
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_api::time::Timestamp;
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Forget, Stop};
use crate::policy;
use crate::scope::Scope;
use crate::slots::SlotView;
use crate::standing::{Standing, is_done};

/// How far a slot of a job is in the iteration that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has no task of it.
    Open,
    /// It has a task, or waits for the next attempt.
    UnderWay,
    /// It has failed, and is not tried again.
    Failed,
    /// A task ran to its end.
    Done,
}

/// How far `slot` is in the iteration `target`.
pub(crate) fn progress(slot: &SlotView<'_>, target: u64, spec: &ServiceSpec, now: Timestamp) -> Progress {
    if is_done(slot, Some(target)) {
        return Progress::Done;
    }
    let mut wanted = slot.wanted().filter(|run| run.task.revision == target).peekable();
    if wanted.peek().is_none() {
        return Progress::Open;
    }
    let is_over = |run: &Run<'_>| run.ended_by_itself() && !policy::may_restart(run, &spec.restart, now);
    if wanted.all(is_over) { Progress::Failed } else { Progress::UnderWay }
}

/// How many more slots may be under way at once.
pub(crate) fn room(
    scope: &Scope<'_>,
    slots: &BTreeMap<Slot, SlotView<'_>>,
    standings: &BTreeMap<Slot, Standing>,
) -> u32 {
    let limit = scope.spec().job.as_ref().and_then(|job| job.max_concurrent).filter(|limit| *limit > 0);
    let is_under_way = |slot: &&SlotView<'_>| {
        standings.get(&slot.slot) == Some(&Standing::Wanted) && progress_of(scope, slot) == Progress::UnderWay
    };
    let busy = slots.values().filter(is_under_way).count();
    limit.unwrap_or(u32::MAX).saturating_sub(u32::try_from(busy).unwrap_or(u32::MAX))
}

pub(crate) fn progress_of(scope: &Scope<'_>, slot: &SlotView<'_>) -> Progress {
    progress(slot, scope.rollout.target, scope.spec(), scope.at.now)
}

/// Whether something is left of earlier iterations in `slot`.
pub(crate) fn has_earlier(scope: &Scope<'_>, slot: &SlotView<'_>) -> bool {
    slot.kept().any(|run| run.task.revision != scope.rollout.target)
}

/// Removes what is left of earlier iterations in `slot`.
pub(crate) fn remove_earlier(scope: &Scope<'_>, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    for run in slot.kept().filter(|run| run.task.revision != scope.rollout.target) {
        plan.write(Change::Stop(if run.is_ended() {
            Stop::Forget(Forget::new(run, [scope.unchanged(), vec![run.still_over()]].concat()))
        } else {
            Stop::new(run, DesiredState::Remove, scope.unchanged())
        }));
    }
}

/// Stops whatever else is wanted in `slot`, in which a task ran to its end: its successor was made while its node was away.
pub(crate) fn rest(scope: &Scope<'_>, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    let done = slot.kept().find(|run| is_the_end(run, scope.rollout.target));
    for run in slot.wanted().filter(|run| !run.is_ended()) {
        let mut because = scope.unchanged();
        because.extend(done.map(Run::status_unchanged));
        plan.write(Change::Stop(Stop::new(run, DesiredState::Shutdown, because)));
    }
}

/// Whether `run` is what completed its slot of the job in the iteration `target`.
pub(crate) fn is_the_end(run: &Run<'_>, target: u64) -> bool {
    run.state == TaskState::Complete && run.task.revision == target
}
