//! The restart policy as a function of what is stored: whether a task that ended is followed, and how long its successor
//! waits. SwarmKit's restart supervisor (`manager/orchestrator/restart`) keeps this in its leader's memory.

use skep_api::service::{RestartCondition, RestartPolicy};
use skep_api::task::{Task, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::tasks::Run;

/// A task that ran for less than this has ended quickly.
pub(crate) const QUICK: Span = Span::from_secs(10);
/// From so many quick ends in a row on, the delay grows.
pub(crate) const CRASH_LOOP: u32 = 5;
/// What doubles where the policy has no delay.
const SHORTEST_DELAY: Span = Span::from_secs(1);

/// What a task is told of those before it in its slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many of them ended by themselves.
    pub(crate) restarts: u32,
    /// When their successors were made: as many as a window needs.
    pub(crate) attempts: Vec<Timestamp>,
    /// How many of them ended quickly, one after another.
    pub(crate) streak: u32,
}

impl Tally {
    /// What `task` was told.
    pub(crate) fn of(task: &Task) -> Self {
        Self { restarts: task.restarts, attempts: task.attempts.clone(), streak: task.streak }
    }

    /// What the successor of `over`, which ended by itself, is told, if it is made `now`.
    pub(crate) fn after(over: &Run<'_>, policy: &RestartPolicy, now: Timestamp) -> Self {
        let mut attempts = Vec::new();
        if policy.window > Span::default() && policy.max_attempts > 0 {
            let all = over.task.attempts.iter().copied().chain([now]);
            let excess =
                over.task.attempts.len().saturating_add(1).saturating_sub(policy.max_attempts as usize);
            attempts.extend(all.skip(excess));
        }
        let ran = over.status.map_or(Span::default(), |status| run_time(status));
        let streak = if ran < QUICK {
            over.task.streak.saturating_add(1)
        } else if ran >= delay(policy, over.task.streak) {
            0
        } else {
            over.task.streak
        };
        Self { restarts: over.task.restarts.saturating_add(1), attempts, streak }
    }
}

/// Whether the task of `run`, which ended by itself, is followed. A job's task that ran to its end never comes here.
pub(crate) fn may_restart(run: &Run<'_>, policy: &RestartPolicy, now: Timestamp) -> bool {
    let is_condition_met = match policy.condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => run.state != TaskState::Complete,
        RestartCondition::Any => true,
    };
    is_condition_met && has_attempts_left(run, policy, now)
}

/// The window lies before the task's own end, not before now: a slot that was given up stays so. That instant is by the
/// clock of the task's node, so it is held between what replica's own clock said when it made the task, and now.
fn has_attempts_left(run: &Run<'_>, policy: &RestartPolicy, now: Timestamp) -> bool {
    if policy.max_attempts == 0 {
        return true;
    }
    if policy.window == Span::default() {
        return run.task.restarts < policy.max_attempts;
    }
    let earliest = run.task.attempts.iter().copied().max().unwrap_or_default().max(run.task.created);
    let said = run.status.map_or(now, |status| status.since);
    let end = said.max(earliest).min(now);
    let counts = |attempt: &&Timestamp| **attempt <= end && end.since(**attempt) < policy.window;
    run.task.attempts.iter().filter(counts).count() < policy.max_attempts as usize
}

/// How long a successor waits after so many quick ends in a row: `restart.delay`, which doubles with each from the fifth
/// on, up to `restart.maxDelay`.
pub(crate) fn delay(policy: &RestartPolicy, streak: u32) -> Span {
    let doublings = streak.saturating_add(1).saturating_sub(CRASH_LOOP);
    if doublings == 0 || policy.max_delay == Span::default() {
        return policy.delay;
    }
    let base = if policy.delay == Span::default() { SHORTEST_DELAY } else { policy.delay };
    let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
    let grown = Span::from_millis(base.as_millis().saturating_mul(factor));
    grown.min(policy.max_delay).max(policy.delay)
}

/// How long a run must last for the streak to end.
pub(crate) fn healthy_run(policy: &RestartPolicy, streak: u32) -> Span {
    delay(policy, streak).max(QUICK)
}

/// How long the task ran until it ended, both by the clock of its node. One that never was healthy has not run.
fn run_time(status: &TaskStatus) -> Span {
    let began = match (status.running, &status.health) {
        (Some(running), _) => Some(running),
        (None, Some(_)) => None,
        (None, None) => status.started,
    };
    began.map_or(Span::default(), |began| status.since.since(began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: &RestartPolicy, streak: u32) -> u64 {
        delay(policy, streak).as_millis() / 1000
    }

    #[test]
    fn the_delay_doubles_from_the_fifth_quick_end_on_up_to_its_cap() {
        let policy = RestartPolicy::default();
        let delays: Vec<u64> = (1..=12).map(|streak| seconds(&policy, streak)).collect();
        assert_eq!(delays, [5, 5, 5, 5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(seconds(&policy, u32::MAX), 300);
    }

    #[test]
    fn without_a_cap_the_delay_never_grows_as_in_swarm() {
        let policy = RestartPolicy { max_delay: Span::default(), ..RestartPolicy::default() };
        assert_eq!(seconds(&policy, 50), 5);
    }

    #[test]
    fn a_policy_without_delay_backs_off_too_and_one_beyond_the_cap_keeps_its_delay() {
        let policy = RestartPolicy { delay: Span::default(), ..RestartPolicy::default() };
        assert_eq!([4, 5, 6].map(|streak| seconds(&policy, streak)), [0, 2, 4]);
        let policy = RestartPolicy { delay: Span::from_secs(600), ..RestartPolicy::default() };
        assert_eq!([4, 5, 9].map(|streak| seconds(&policy, streak)), [600, 600, 600]);
    }
}
