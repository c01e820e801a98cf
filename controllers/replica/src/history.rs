//! What is forgotten: tasks that were to be removed and have ended, and the oldest of those that are kept to be looked at.

use std::collections::BTreeMap;

use skep_api::defaults::TASK_HISTORY_LIMIT;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::plan::{Guard, Plan};
use skep_runtime::tasks::Run;

use crate::change::{Change, Forget, Stop};
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

/// Forgets the oldest ended tasks of a slot, down to the limit, which keeps at least the newest.
pub(crate) fn trim(service: &Guard, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    let ended = |run: &&Run<'_>| run.is_ended() && run.task.desired == DesiredState::Shutdown;
    let excess = slot.runs.iter().filter(ended).count().saturating_sub(TASK_HISTORY_LIMIT);
    for run in slot.runs.iter().filter(ended).take(excess) {
        plan.write(forget(run, service));
    }
}

fn forget(run: &Run<'_>, service: &Guard) -> Change {
    Change::Stop(Stop::Forget(Forget::new(run, vec![service.clone(), run.still_over()])))
}
