//! How a task ends: by itself, by its healthcheck, by its engine, or because it cannot run.

use skep_api::task::TaskState;

use super::{Action, Job, View, may_begin};
use crate::engine::{Container, Phase};

/// How soon after a signal through the engine an end counts as the signal's doing, in milliseconds: a container's grace
/// period may be longer, but then it is killed, and does not end with exit code 0.
const SIGNAL_EFFECT_MS: i64 = 60_000;

impl View<'_> {
    /// The container has ended, and was wanted to run. The words are Swarm's (moby, `exitError`).
    pub(super) fn exited(&self, container: &Container, code: i64, oom_killed: bool) -> Vec<Action> {
        let cause = if container.is_unhealthy() {
            "unhealthy container"
        } else if oom_killed && code != 0 {
            "out of memory"
        } else if code == 0 && self.was_stopped(container) {
            // A process that ends well because it was told to has not done its work.
            return self.fail("the container engine stopped it".to_owned(), Some(container));
        } else if code == 0 {
            return self.report(self.ended(TaskState::Complete, "finished", None, Some(container)));
        } else {
            container.error.as_str()
        };
        let separator = if cause.is_empty() { "" } else { ": " };
        self.fail(format!("task: non-zero exit ({code}){separator}{cause}"), Some(container))
    }

    /// Whether the engine stopped the container: for its own shutdown, or because people asked it to. Skep's own stops
    /// do not come here.
    fn was_stopped(&self, container: &Container) -> bool {
        let after_signal =
            self.local.signalled.zip(container.finished).is_some_and(|(signalled, finished)| {
                (0..=SIGNAL_EFFECT_MS).contains(&finished.as_millis().saturating_sub(signalled.as_millis()))
            });
        after_signal || self.local.ended_with_engine
    }

    /// The end of a task by an error: it was refused, if it had not been claimed yet. What it wrote last is read first, if
    /// the engine answers.
    pub(super) fn fail(&self, error: String, container: Option<&Container>) -> Vec<Action> {
        if let Some(container) = container.filter(|container| container.phase > Phase::Created)
            && self.local.tail.is_none()
        {
            if may_begin(self.world, self.local) {
                return vec![Action::Do(Job::Tail(container.id.clone()))];
            }
            if self.local.job.is_some() {
                return Vec::new();
            }
        }
        let is_claimed = self.state() >= TaskState::Starting;
        let (state, message) =
            if is_claimed { (TaskState::Failed, "failed") } else { (TaskState::Rejected, "rejected") };
        self.report(self.ended(state, message, Some(error), container))
    }
}
