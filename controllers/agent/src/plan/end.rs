//! How a task ends: by itself, by its healthcheck, by its engine, or because it cannot run.

use skep_api::task::{TaskState, TaskStatus};

use super::{Action, Job, View, may_begin};
use crate::engine::{Container, Phase};
use crate::local::Sighting;

impl View<'_> {
    /// The container has ended, and was wanted to run.
    pub(super) fn exited(&self, container: &Container, code: i64, oom_killed: bool) -> Vec<Action> {
        if code == 0 && !container.is_unhealthy() {
            return self.ended_well(container);
        }
        self.fail(words(container, code, oom_killed), Some(container))
    }

    /// The task has failed, and that was told as soon as it was known: now the rest is. Whoever waits for it does not wait for an
    /// engine that is away.
    pub(super) fn examine(&self, told: &TaskStatus) -> Vec<Action> {
        if self.local.job.is_some() {
            return Vec::new();
        }
        let is_there = self.world.machine.is_some();
        match &self.local.sighting {
            Sighting::Seen(container) if is_there && self.local.tail.is_none() => {
                self.job(Job::Tail(container.id.clone()))
            }
            Sighting::Seen(_) if is_there && self.local.is_glimpsed => Vec::new(),
            Sighting::Unknown if is_there => self.look(),
            Sighting::Seen(container) => {
                // People may have started it again.
                let container = Some(container).filter(|container| container.started == told.started);
                self.report(self.examined(told, container))
            }
            Sighting::Unknown | Sighting::Absent => self.report(self.examined(told, None)),
        }
    }

    fn examined(&self, told: &TaskStatus, container: Option<&Container>) -> TaskStatus {
        let error = container.and_then(|container| match container.phase {
            Phase::Exited { code, oom_killed } => Some(words(container, code, oom_killed)),
            Phase::Created | Phase::Running => None,
        });
        let error = error.or_else(|| told.error.clone());
        let mut status = self.ended(told.state, &told.message, error, container);
        status.since = told.since;
        if let Some(container) = &mut status.container {
            container.unexamined = false;
        }
        status
    }

    /// The process ended with exit code 0. One that did so because its engine told it to end, for its own shutdown or for
    /// people, has not done its work. Skep's own stops do not come here.
    fn ended_well(&self, container: &Container) -> Vec<Action> {
        let was_stopped = if self.local.ended_with_engine { Some(true) } else { self.local.was_signalled };
        match (was_stopped, container.finished) {
            // When exactly it ended is asked first: what counts is what was said to it just before.
            (None, _) if self.local.is_glimpsed => Vec::new(),
            (Some(true), _) => self.fail("the container engine stopped it".to_owned(), Some(container)),
            (None, Some(finished)) => self.job(Job::FindSignal { id: container.id.clone(), finished }),
            (Some(false), _) | (None, None) => {
                self.report(self.ended(TaskState::Complete, "finished", None, Some(container)))
            }
        }
    }

    /// The end of a task by an error: it was refused, if it had not been claimed yet. What it wrote last is read first, if
    /// the engine answers, unless there is a successor to make at once.
    pub(super) fn fail(&self, error: String, container: Option<&Container>) -> Vec<Action> {
        if let Some(container) = container.filter(|container| container.phase > Phase::Created)
            && self.local.tail.is_none()
            && !self.local.is_glimpsed
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
        let mut status = self.ended(state, message, Some(error), container);
        if let Some(container) = &mut status.container {
            container.unexamined = self.local.is_glimpsed;
        }
        self.report(status)
    }
}

/// Why a container failed, in Swarm's words (moby, `exitError`).
fn words(container: &Container, code: i64, oom_killed: bool) -> String {
    let cause = if container.is_unhealthy() {
        "unhealthy container"
    } else if oom_killed {
        "out of memory"
    } else {
        container.error.as_str()
    };
    let separator = if cause.is_empty() { "" } else { ": " };
    format!("task: non-zero exit ({code}){separator}{cause}")
}
