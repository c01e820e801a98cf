//! A task that serves is taken out of the endpoints before it is stopped (`task.preStop`; Swarm 12.22).

use skep_api::container::PreStop;
use skep_api::task::{TaskState, TaskStatus};
use skep_api::time::Span;

use super::{Action, Job, View};
use crate::change::Change;
use crate::engine::Container;
use crate::local::Wait;
use crate::world::{RevisionState, revision_id};

/// How long a stop waits for the revision, if it was not read yet, and for the word that the task is draining: etcd
/// may be away, and a task that is to stop stops nevertheless.
const ETCD_LIMIT: Span = Span::from_secs(5);

impl View<'_> {
    /// The container runs, and is to stop.
    pub(super) fn stop(&self, container: &Container) -> Vec<Action> {
        self.before_stop(container).unwrap_or_else(|| self.job(Job::Stop(container.id.clone())))
    }

    /// What is to be done or waited for before the container is stopped. One that serves nobody is stopped at once.
    fn before_stop(&self, container: &Container) -> Option<Vec<Action>> {
        let told = self.world.status(self.key)?;
        if told.state != TaskState::Running || container.is_unhealthy() {
            return None;
        }
        let id = revision_id(self.task);
        let revision = match self.world.revisions.get(&id) {
            Some(RevisionState::Known(revision, _)) => revision,
            Some(RevisionState::Unusable(_)) => return None,
            Some(RevisionState::Asked) => return self.wait(Wait::Revision, ETCD_LIMIT, Vec::new()),
            None => return self.wait(Wait::Revision, ETCD_LIMIT, vec![Action::ReadRevision(id)]),
        };
        let wait = revision.task.pre_stop.as_ref().map_or(Span::default(), |PreStop { wait }| *wait);
        if wait == Span::default() {
            return None;
        }
        let Some(since) = told.draining else {
            let status = TaskStatus {
                draining: Some(self.now),
                message: "draining".to_owned(),
                ..TaskStatus::clone(told)
            };
            return self.wait(Wait::Telling, ETCD_LIMIT, self.report(status));
        };
        // The clock may have gone back, or forward.
        let left = wait.min(since.after(wait).since(self.now));
        if left == Span::default() { None } else { self.wait(Wait::Drain, left, Vec::new()) }
    }

    /// Waits, unless that took too long already.
    fn wait(&self, wait: Wait, limit: Span, mut actions: Vec<Action>) -> Option<Vec<Action>> {
        if self.local.waited >= Some(wait) {
            return None;
        }
        actions.push(Action::WaitToStop(wait, limit));
        Some(actions)
    }

    /// Tells what the healthcheck says, if that is news; the state stays.
    pub(super) fn tell_health(&self, container: &Container, is_urgent: bool) -> Vec<Action> {
        let Some(told) = self.world.status(self.key) else { return Vec::new() };
        let state = |health: &Option<skep_api::task::Health>| health.as_ref().map(|health| health.state);
        if state(&told.health) == state(&container.health) {
            return Vec::new();
        }
        let status = TaskStatus { health: container.health.clone(), ..TaskStatus::clone(told) };
        vec![Action::Write { change: Change::Report(self.stands_on(status)), is_urgent }]
    }
}
