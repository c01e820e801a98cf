//! How a task ends: by itself, by its healthcheck, by its engine, or because it cannot run.

use skep_api::task::TaskState;

use super::{Action, Job, View, may_begin};
use crate::engine::{Container, Phase};

impl View<'_> {
    /// The container has ended, and was wanted to run. The words are Swarm's (moby, `exitError`).
    pub(super) fn exited(&self, container: &Container, code: i64, oom_killed: bool) -> Vec<Action> {
        let cause = if container.is_unhealthy() {
            "unhealthy container"
        } else if code == 0 {
            return self.ended_well(container);
        } else if oom_killed {
            "out of memory"
        } else {
            container.error.as_str()
        };
        let separator = if cause.is_empty() { "" } else { ": " };
        self.fail(format!("task: non-zero exit ({code}){separator}{cause}"), Some(container))
    }

    /// The process ended with exit code 0. One that did so because its engine told it to end, for its own shutdown or for
    /// people, has not done its work. Skep's own stops do not come here.
    fn ended_well(&self, container: &Container) -> Vec<Action> {
        let was_stopped = if self.local.ended_with_engine { Some(true) } else { self.local.was_signalled };
        match (was_stopped, container.finished) {
            (Some(true), _) => self.fail("the container engine stopped it".to_owned(), Some(container)),
            (None, Some(finished)) => self.job(Job::FindSignal { id: container.id.clone(), finished }),
            (Some(false), _) | (None, None) => {
                self.report(self.ended(TaskState::Complete, "finished", None, Some(container)))
            }
        }
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
