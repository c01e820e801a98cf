//! What a task's status says at each step. What passed since the last write is folded into one.

use skep_api::task::{ContainerStatus, TaskState, TaskStatus};

use super::{Action, View};
use crate::change::Change;
use crate::engine::{Container, Phase};

/// The longest error that is reported, in characters: an engine may quote a whole log.
const ERROR_MAX_CHARS: usize = 1000;

impl View<'_> {
    /// Shows how far the preparation is, if there is time for it.
    pub(super) fn progress(&self, state: TaskState, error: Option<String>) -> Vec<Action> {
        let told = self.world.status(self.key);
        let is_told = self.state() > state
            || told.is_some_and(|told| told.state == state && (error.is_none() || told.error == error));
        if is_told {
            return Vec::new();
        }
        let message = if state == TaskState::Accepted { "accepted" } else { "preparing" };
        let status = TaskStatus { error, ..self.status(state, message) };
        vec![Action::Write { change: Change::Report(self.stands_on(status)), is_urgent: false }]
    }

    pub(super) fn prepared(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            container: Some(container_status(container)),
            ..self.status(TaskState::Ready, "prepared")
        }
    }

    pub(super) fn starting(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            container: Some(container_status(container)),
            ..self.status(TaskState::Starting, "starting")
        }
    }

    pub(super) fn started(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            started: container.started,
            container: Some(container_status(container)),
            ports: container.ports.clone(),
            ..self.status(TaskState::Running, "started")
        }
    }

    /// The end of the task. Its ports lead nowhere any more.
    pub(super) fn ended(
        &self,
        state: TaskState,
        message: &str,
        error: Option<String>,
        container: Option<&Container>,
    ) -> TaskStatus {
        let told = self.world.status(self.key);
        let known = container.map(container_status);
        TaskStatus {
            error: error.map(|error| error.chars().take(ERROR_MAX_CHARS).collect()),
            started: container.and_then(|container| container.started).or(told.and_then(|told| told.started)),
            container: known.or_else(|| told.and_then(|told| told.container.clone())),
            ..self.status(state, message)
        }
    }

    /// The end of a task by an error: it was refused, if it had not been claimed yet.
    pub(super) fn fail(&self, error: String, container: Option<&Container>) -> Vec<Action> {
        let is_claimed = self.state() >= TaskState::Starting;
        let (state, message) =
            if is_claimed { (TaskState::Failed, "failed") } else { (TaskState::Rejected, "rejected") };
        self.report(self.ended(state, message, Some(error), container))
    }

    fn status(&self, state: TaskState, message: &str) -> TaskStatus {
        TaskStatus {
            draining: None,
            health: None,
            log: Vec::new(),
            running: None,
            state,
            since: self.now,
            message: message.to_owned(),
            error: None,
            started: None,
            container: None,
            ports: Vec::new(),
            obstacles: Vec::new(),
        }
    }
}

fn container_status(container: &Container) -> ContainerStatus {
    let (exit_code, oom_killed) = match container.phase {
        Phase::Exited { code, oom_killed } => (Some(code), oom_killed),
        Phase::Created | Phase::Running => (None, false),
    };
    ContainerStatus { image: String::new(), id: container.id.clone(), exit_code, oom_killed }
}
