//! What a task's status says at each step. What passed since the last write is folded into one.

use skep_api::task::{ContainerStatus, Health, HealthState, TaskState, TaskStatus};

use super::{Action, View};
use crate::change::Change;
use crate::engine::{Container, Phase, Progress};
use crate::reference::Reference;

/// The longest error that is reported, in characters: an engine may quote a whole log.
const ERROR_MAX_CHARS: usize = 1000;
/// What a task says that runs and is not RUNNING yet.
const WAITING: &str = "waiting for the first healthy check";
const PREPARING: &str = "preparing";

impl View<'_> {
    /// Shows how far the preparation is, if there is time for it.
    pub(super) fn progress(&self, state: TaskState, error: Option<String>) -> Vec<Action> {
        let message = if state == TaskState::Accepted { "accepted" } else { PREPARING };
        self.show(TaskStatus { error, ..self.status(state, message) })
    }

    /// Shows that the task is being prepared, and how far the pull of `image` is.
    pub(super) fn preparing(&self, image: &str) -> Vec<Action> {
        let message = self.local.pulling.map(|progress| pulling(image, progress));
        self.show(self.status(TaskState::Preparing, message.as_deref().unwrap_or(PREPARING)))
    }

    /// Shows progress, unless it is told already, or there is nothing special about it.
    fn show(&self, status: TaskStatus) -> Vec<Action> {
        let is_told = self.state() > status.state
            || self.world.status(self.key).is_some_and(|told| {
                let says_more = told.message != status.message && status.message.starts_with(PULLING);
                told.state == status.state
                    && !says_more
                    && (status.error.is_none() || told.error == status.error)
            });
        if is_told {
            return Vec::new();
        }
        let since = self.world.status(self.key).filter(|told| told.state == status.state);
        let status = TaskStatus { since: since.map_or(self.now, |told| told.since), ..status };
        vec![Action::Write { change: Change::Report(self.stands_on(status)), is_urgent: false }]
    }

    /// The container runs, and its healthcheck has not spoken yet.
    pub(super) fn wait_for_health(&self, container: &Container) -> Vec<Action> {
        let told = self.world.status(self.key);
        if told.is_some_and(|told| told.message == WAITING) {
            return Vec::new();
        }
        let status = TaskStatus {
            since: told.map_or(self.now, |told| told.since),
            started: container.started,
            health: container.health.clone(),
            ..self.starting(container)
        };
        let status = TaskStatus { message: WAITING.to_owned(), ..status };
        vec![Action::Write { change: Change::Report(self.stands_on(status)), is_urgent: false }]
    }

    pub(super) fn prepared(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            container: Some(self.container_status(container)),
            ..self.status(TaskState::Ready, "prepared")
        }
    }

    pub(super) fn starting(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            container: Some(self.container_status(container)),
            ..self.status(TaskState::Starting, "starting")
        }
    }

    pub(super) fn started(&self, container: &Container) -> TaskStatus {
        TaskStatus {
            started: container.started,
            running: Some(self.now),
            health: container.health.clone(),
            container: Some(self.container_status(container)),
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
        let known = container.map(|container| self.container_status(container));
        TaskStatus {
            error: error.map(|error| error.chars().take(ERROR_MAX_CHARS).collect()),
            started: container.and_then(|container| container.started).or(told.and_then(|told| told.started)),
            running: told.and_then(|told| told.running),
            draining: told.and_then(|told| told.draining),
            health: last_health(
                told.and_then(|told| told.health.as_ref()),
                container.and_then(|container| container.health.as_ref()),
            ),
            log: self.local.tail.clone().filter(|_| state > TaskState::Shutdown).unwrap_or_default(),
            container: known.or_else(|| told.and_then(|told| told.container.clone())),
            ..self.status(state, message)
        }
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
            remedy: None,
        }
    }

    fn container_status(&self, container: &Container) -> ContainerStatus {
        let (exit_code, oom_killed) = match container.phase {
            Phase::Exited { code, oom_killed } => (Some(code), oom_killed),
            Phase::Created | Phase::Running => (None, false),
        };
        let found = self.local.image.as_ref().filter(|_| container.image.is_empty());
        let image = found.map_or(&container.image, |found| &found.image.id).clone();
        ContainerStatus { image, id: container.id.clone(), exit_code, oom_killed, unexamined: false }
    }
}

/// What the healthcheck said last: a container that has ended is not checked any more.
fn last_health(told: Option<&Health>, seen: Option<&Health>) -> Option<Health> {
    let is_over = seen.is_some_and(|seen| seen.state == HealthState::Starting);
    let told_more = told.filter(|told| is_over && told.state != HealthState::Starting);
    told_more.or(seen).or(told).cloned()
}

/// How messages about a pull begin.
const PULLING: &str = "pulling ";

/// How far a pull is: `pulling nginx:1.27: 45% (12.0 of 26.7 MiB)`.
fn pulling(image: &str, progress: Progress) -> String {
    let reference = Reference::parse(image);
    let tag = reference.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let name = format!("{PULLING}{}{tag}", reference.repository);
    if progress.total == 0 {
        return name;
    }
    let percent = progress.done.saturating_mul(100) / progress.total;
    format!("{name}: {percent}% ({} of {} MiB)", mebibytes(progress.done), mebibytes(progress.total))
}

/// Bytes as mebibytes with one digit after the point, rounded down.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_says_what_is_pulled_and_how_far_it_is() {
        let progress = Progress { done: 12 << 20, total: 28_000_000 };
        assert_eq!(pulling("nginx:1.27@sha256:aa", progress), "pulling nginx:1.27: 44% (12.0 of 26.7 MiB)");
        assert_eq!(pulling("nginx", Progress::default()), "pulling nginx");
    }
}
