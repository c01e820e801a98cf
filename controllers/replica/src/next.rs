//! What happens next to a service without anybody's doing, and when.

use skep_api::rollout::{Rollout, RolloutState, Waiting};
use skep_api::service::Next;
use skep_api::task::TaskState;
use skep_api::time::Timestamp;
use skep_runtime::tasks::Run;

use crate::slots::SlotView;
use crate::status::{Facts, View};

/// What happens next; nothing if all is as it is wanted. What has a time goes before what has none, and the earlier before
/// the later.
pub(crate) fn of(facts: &Facts<'_>, view: &View<'_, '_>, now: Timestamp) -> Option<Next> {
    let rollout = facts.rollout.filter(|rollout| rollout.observed_version == facts.version);
    let Some(rollout) = rollout else { return untimed("the updater looks at the spec") };
    if let Some((_, message)) = &facts.gate.closed {
        let message = match facts.gate.until {
            Some(_) => format!("it counts as timed out, unless it has started: {message}"),
            None => format!("it starts when its dependencies are met: {message}"),
        };
        return Some(Next { message, at: facts.gate.until });
    }
    let starts = view.slots.values().filter_map(|slot| start(slot, now));
    let timed = starts.chain(step(rollout)).filter(|next| next.at.is_some()).min_by_key(|next| next.at);
    timed.or_else(|| moving(view)).or_else(|| standing_still(facts, rollout))
}

#[allow(clippy::unnecessary_wraps, reason = "it is what most of the answers here are")]
fn untimed(message: impl Into<String>) -> Option<Next> {
    Some(Next { message: message.into(), at: None })
}

/// The start of a task that waits for its delay.
fn start(slot: &SlotView<'_>, now: Timestamp) -> Option<Next> {
    let staged = slot.staged().filter(|run| run.is_alive())?;
    let at = staged.task.start_after.filter(|at| *at > now)?;
    Some(Next { message: format!("{} starts", staged.at.name), at: Some(at) })
}

/// The next step of an update.
fn step(rollout: &Rollout) -> Option<Next> {
    let is_under_way = matches!(rollout.state, RolloutState::Updating | RolloutState::RollbackStarted);
    let waiting = rollout.waiting.as_ref().filter(|_| is_under_way)?;
    let message = match waiting.reason.as_str() {
        Waiting::DELAY => "the next batch begins",
        Waiting::MONITOR => "the update is complete, if no task fails before",
        Waiting::BATCH => "the update fails, unless its batch runs by then",
        _ => return None,
    };
    Some(Next { message: message.to_owned(), at: waiting.until })
}

/// A slot that changes hands.
fn moving(view: &View<'_, '_>) -> Option<Next> {
    view.slots.values().filter(|slot| slot.is_kept()).find_map(|slot| {
        if let Some(run) = slot.current().filter(|run| run.at.place.node().is_none()) {
            return untimed(lacks(run));
        }
        let new = slot.staged()?;
        if new.at.place.node().is_none() {
            return untimed(lacks(new));
        }
        let old = slot.current().filter(|run| run.is_alive());
        let stopping = slot.alive_besides(Some(new)).into_iter().find(|other| !other.is_wanted());
        match (old, stopping) {
            (_, Some(other)) => untimed(format!("{} starts when {} has stopped", new.at.name, other.at.name)),
            (Some(old), None) if new.state < TaskState::Ready => {
                untimed(format!("{} is stopped when {} is ready to start", old.at.name, new.at.name))
            }
            (Some(old), None) => untimed(format!("{} is stopped, and {} starts", old.at.name, new.at.name)),
            (None, None) => untimed(format!("{} starts when it is prepared", new.at.name)),
        }
    })
}

/// That a task has no node yet, and what the nearest one lacks.
fn lacks(run: &Run<'_>) -> String {
    let obstacles = run.status.map(|status| &status.obstacles).into_iter().flatten();
    let details: Vec<&str> = obstacles.map(|obstacle| obstacle.detail.as_str()).collect();
    if details.is_empty() {
        return format!("{} is given a node", run.at.name);
    }
    format!("{} starts as soon as a node has what it lacks: {}", run.at.name, details.join("; "))
}

fn standing_still(facts: &Facts<'_>, rollout: &Rollout) -> Option<Next> {
    let name = &rollout.service.name;
    match rollout.state {
        RolloutState::Paused | RolloutState::RollbackPaused => {
            return untimed(format!("nothing until people act: skep rollout resume, abort or undo {name}"));
        }
        RolloutState::RollbackCompleted if facts.waits.is_none() => {
            return untimed("nothing until the spec changes: the one that failed is held");
        }
        RolloutState::Updating if rollout.waits_for(Waiting::PARTITION) => {
            return untimed("nothing until update.partition is raised or left out");
        }
        RolloutState::Updating
        | RolloutState::Completed
        | RolloutState::RollbackStarted
        | RolloutState::RollbackCompleted => {}
    }
    if let Some(waits) = &facts.waits {
        return untimed(match waits.reason {
            _ if waits.is_final => "nothing: the restart policy does not follow what ended".to_owned(),
            _ => waits.message.clone(),
        });
    }
    let job = facts.job.as_ref().filter(|job| job.finished.is_none())?;
    let left = job.total.saturating_sub(job.completed).saturating_sub(job.failed).saturating_sub(job.active);
    untimed(if left > 0 {
        format!("the next of the {left} that are left starts when another one ends")
    } else {
        format!("the job is done when its last {} have ended", job.active)
    })
}
