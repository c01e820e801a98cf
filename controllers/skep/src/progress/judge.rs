//! Whether a service is where it should be: one pure function over what is seen of it.

use std::fmt;

use skep_api::condition::{self, Truth};
use skep_api::key::ServiceRef;
use skep_api::rollout::RolloutState;
use skep_api::service::ServiceStatus;

use crate::failure::Failure;

/// What is seen of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The version of its spec; none if it has no spec.
    pub(crate) spec: Option<i64>,
    /// Its summary.
    pub(crate) status: Option<&'a ServiceStatus>,
}

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On its way, in words.
    Waiting(String),
    /// There: so many tasks run.
    Ready(u32),
    /// Its update failed, in words.
    Failed(String),
    /// Somebody deleted it.
    Deleted,
}

/// Judges a service against the version of its spec that it is to run.
pub(crate) fn judge(version: i64, seen: Seen<'_>) -> Verdict {
    if seen.spec.is_none() {
        return Verdict::Deleted;
    }
    let Some(status) = seen.status.filter(|status| status.observed_version >= version) else {
        return Verdict::Waiting("waits for the controllers to look at it".to_owned());
    };
    let message = condition::find(&status.conditions, "Ready").map(|ready| ready.message.clone());
    let message = message.filter(|message| !message.is_empty());
    if let Some(refused) =
        condition::find(&status.conditions, "Accepted").filter(|it| it.status == Truth::False)
    {
        return Verdict::Failed(format!("is not accepted: {}", refused.message));
    }
    if condition::is_true(&status.conditions, "Ready") {
        return Verdict::Ready(status.running);
    }
    let progress = format!("{}/{} running", status.running, status.desired);
    let progress = match message {
        Some(message) => format!("{progress}: {message}"),
        None => progress,
    };
    match status.update.as_ref().map(|update| update.state) {
        Some(
            RolloutState::Paused
            | RolloutState::RollbackStarted
            | RolloutState::RollbackPaused
            | RolloutState::RollbackCompleted,
        ) => Verdict::Failed(format!("its update failed: {progress}")),
        Some(RolloutState::Updating | RolloutState::Completed) | None => Verdict::Waiting(progress),
    }
}

impl Seen<'_> {
    /// Whether a task of it finds no node.
    pub(crate) fn is_unplaceable(&self) -> bool {
        let placed = self.status.and_then(|status| condition::find(&status.conditions, "Placed"));
        placed.is_some_and(|placed| placed.status == Truth::False)
    }
}

impl Verdict {
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
            Self::Waiting(words) | Self::Failed(words) => f.write_str(words),
            Self::Ready(running) => write!(f, "ready {running}/{running}"),
            Self::Deleted => f.write_str("was deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_api::time::Timestamp;

    use skep_api::service::UpdateStatus;

    use super::*;

    fn status(observed: i64, ready: Truth) -> ServiceStatus {
        let mut status =
            ServiceStatus { observed_version: observed, desired: 3, running: 2, ..Default::default() };
        condition::set(
            &mut status.conditions,
            "Ready",
            ready,
            "X",
            "web.3 starts",
            Timestamp::from_millis(0),
        );
        status
    }

    #[test]
    fn a_summary_of_an_older_spec_says_nothing() {
        let old = status(4, Truth::True);
        let verdict = judge(5, Seen { spec: Some(5), status: Some(&old) });
        assert!(matches!(verdict, Verdict::Waiting(_)), "{verdict:?}");
        assert_eq!(judge(4, Seen { spec: Some(4), status: Some(&old) }), Verdict::Ready(2));
    }

    #[test]
    fn what_is_missing_is_said() {
        let status = status(5, Truth::False);
        let verdict = judge(5, Seen { spec: Some(5), status: Some(&status) });
        assert_eq!(verdict, Verdict::Waiting("2/3 running: web.3 starts".into()));
    }

    #[test]
    fn an_update_that_failed_is_not_waited_for() {
        let mut status = status(5, Truth::False);
        status.update = Some(UpdateStatus {
            state: RolloutState::Paused,
            stable: Some(1),
            batch: Vec::new(),
            batch_number: 1,
            total: 3,
            failed: 1,
            waiting: None,
            message: String::new(),
            failure: None,
        });
        let verdict = judge(5, Seen { spec: Some(5), status: Some(&status) });
        assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
    }

    #[test]
    fn a_service_that_somebody_deleted_is_not_waited_for() {
        let status = status(5, Truth::True);
        assert_eq!(judge(5, Seen { spec: None, status: Some(&status) }), Verdict::Deleted);
    }
}
