//! What a field is when it is left out: Docker Swarm's values (SwarmKit `api/defaults/service.go`, docker/cli
//! `cli/command/service/opts.go`), in this one file. The decoder applies them, so every reader sees the same.

use crate::ratio::Ratio;
use crate::service::{FailureAction, Order, RestartCondition, RestartPolicy, UpdatePolicy};
use crate::time::Span;

/// How many ended tasks a slot keeps (`TaskHistoryRetentionLimit`).
pub const TASK_HISTORY_LIMIT: usize = 5;
/// How many revisions a service keeps for `rollout history` and `undo`, beside those that are needed.
pub const REVISION_HISTORY_LIMIT: usize = 10;

impl Default for UpdatePolicy {
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Span::from_secs(0),
            order: Order::StopFirst,
            monitor: five_seconds(),
            failure_action: FailureAction::Pause,
            max_failure_ratio: Ratio::default(),
            partition: None,
            deadline: deadline(),
        }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            condition: RestartCondition::Any,
            delay: five_seconds(),
            max_attempts: 0,
            window: Span::from_secs(0),
            max_delay: max_delay(),
        }
    }
}

/// `replicas`, and a job's completions.
pub(crate) fn replicas() -> u32 {
    1
}

/// For serde: whether `replicas` can be left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_one(number: &u32) -> bool {
    *number == replicas()
}

/// `update.monitor` and `restart.delay`.
fn five_seconds() -> Span {
    Span::from_secs(5)
}

/// For serde: whether `update.monitor` or `restart.delay` can be left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_five_seconds(span: &Span) -> bool {
    *span == five_seconds()
}

/// `update.deadline`, which Swarm does not have: Kubernetes' `progressDeadlineSeconds`.
fn deadline() -> Span {
    Span::from_secs(600)
}

/// For serde: whether `update.deadline` can be left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_deadline(span: &Span) -> bool {
    *span == deadline()
}

/// `restart.maxDelay`, which Swarm does not have: kubelet's `MaxContainerBackOff`.
fn max_delay() -> Span {
    Span::from_secs(300)
}

/// For serde: whether `restart.maxDelay` can be left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_max_delay(span: &Span) -> bool {
    *span == max_delay()
}

/// `stopGracePeriod`.
pub(crate) fn stop_grace_period() -> Span {
    Span::from_secs(10)
}

/// For serde: whether `stopGracePeriod` can be left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_stop_grace_period(span: &Span) -> bool {
    *span == stop_grace_period()
}
