//! What waiting says of failures, jobs and conditions.

use skep_api::condition::{Condition, Truth};
use skep_api::rollout::{Failure, Rollout, RolloutState};
use skep_api::service::JobStatus;

/// Why an update failed: what became of it, the task by which it did, its last lines and what its healthcheck said.
pub(crate) fn failure(rollout: &Rollout) -> String {
    let outcome = match rollout.state {
        RolloutState::Paused => "its update is paused".to_owned(),
        RolloutState::RollbackPaused => "its rollback is paused".to_owned(),
        RolloutState::RollbackStarted => format!("is being rolled back to revision {}", rollout.target),
        RolloutState::RollbackCompleted => {
            format!("its update was rolled back to revision {}", rollout.target)
        }
        RolloutState::Updating | RolloutState::Completed => "its update failed".to_owned(),
    };
    let why = match &rollout.failure {
        Some(failure) => reason(failure),
        None => rollout.message.clone(),
    };
    let first = if why.is_empty() { outcome } else { format!("{outcome}: {why}") };
    let details = rollout.failure.as_ref().map(details).unwrap_or_default();
    [vec![first], details].concat().join("\n")
}

fn reason(failure: &Failure) -> String {
    let task = match &failure.task {
        Some(task) => format!("{task} (revision {})", failure.revision),
        None => format!("revision {}", failure.revision),
    };
    let mut words = format!("{task}: {}", failure.reason);
    if !failure.message.is_empty() {
        words = format!("{words}: {}", failure.message);
    }
    match failure.exit_code {
        Some(code) if !words.contains("exit") => format!("{words} (exit code {code})"),
        Some(_) | None => words,
    }
}

/// The last lines and the health output, each under a heading.
fn details(failure: &Failure) -> Vec<String> {
    let mut lines = Vec::new();
    if !failure.log.is_empty() {
        lines.push("  the last that it wrote:".to_owned());
        lines.extend(failure.log.iter().map(|line| format!("    | {line}")));
    }
    if !failure.health.is_empty() {
        lines.push("  what its healthcheck said:".to_owned());
        lines.extend(failure.health.lines().map(|line| format!("    | {line}")));
    }
    lines
}

/// How far a job is.
pub(crate) fn job(job: &JobStatus) -> String {
    let failed = if job.failed > 0 { format!(", {} failed", job.failed) } else { String::new() };
    format!("{} of {} completed, {} running{failed}", job.completed, job.total, job.active)
}

/// A condition, in words.
pub(crate) fn condition(condition: &Condition) -> String {
    let truth = match condition.status {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let said = format!("{}={truth} ({})", condition.kind, condition.reason);
    if condition.message.is_empty() { said } else { format!("{said}: {}", condition.message) }
}
