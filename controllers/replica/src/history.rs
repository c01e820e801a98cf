//! What is forgotten: tasks that were to be removed and have ended, and the oldest of those that are kept to be looked at.

use std::collections::BTreeMap;

use skep_api::defaults::TASK_HISTORY_LIMIT;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::plan::{Guard, Plan};
use skep_runtime::tasks::Run;

use crate::change::{Change, Forget, Stop};
use crate::job;
use crate::scope::Scope;
use crate::slots::SlotView;

/// Forgets every task that was to be removed and has ended.
pub(crate) fn forget_removed(service: &Guard, slots: &BTreeMap<Slot, SlotView<'_>>, plan: &mut Plan<Change>) {
    let slots = slots.values().filter(|slot| slot.damaged.is_none());
    for run in slots.flat_map(|slot| &slot.runs) {
        let is_unplaced = run.at.place.node().is_none();
        if run.task.desired == DesiredState::Remove && (run.is_ended() || is_unplaced) {
            plan.write(forget(run, service));
        }
    }
}

/// Forgets the oldest ended tasks of a slot, down to the limit, which keeps at least the newest. With a limit of attempts,
/// all of them can be seen. What completed a slot of a job stays, or it would be run again.
pub(crate) fn trim(scope: &Scope<'_>, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    let attempts = scope.spec().restart.max_attempts as usize;
    let limit = TASK_HISTORY_LIMIT.max(if attempts == 0 { 0 } else { attempts.saturating_add(1) });
    let is_needed = |run: &Run<'_>| scope.is_job() && job::is_the_end(run, scope.rollout.target);
    let ended =
        |run: &&Run<'_>| run.is_ended() && run.task.desired == DesiredState::Shutdown && !is_needed(run);
    let excess = slot.runs.iter().filter(ended).count().saturating_sub(limit);
    for run in slot.runs.iter().filter(ended).take(excess) {
        plan.write(forget(run, &scope.spec_unchanged()));
    }
}

fn forget(run: &Run<'_>, service: &Guard) -> Change {
    Change::Stop(Stop::Forget(Forget::new(run, vec![service.clone(), run.still_over()])))
}
