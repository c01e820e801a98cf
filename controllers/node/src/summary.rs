//! The summary of a node beside its state: what its agent reports, what its tasks hold, and what is wrong with it.

use skep_api::condition::{self, Truth};
use skep_api::node::{Allocated, ClockAnswer, NodeReport, NodeState, NodeStatus};
use skep_api::time::{Span, Timestamp};

/// How long what tasks hold is not counted again, so that a burst of tasks is not a burst of writes.
pub const COUNT_EVERY: Span = Span::from_secs(2);

/// The condition that says whether its disk is nearly full.
pub(crate) const DISK_PRESSURE: &str = "DiskPressure";
/// The condition that says whether its clock differs from this controller's.
pub(crate) const CLOCK_SKEW: &str = "ClockSkew";

/// Takes over what the agent reports, and answers its question for the time.
pub(crate) fn take_over(status: &mut NodeStatus, report: &NodeReport, now: Timestamp) {
    status.report = Some(report.clone());
    if let Some(asked) =
        report.clock_asked.filter(|asked| status.clock.map(|clock| clock.asked) != Some(*asked))
    {
        status.clock = Some(ClockAnswer { asked, answered: now });
    }
    let conditions = &mut status.conditions;
    let (truth, reason, message) = match &report.disk_pressure {
        Some(what) => (Truth::True, "DiskNearlyFull", what.as_str()),
        None => (Truth::False, "EnoughRoom", ""),
    };
    condition::set(conditions, DISK_PRESSURE, truth, reason, message, now);
    match report.clock_skew_ms {
        Some(skew) => {
            let side = if skew < 0 { "behind" } else { "ahead of" };
            let span = Span::from_millis(skew.unsigned_abs());
            let message = format!("its clock is {span} {side} the node controller's");
            condition::set(conditions, CLOCK_SKEW, Truth::True, "ClockDiffers", &message, now);
        }
        None if report.clock_asked.is_some() => {
            condition::set(conditions, CLOCK_SKEW, Truth::False, "ClockAgrees", "", now);
        }
        None => {}
    }
}

/// Says what the tasks of the node hold, if that may be counted again; otherwise when it may. A node that is Down keeps
/// what was counted last: nobody knows what is left there.
pub(crate) fn count(status: &mut NodeStatus, held: Allocated, now: Timestamp) -> Option<Timestamp> {
    if status.state == NodeState::Down || status.allocated == held {
        return None;
    }
    // An instant in the future is another clock's.
    let counted = status.counted.filter(|counted| *counted <= now);
    if let Some(due) = counted.map(|counted| counted.after(COUNT_EVERY)).filter(|due| *due > now) {
        return Some(due);
    }
    status.allocated = held;
    status.counted = Some(now);
    None
}
