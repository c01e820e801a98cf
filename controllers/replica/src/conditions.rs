//! The conditions of a service: what is true of it, and why (Kubernetes' API conventions).

use skep_api::condition::{self, Truth};
use skep_api::rollout::{Rollout, RolloutState, Waiting};
use skep_api::service::{JobStatus, ServiceStatus};
use skep_api::time::Timestamp;

use crate::depends;
use crate::status::Facts;
use crate::waiting::Waits;

const ROLLED_BACK: &str = "RolledBack";

/// One condition: whether it holds, why in one word, why in a sentence.
type Verdict = (Truth, &'static str, String);

/// Sets every condition that follows from `facts`.
pub(crate) fn judge(facts: &Facts<'_>, status: &mut ServiceStatus, now: Timestamp) {
    let was_rolled_back = condition::find(&status.conditions, ROLLED_BACK).is_some();
    let had_gate = condition::find(&status.conditions, depends::CONDITION).is_some();
    let mut set = |kind, (truth, reason, message): Verdict| {
        condition::set(&mut status.conditions, kind, truth, reason, &message, now);
    };
    set("Accepted", (Truth::True, "SpecValid", String::new()));
    set("Placed", placed(facts));
    let progressing = progressing(facts);
    set("Progressing", progressing.clone());
    set("Available", available(facts));
    set("Ready", ready(facts, progressing));
    if let Some(message) = facts.rollout.and_then(|rollout| rolled_back(rollout)) {
        set(ROLLED_BACK, (Truth::True, "UpdateFailed", message));
    } else if was_rolled_back {
        set(ROLLED_BACK, (Truth::False, "SpecInForce", String::new()));
    }
    if let Some((reason, message)) = &facts.gate.closed {
        set(depends::CONDITION, (Truth::False, *reason, message.clone()));
    } else if had_gate || !facts.gate.guards.is_empty() {
        set(depends::CONDITION, (Truth::True, "Met", String::new()));
    }
}

/// That the spec is held back, and why; nothing if it is in force.
fn rolled_back(rollout: &Rollout) -> Option<String> {
    let is_back = matches!(
        rollout.state,
        RolloutState::RollbackStarted | RolloutState::RollbackPaused | RolloutState::RollbackCompleted
    );
    let why = rollout.failure.as_ref().map_or(String::new(), |failure| format!(" ({})", failure.message));
    is_back.then(|| format!("the spec is held: {}{why}", rollout.message))
}

fn placed(facts: &Facts<'_>) -> Verdict {
    match &facts.unplaced {
        Some((waits, more)) => (Truth::False, waits.reason, with_more(waits, *more)),
        None => (Truth::True, "NothingWaits", String::new()),
    }
}

fn progressing(facts: &Facts<'_>) -> Verdict {
    if facts.is_rollout_damaged {
        return (Truth::False, "RolloutDamaged", "the service's rollout does not decode".to_owned());
    }
    let Some(rollout) = facts.rollout.filter(|rollout| rollout.observed_version == facts.version) else {
        return (Truth::True, "SpecChanged", "waits for the updater to look at the spec".to_owned());
    };
    if let Some((reason, message)) = &facts.gate.closed {
        return (Truth::True, reason, message.clone());
    }
    if let Some(reason) = held(rollout.state) {
        return (Truth::False, reason, rollout.message.clone());
    }
    if let Some(waits) = &facts.waits {
        let truth = if waits.is_final { Truth::False } else { Truth::True };
        return (truth, waits.reason, with_more(waits, facts.more));
    }
    if let Some(job) = &facts.job {
        return progress_of(job);
    }
    if let Some(verdict) = updating(facts, rollout) {
        return verdict;
    }
    if facts.running != facts.desired || facts.leaving > 0 {
        return (Truth::True, "Scaling", format!("{} of {} run", facts.running, facts.desired));
    }
    if rollout.state == RolloutState::RollbackCompleted {
        return (Truth::False, ROLLED_BACK, rollout.message.clone());
    }
    (Truth::False, "Settled", String::new())
}

/// The reason why an update does not go on by itself.
fn held(state: RolloutState) -> Option<&'static str> {
    match state {
        RolloutState::Paused => Some("UpdatePaused"),
        RolloutState::RollbackPaused => Some("RollbackPaused"),
        RolloutState::Updating
        | RolloutState::Completed
        | RolloutState::RollbackStarted
        | RolloutState::RollbackCompleted => None,
    }
}

/// How an update goes that is under way.
fn updating(facts: &Facts<'_>, rollout: &Rollout) -> Option<Verdict> {
    let reason = match rollout.state {
        RolloutState::Updating => "Updating",
        RolloutState::RollbackStarted => "RollingBack",
        RolloutState::Paused
        | RolloutState::Completed
        | RolloutState::RollbackPaused
        | RolloutState::RollbackCompleted => return None,
    };
    let counts = format!("{} of {} run revision {}", facts.updated, facts.desired, rollout.target);
    let Some(waiting) = &rollout.waiting else { return Some((Truth::True, reason, counts)) };
    let until = waiting.until.map_or(String::new(), |until| format!(" until {until}"));
    Some(match waiting.reason.as_str() {
        Waiting::DELAY => (Truth::True, "UpdateDelay", format!("{counts}; the delay lasts{until}")),
        Waiting::MONITOR => (Truth::True, "Monitoring", format!("{counts}; they are watched{until}")),
        Waiting::PARTITION => (Truth::False, "PartitionHeld", format!("{counts}, as update.partition says")),
        _ => (Truth::True, reason, counts),
    })
}

fn available(facts: &Facts<'_>) -> Verdict {
    let message = format!("{} of {} run", facts.running, facts.desired);
    if facts.running > 0 || facts.desired == 0 {
        (Truth::True, "Running", message)
    } else {
        (Truth::False, "NothingRuns", message)
    }
}

/// All that is wanted runs, and nothing is on its way. A partition is wanted as well.
fn ready(facts: &Facts<'_>, progressing: Verdict) -> Verdict {
    let (moves, reason, message) = progressing;
    let is_partition = reason == "PartitionHeld";
    let is_there = match &facts.job {
        Some(job) => job.completed == job.total,
        None => facts.running == facts.desired && (is_partition || facts.updated == facts.desired),
    };
    let is_held = facts.rollout.is_some_and(|rollout| {
        held(rollout.state).is_some() || rollout.state == RolloutState::RollbackCompleted
    });
    if !is_there || is_held || moves != Truth::False || facts.is_rollout_damaged {
        return (Truth::False, reason, message);
    }
    match &facts.job {
        Some(_) => (Truth::True, reason, message),
        None if is_partition => (Truth::True, "Running", message),
        None => (Truth::True, "Running", format!("{} of {} run", facts.running, facts.desired)),
    }
}

fn with_more(waits: &Waits, more: usize) -> String {
    match more {
        0 => waits.message.clone(),
        1 => format!("{} (and 1 more)", waits.message),
        more => format!("{} (and {more} more)", waits.message),
    }
}

fn progress_of(job: &JobStatus) -> Verdict {
    let JobStatus { total, completed, active, failed, .. } = job;
    if job.finished.is_none() {
        return (Truth::True, "JobRunning", format!("{completed} of {total} completed, {active} under way"));
    }
    if *failed > 0 {
        let message = format!("{completed} of {total} completed, {failed} failed and are not tried again");
        return (Truth::False, "JobFailed", message);
    }
    (Truth::False, "JobComplete", format!("{completed} of {total} completed"))
}
