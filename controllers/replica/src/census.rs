//! How many tasks a service wants, and how far a job is.

use skep_api::service::{JobStatus, Mode, ServiceSpec};
use skep_api::time::Timestamp;
use skep_runtime::tasks::Run;

use crate::job::{Progress, progress};
use crate::slots::SlotView;
use crate::standing::{Standing, is_done};
use crate::status::{View, count};

/// How many tasks are wanted now.
pub(crate) fn desired(spec: &ServiceSpec, view: &View<'_, '_>, job: Option<&JobStatus>) -> u32 {
    let left = job.map(|job| job.total.saturating_sub(job.completed).saturating_sub(job.failed));
    match spec.mode {
        Mode::Replicated => spec.replicas,
        Mode::ReplicatedJob => {
            let limit = spec.job.as_ref().and_then(|job| job.max_concurrent).filter(|limit| *limit > 0);
            left.unwrap_or(0).min(limit.unwrap_or(u32::MAX))
        }
        Mode::GlobalJob => left.unwrap_or(0),
        Mode::Global => places(view),
    }
}

/// On how many nodes a global service has a task, or should have one.
fn places(view: &View<'_, '_>) -> u32 {
    // A task that ended on a node that is paused is not followed, so it is not waited for either.
    let has_task = |slot| view.slots.get(slot).is_some_and(|slot| slot.wanted().any(Run::is_alive));
    let counts = |standing: &Standing, slot| match standing {
        Standing::Wanted => true,
        Standing::Frozen => has_task(slot),
        Standing::Vacated(_) | Standing::Surplus => false,
    };
    count(view.standings.iter().filter(|(slot, standing)| counts(standing, slot)))
}

/// Whether nothing comes in a slot of a job any more.
pub(crate) fn is_settled(spec: &ServiceSpec, slot: &SlotView<'_>, target: u64, now: Timestamp) -> bool {
    matches!(progress(slot, target, spec, now), Progress::Done | Progress::Failed)
}

/// How far the job is in the iteration `target`. `previous` is what its summary said before.
pub(crate) fn job(
    spec: &ServiceSpec,
    view: &View<'_, '_>,
    target: u64,
    previous: Option<&JobStatus>,
    now: Timestamp,
) -> JobStatus {
    let is_global = spec.mode == Mode::GlobalJob;
    let counts = |slot: &&SlotView<'_>| match view.standings.get(&slot.slot) {
        Some(Standing::Wanted) => true,
        Some(Standing::Frozen) => is_global,
        Some(Standing::Vacated(_)) => is_done(slot, Some(target)),
        Some(Standing::Surplus) | None => false,
    };
    let slots: Vec<&SlotView<'_>> = view.slots.values().filter(counts).collect();
    let are = |wanted| count(slots.iter().filter(|slot| progress(slot, target, spec, now) == wanted));
    let (completed, active, failed) = (are(Progress::Done), are(Progress::UnderWay), are(Progress::Failed));
    let unopened = view.standings.iter().filter(|(slot, standing)| {
        **standing == Standing::Wanted
            && view.slots.get(slot).is_none_or(|slot| is_open(spec, slot, target, now))
    });
    let total = [completed, active, failed, count(unopened)].into_iter().fold(0, u32::saturating_add);
    let previous = previous.filter(|previous| previous.iteration == target);
    let made = slots.iter().flat_map(|slot| &slot.runs).filter(|run| run.task.revision == target);
    let first = made.map(|run| run.task.created).min();
    let is_finished = completed.saturating_add(failed) == total;
    JobStatus {
        iteration: target,
        total,
        completed,
        active,
        failed,
        started: previous.and_then(|previous| previous.started).or(first),
        finished: is_finished.then(|| previous.and_then(|previous| previous.finished).unwrap_or(now)),
    }
}

fn is_open(spec: &ServiceSpec, slot: &SlotView<'_>, target: u64, now: Timestamp) -> bool {
    progress(slot, target, spec, now) == Progress::Open
}
