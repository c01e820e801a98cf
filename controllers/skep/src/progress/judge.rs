//! Whether a service is where it should be: one pure function over what is seen of it.

use std::fmt;

use skep_api::condition::{self, Condition, Truth};
use skep_api::key::ServiceRef;
use skep_api::rollout::{Rollout, RolloutState, Waiting};
use skep_api::service::{JobStatus, ServiceStatus};

use crate::failure::Failure;
use crate::progress::words;

/// What is asked of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Aim {
    /// It runs as its spec says; a job has run to its end.
    Ready,
    /// Its update has been taken back.
    RolledBack,
    /// A condition of its status is so.
    Condition(String, Truth),
    /// It has no spec.
    Deleted,
}

/// From when on what is seen counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Since {
    /// The version of the spec that is meant.
    pub(crate) version: i64,
    /// The Control that must have been obeyed; 0 is none.
    pub(crate) control: i64,
    /// Whether a failed update of an earlier version counts as well.
    pub(crate) has_past: bool,
}

/// What is seen of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The version of its spec; none if it has no spec, or is another service by now.
    pub(crate) spec: Option<i64>,
    /// Its summary.
    pub(crate) status: Option<&'a ServiceStatus>,
    /// The state of its update.
    pub(crate) rollout: Option<&'a Rollout>,
    /// The version of the spec that the revision was made of by which its update failed.
    pub(crate) failed: Option<i64>,
}

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On its way, in words.
    Waiting(String),
    /// There, in words.
    Ready(String),
    /// It will not come there by itself, in words.
    Failed(String),
    /// Somebody deleted it.
    Deleted,
}

/// Judges a service.
pub(crate) fn judge(aim: &Aim, since: Since, seen: Seen<'_>) -> Verdict {
    if seen.spec.is_none() {
        return if *aim == Aim::Deleted { Verdict::Ready("is gone".to_owned()) } else { Verdict::Deleted };
    }
    let waiting = |words: &str| Verdict::Waiting(words.to_owned());
    if *aim == Aim::Deleted {
        return waiting("is there");
    }
    let Some(status) = seen.status.filter(|status| status.observed_version >= since.version) else {
        return waiting("waits for the controllers to look at it");
    };
    if let Aim::Condition(kind, truth) = aim
        && let Some(found) = condition::find(&status.conditions, kind).filter(|found| found.status == *truth)
    {
        return Verdict::Ready(words::condition(found));
    }
    if let Some(refused) = find(status, "Accepted", Truth::False) {
        return Verdict::Failed(format!("is not accepted: {}", refused.message));
    }
    let Some(rollout) = seen.rollout.filter(|rollout| rollout.observed_version >= since.version) else {
        return waiting("waits for the updater to look at it");
    };
    if rollout.obeyed < since.control {
        return waiting("waits for the updater to obey");
    }
    if *aim == Aim::RolledBack && rollout.state == RolloutState::RollbackCompleted {
        return Verdict::Ready(format!("is back at revision {}", rollout.target));
    }
    // A summary that has not caught up with the rollout may be about to say what is waited for.
    let has_caught_up = status.update.as_ref().is_some_and(|update| update.state == rollout.state);
    let may_still_come = matches!(aim, Aim::Condition(..)) && !has_caught_up;
    if let Some(words) = failure(aim, since, seen, rollout).filter(|_| !may_still_come) {
        return Verdict::Failed(words);
    }
    match aim {
        Aim::Ready => ready(status, rollout),
        Aim::RolledBack | Aim::Condition(..) | Aim::Deleted => Verdict::Waiting(progress(status)),
    }
}

/// How far the tasks are; nothing has failed.
fn ready(status: &ServiceStatus, rollout: &Rollout) -> Verdict {
    if let Some(job) = &status.job {
        return job_done(job, rollout).unwrap_or_else(|| Verdict::Waiting(words::job(job)));
    }
    let running = format!("{}/{}", status.running, status.desired);
    if condition::is_true(&status.conditions, "Ready") {
        let held = if rollout.waits_for(Waiting::PARTITION) {
            let (updated, target) = (status.updated, rollout.target);
            format!(": {updated} of them run revision {target}, and update.partition holds the others")
        } else {
            String::new()
        };
        return Verdict::Ready(format!("ready {running}{held}"));
    }
    // What was asked for is there; that an earlier update was taken back keeps the service from being Ready.
    let is_settled = find(status, "Progressing", Truth::False).is_some_and(|it| it.reason == "RolledBack");
    if rollout.state == RolloutState::RollbackCompleted && is_settled {
        let target = rollout.target;
        return Verdict::Ready(format!(
            "{running} run revision {target}, to which an earlier update was rolled back"
        ));
    }
    if let Some(given_up) =
        find(status, "DependenciesMet", Truth::False).filter(|it| it.reason == "DependencyTimeout")
    {
        return Verdict::Failed(format!("does not start: {}", given_up.message));
    }
    Verdict::Waiting(progress(status))
}

/// What has become of a job, once nothing of it is left to do.
fn job_done(job: &JobStatus, rollout: &Rollout) -> Option<Verdict> {
    if job.iteration != rollout.target || job.finished.is_none() {
        return None;
    }
    let completed = format!("{} of {} completed", job.completed, job.total);
    Some(if job.completed >= job.total {
        Verdict::Ready(format!("job complete: {completed}"))
    } else {
        Verdict::Failed(format!("its job failed: {completed}, {} failed for good", job.failed))
    })
}

/// Why an update ended without reaching its target, if this is the one that is meant.
///
/// A later edit that makes no revision (of the number of replicas, say) does not make an update fail anew that was rolled
/// back before; one that is paused holds it up all the same.
fn failure(aim: &Aim, since: Since, seen: Seen<'_>, rollout: &Rollout) -> Option<String> {
    let is_meant = since.has_past || seen.failed.is_none_or(|version| version >= since.version);
    let has_ended = match rollout.state {
        RolloutState::Paused => !rollout.is_paused_by_people() && *aim != Aim::RolledBack,
        RolloutState::RollbackPaused => !rollout.is_paused_by_people(),
        RolloutState::RollbackCompleted => is_meant,
        RolloutState::Updating | RolloutState::RollbackStarted | RolloutState::Completed => false,
    };
    has_ended.then(|| words::failure(rollout))
}

fn progress(status: &ServiceStatus) -> String {
    let running = format!("{}/{} running", status.running, status.desired);
    let message = condition::find(&status.conditions, "Ready").map(|ready| ready.message.as_str());
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{running}: {message}"),
        None => running,
    }
}

fn find<'a>(status: &'a ServiceStatus, kind: &str, truth: Truth) -> Option<&'a Condition> {
    condition::find(&status.conditions, kind).filter(|found| found.status == truth)
}

impl Seen<'_> {
    /// Whether a task of it finds no node.
    pub(crate) fn is_unplaceable(&self) -> bool {
        self.status.and_then(|status| find(status, "Placed", Truth::False)).is_some()
    }

    /// Why its update is being taken back, if it is.
    pub(crate) fn rolling_back(&self) -> Option<String> {
        let rollout = self.rollout.filter(|rollout| rollout.state == RolloutState::RollbackStarted)?;
        Some(words::failure(rollout))
    }
}

impl Verdict {
    /// The best of several, any of which is enough.
    pub(crate) fn any(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |verdict: &Self| match verdict {
            Self::Ready(_) => 0,
            Self::Waiting(_) => 1,
            Self::Failed(_) => 2,
            Self::Deleted => 3,
        };
        verdicts.into_iter().min_by_key(rank)
    }

    /// Whether the service is there.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// Whether waiting longer may help.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Why waiting longer is of no use.
    pub(crate) fn failure(&self, service: &ServiceRef) -> Option<Failure> {
        let name = service.docker_name();
        match self {
            Self::Failed(words) => Some(Failure::RolloutFailed(format!("{name} {words}"))),
            Self::Deleted => Some(Failure::Conflict(vec![format!("{name} was deleted meanwhile")])),
            Self::Waiting(_) | Self::Ready(_) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(words) | Self::Ready(words) => f.write_str(words),
            // The details follow in the error.
            Self::Failed(words) => f.write_str(words.lines().next().unwrap_or_default()),
            Self::Deleted => f.write_str("was deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skep_api::time::Timestamp;

    use super::*;

    fn status(observed: i64, ready: Truth) -> ServiceStatus {
        let mut status =
            ServiceStatus { observed_version: observed, desired: 3, running: 2, ..Default::default() };
        let now = Timestamp::from_millis(0);
        condition::set(&mut status.conditions, "Ready", ready, "X", "web.3 starts", now);
        status
    }

    fn rollout(observed: i64, state: &str) -> Rollout {
        serde_json::from_value(json!({
            "service": {"stack": "default", "name": "web"}, "observedVersion": observed, "stable": 1, "target": 2,
            "since": 1, "batch": "all", "state": state, "message": "said why",
        }))
        .unwrap()
    }

    fn broken(observed: i64, state: &str) -> Rollout {
        let failure = json!({
            "task": "web.2.abc", "slot": 2, "revision": 2, "reason": "TaskFailed", "message": "exit code 3",
            "exitCode": 3, "log": ["no config", "bye"], "health": "connection refused",
            "seen": "2026-01-31T12:00:00Z",
        });
        Rollout { failure: serde_json::from_value(failure).unwrap(), ..rollout(observed, state) }
    }

    fn seen<'a>(status: &'a ServiceStatus, rollout: &'a Rollout) -> Seen<'a> {
        Seen { spec: Some(5), status: Some(status), rollout: Some(rollout), failed: None }
    }

    fn since(version: i64) -> Since {
        Since { version, ..Since::default() }
    }

    #[test]
    fn a_summary_of_an_older_spec_says_nothing() {
        let (old, done) = (status(4, Truth::True), rollout(5, "completed"));
        let verdict = judge(&Aim::Ready, since(5), seen(&old, &done));
        assert!(verdict.is_waiting(), "{verdict:?}");
        let verdict = judge(&Aim::Ready, since(4), seen(&old, &done));
        assert_eq!(verdict, Verdict::Ready("ready 2/3".into()));
    }

    #[test]
    fn a_rollout_of_an_older_spec_neither_fails_nor_succeeds() {
        let status = status(5, Truth::True);
        for old in [broken(4, "rollback_completed"), broken(4, "paused"), rollout(4, "completed")] {
            let verdict = judge(&Aim::Ready, since(5), seen(&status, &old));
            assert!(verdict.is_waiting(), "{verdict:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let (status, rollout) = (status(5, Truth::False), rollout(5, "updating"));
        let verdict = judge(&Aim::Ready, since(5), seen(&status, &rollout));
        assert_eq!(verdict, Verdict::Waiting("2/3 running: web.3 starts".into()));
    }

    /// Swarm 8.3: waiting ends non-zero when an update is paused or rolled back; here with the reason.
    #[test]
    fn an_update_that_failed_is_not_waited_for_and_its_last_words_are_told() {
        let ready = status(5, Truth::True);
        for state in ["paused", "rollback_paused", "rollback_completed"] {
            let rollout = broken(5, state);
            let Verdict::Failed(words) = judge(&Aim::Ready, since(5), seen(&ready, &rollout)) else {
                panic!("{state} is no failure");
            };
            for part in
                ["web.2.abc", "TaskFailed", "exit code 3", "    | no config", "    | connection refused"]
            {
                assert!(words.contains(part), "{part} is missing: {words}");
            }
        }
        let back = broken(5, "rollback_started");
        assert!(judge(&Aim::Ready, since(5), seen(&status(5, Truth::False), &back)).is_waiting());
        assert!(seen(&ready, &back).rolling_back().is_some(), "if the time is over, it has failed");
    }

    #[test]
    fn an_edit_of_the_replicas_does_not_fail_because_an_earlier_update_was_rolled_back() {
        let (mut ready, back) = (status(9, Truth::False), broken(9, "rollback_completed"));
        let earlier = Seen { failed: Some(5), ..seen(&ready, &back) };
        assert!(judge(&Aim::Ready, since(9), earlier).is_waiting(), "a new slot does not run yet");
        let now = Timestamp::from_millis(0);
        condition::set(&mut ready.conditions, "Progressing", Truth::False, "RolledBack", "", now);
        let earlier = Seen { failed: Some(5), ..seen(&ready, &back) };
        assert!(judge(&Aim::Ready, since(9), earlier).is_ready());
        let with_past = Since { has_past: true, ..since(9) };
        assert!(
            matches!(judge(&Aim::Ready, with_past, earlier), Verdict::Failed(_)),
            "rollout status tells it"
        );
        assert!(
            matches!(judge(&Aim::Ready, since(5), earlier), Verdict::Failed(_)),
            "it is the one that is meant"
        );
    }

    #[test]
    fn a_pause_of_people_is_waited_for_and_so_is_a_word_that_was_not_obeyed_yet() {
        let status = status(5, Truth::False);
        let mut paused = rollout(5, "paused");
        paused.waiting =
            serde_json::from_value(json!({"reason": "Paused", "since": "2026-01-31T12:00:00Z"})).unwrap();
        assert!(judge(&Aim::Ready, since(5), seen(&status, &paused)).is_waiting());
        let failed = broken(5, "paused");
        let resumed = Since { control: 7, ..since(5) };
        assert!(judge(&Aim::Ready, resumed, seen(&status, &failed)).is_waiting());
        let obeyed = Rollout { obeyed: 7, ..failed };
        assert!(matches!(judge(&Aim::Ready, resumed, seen(&status, &obeyed)), Verdict::Failed(_)));
    }

    #[test]
    fn an_abort_is_over_when_everything_is_back() {
        let status = status(5, Truth::False);
        let aim = |state| judge(&Aim::RolledBack, since(5), seen(&status, &broken(5, state)));
        assert!(aim("rollback_started").is_waiting() && aim("paused").is_waiting());
        assert!(aim("rollback_completed").is_ready());
        assert!(matches!(aim("rollback_paused"), Verdict::Failed(_)));
    }

    /// Swarm 8.3: waiting for a job is over when it is complete.
    #[test]
    fn a_job_is_there_when_it_is_complete_and_failed_when_nothing_is_left_to_do() {
        let mut status = status(5, Truth::False);
        let rollout = rollout(5, "completed");
        let mut job = |completed, finished: Option<&str>| {
            let job = json!({"iteration": 2, "total": 5, "completed": completed, "active": 1, "failed": 1, "finished": finished});
            status.job = serde_json::from_value(job).unwrap();
            judge(&Aim::Ready, since(5), seen(&status, &rollout))
        };
        assert_eq!(job(3, None), Verdict::Waiting("3 of 5 completed, 1 running, 1 failed".into()));
        let finished = Some("2026-01-31T12:00:00Z");
        assert_eq!(job(5, finished), Verdict::Ready("job complete: 5 of 5 completed".into()));
        assert!(matches!(job(4, finished), Verdict::Failed(_)));
        let stale = Rollout { target: 3, ..rollout.clone() };
        assert!(judge(&Aim::Ready, since(5), seen(&status, &stale)).is_waiting(), "that was the run before");
    }

    #[test]
    fn a_partition_that_is_reached_is_enough_and_said() {
        let status = status(5, Truth::True);
        let mut held = rollout(5, "updating");
        held.waiting =
            serde_json::from_value(json!({"reason": "Partition", "since": "2026-01-31T12:00:00Z"})).unwrap();
        let verdict = judge(&Aim::Ready, since(5), seen(&status, &held));
        assert!(verdict.is_ready() && verdict.to_string().contains("update.partition"), "{verdict}");
    }

    #[test]
    fn a_condition_is_waited_for_even_if_it_is_a_failure() {
        let mut status = status(5, Truth::False);
        let back = broken(5, "rollback_completed");
        let aim = Aim::Condition("RolledBack".to_owned(), Truth::True);
        assert!(judge(&aim, since(5), seen(&status, &back)).is_waiting(), "the summary is behind");
        let other = Aim::Condition("Available".to_owned(), Truth::True);
        status.update = serde_json::from_value(json!({"state": "rollback_completed", "total": 3})).unwrap();
        assert!(matches!(judge(&other, since(5), seen(&status, &back)), Verdict::Failed(_)));
        condition::set(&mut status.conditions, "RolledBack", Truth::True, "X", "", Timestamp::from_millis(0));
        assert!(judge(&aim, since(5), seen(&status, &back)).is_ready());
        let both = [Aim::Ready, aim].map(|aim| judge(&aim, since(5), seen(&status, &back)));
        assert!(Verdict::any(both).unwrap().is_ready(), "any of several is enough");
    }

    #[test]
    fn a_service_that_somebody_deleted_is_not_waited_for() {
        let (status, rollout) = (status(5, Truth::True), rollout(5, "completed"));
        let gone = Seen { spec: None, ..seen(&status, &rollout) };
        assert_eq!(judge(&Aim::Ready, since(5), gone), Verdict::Deleted);
        assert!(judge(&Aim::Deleted, since(5), gone).is_ready());
    }
}
