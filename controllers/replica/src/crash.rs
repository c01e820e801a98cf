//! Which tasks of a service end again and again right after they have started.

use skep_api::condition::{self, Condition, Truth};
use skep_api::key::ServiceRef;
use skep_api::object::Service;
use skep_api::task::TaskState;
use skep_api::time::Timestamp;
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::Change;
use crate::policy::{CRASH_LOOP, healthy_run};
use crate::slots::SlotView;
use crate::status::{View, count};

const CONDITION: &str = "CrashLooping";

/// Says which slot is in a crash loop, if one is or was. It has left it when a run has lasted long enough.
pub(crate) fn tell(
    name: &ServiceRef,
    service: &Service,
    view: &View<'_, '_>,
    now: Timestamp,
    conditions: &mut Vec<Condition>,
    plan: &mut Plan<Change>,
) {
    let loops: Vec<(&SlotView<'_>, &Run<'_>)> =
        view.slots.values().filter_map(|slot| Some((slot, looping(slot, service, now, plan)?))).collect();
    if let Some((slot, run)) = loops.first() {
        let next = match run.task.start_after.filter(|at| *at > now) {
            Some(at) => format!("; next start at {at}"),
            None => String::new(),
        };
        let mut message =
            format!("{}.{} ended quickly {} times in a row{next}", name.name, slot.slot, run.task.streak);
        let more = count(loops.iter()).saturating_sub(1);
        if more > 0 {
            message = format!("{message} (and {more} more)");
        }
        condition::set(conditions, CONDITION, Truth::True, "CrashLoop", &message, now);
    } else if condition::find(conditions, CONDITION).is_some() {
        condition::set(conditions, CONDITION, Truth::False, "Settled", "", now);
    }
}

fn looping<'s, 'a>(
    slot: &'s SlotView<'a>,
    service: &Service,
    now: Timestamp,
    plan: &mut Plan<Change>,
) -> Option<&'s Run<'a>> {
    let newest = slot.wanted().last().filter(|run| run.task.streak >= CRASH_LOOP)?;
    // A run of a job that came to its end at last.
    if newest.state == TaskState::Complete {
        return None;
    }
    let since = newest.status.map(|status| status.since).filter(|_| newest.is_serving());
    let settled = since.map(|since| since.after(healthy_run(&service.spec.restart, newest.task.streak)));
    if let Some(settled) = settled {
        if settled <= now {
            return None;
        }
        plan.look_again_at(settled);
    }
    Some(newest)
}
