//! What to do next for one task. No clock, no randomness, no I/O.
//!
//! The states and their messages are SwarmKit's (`agent/exec/controller.go`). Two rules make sure that nothing runs in place
//! twice: a container is started only under a claim of this very process, which is good for one start; and a
//! container that has ended, or is gone after it was claimed, ends its task.

mod end;
mod image;
mod status;
mod stop;
#[cfg(test)]
mod tests;

use skep_api::container::PullPolicy;
use skep_api::key::TaskRef;
use skep_api::task::{DesiredState, HealthState, Task, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::table::Versioned;

use crate::change::{Change, Report};
use crate::engine::{Container, ContainerSpec, Phase};
use crate::local::{JobKind, Local, Removal, Sighting, Wait};
use crate::spec;
use crate::world::{RevisionId, RevisionState, World, revision_id};
use image::Step;

/// Something to do for a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Write this. What only shows progress is not urgent: it is left out if more comes soon.
    Write {
        /// What.
        change: Change,
        /// Whether somebody waits for it.
        is_urgent: bool,
    },
    /// Let the engine do this.
    Do(Job),
    /// Give up fetching the image.
    GiveUpFetching,
    /// Read the revision.
    ReadRevision(RevisionId),
    /// Wait before the container is stopped, for at most so long since this was first asked for.
    WaitToStop(Wait, Span),
    /// Ask etcd whether the task is really gone.
    ConfirmRemoval,
    /// Forget the task: nothing is left of it.
    Forget,
}

/// Something for the engine to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Job {
    /// Find the image, on the machine or in its registry.
    Fetch(Fetch),
    /// Create the container, or find the one that an earlier attempt created.
    Create(Box<ContainerSpec>),
    /// Start the container: only ever under a claim.
    Start(String),
    /// Stop the container.
    Stop(String),
    /// Stop the container if it runs, and remove it.
    Remove {
        /// Its id.
        id: String,
        /// Whether it runs.
        is_running: bool,
    },
    /// Look whether there is a container of this name.
    Look(String),
    /// Find out whether the engine was asked to end the container.
    FindSignal {
        /// Its id.
        id: String,
        /// When it ended.
        finished: Timestamp,
    },
    /// Read the last lines that the container has written.
    Tail(String),
}

/// An image to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    /// Its reference.
    pub(crate) reference: String,
    /// When its registry is asked.
    pub(crate) policy: PullPolicy,
}

/// One task, from all sides.
struct View<'a> {
    world: &'a World,
    key: &'a TaskRef,
    task: &'a Versioned<Task>,
    local: &'a Local,
    node_created: i64,
    now: Timestamp,
}

/// What to do next for the task `key`. What it leads to changes the world, and then it is asked again.
pub(crate) fn plan(world: &World, key: &TaskRef, now: Timestamp) -> Vec<Action> {
    let unknown = Local::default();
    let local = world.local(key).unwrap_or(&unknown);
    if !world.is_synced {
        return Vec::new();
    }
    let mut actions = plan_written(world, key, local, now);
    if local.is_writing {
        // What is being written is not known to be true yet. A stop needs nothing to be true, and does not wait for etcd.
        actions.retain(|action| matches!(action, Action::Do(Job::Stop(_))));
    }
    actions
}

/// The same, as if nothing was on its way to etcd.
fn plan_written(world: &World, key: &TaskRef, local: &Local, now: Timestamp) -> Vec<Action> {
    let Some(node_created) = world.node_created() else { return take_down(world, key, local) };
    if !world.has_task(key) {
        return take_down(world, key, local);
    }
    // A task that does not decode is left alone, and so is its container.
    let Some(task) = world.task(key) else { return Vec::new() };
    let view = View { world, key, task, local, node_created, now };
    if view.state().is_terminal() {
        view.keep_ended()
    } else if task.desired >= DesiredState::Shutdown {
        view.shut_down()
    } else {
        view.bring_up()
    }
}

/// The task is gone, or the whole node: so goes its container, once etcd has confirmed it.
fn take_down(world: &World, key: &TaskRef, local: &Local) -> Vec<Action> {
    match (&local.sighting, local.job) {
        (_, Some(JobKind::Fetch)) => vec![Action::GiveUpFetching],
        (_, Some(JobKind::Other)) => Vec::new(),
        (Sighting::Seen(container), None) => match local.removal {
            Removal::Unasked if !local.is_resting => vec![Action::ConfirmRemoval],
            Removal::Unasked | Removal::Asked => Vec::new(),
            Removal::Confirmed => {
                let is_running = container.phase == Phase::Running;
                job(world, local, Job::Remove { id: container.id.clone(), is_running })
            }
        },
        (Sighting::Unknown, None) => job(world, local, Job::Look(spec::container_name(key))),
        (Sighting::Absent, None) => vec![Action::Forget],
    }
}

fn job(world: &World, local: &Local, job: Job) -> Vec<Action> {
    if may_begin(world, local) { vec![Action::Do(job)] } else { Vec::new() }
}

/// One thing at a time, not before its rest is over, and only while the engine answers.
fn may_begin(world: &World, local: &Local) -> bool {
    local.job.is_none() && !local.is_resting && world.machine.is_some()
}

impl View<'_> {
    /// The state that the task has for the cluster. A status that does not decode may have been anything, so the task counts
    /// as claimed: it is then never started without a look at its container and a new claim.
    fn state(&self) -> TaskState {
        match self.world.status(self.key) {
            Some(status) => status.state,
            None if self.world.status_stamp(self.key).is_some() => TaskState::Starting,
            None => TaskState::Assigned,
        }
    }

    /// An ended task keeps its container, stopped, until the task is deleted; also if people start it again.
    fn keep_ended(&self) -> Vec<Action> {
        match (self.local.job, &self.local.sighting) {
            (Some(JobKind::Fetch), _) => vec![Action::GiveUpFetching],
            (None, Sighting::Unknown) if self.world.machine.is_some() => self.look(),
            (None, Sighting::Seen(container)) if container.phase == Phase::Running => {
                self.job(Job::Stop(container.id.clone()))
            }
            (None | Some(JobKind::Other), _) => match self.world.status(self.key) {
                Some(told) if told.is_unexamined() => self.examine(told),
                Some(_) | None => Vec::new(),
            },
        }
    }

    fn shut_down(&self) -> Vec<Action> {
        match self.local.job {
            Some(JobKind::Fetch) => return vec![Action::GiveUpFetching],
            Some(JobKind::Other) => return Vec::new(),
            None => {}
        }
        match &self.local.sighting {
            Sighting::Unknown => self.look(),
            Sighting::Seen(container) if container.phase == Phase::Running => self.stop(container),
            Sighting::Seen(container) => {
                self.report(self.ended(TaskState::Shutdown, "shutdown", None, Some(container)))
            }
            Sighting::Absent => self.report(self.ended(TaskState::Shutdown, "shutdown", None, None)),
        }
    }

    fn bring_up(&self) -> Vec<Action> {
        if let Some(verdict) = &self.local.verdict {
            return self.fail(verdict.clone(), self.local.container());
        }
        let is_claimed = self.state() >= TaskState::Starting;
        match &self.local.sighting {
            Sighting::Seen(container) => match container.phase {
                Phase::Running => self.running(container),
                Phase::Exited { code, oom_killed } => self.exited(container, code, oom_killed),
                Phase::Created => self.start(container),
            },
            Sighting::Absent if is_claimed => self.fail("the container is gone".to_owned(), None),
            Sighting::Unknown if is_claimed => self.look(),
            Sighting::Absent | Sighting::Unknown => self.prepare(),
        }
    }

    /// The container runs. The task is RUNNING from when its healthcheck, if it has one, first speaks well of it (Swarm
    /// 12.22); one that is unhealthy is ended, before or after that.
    fn running(&self, container: &Container) -> Vec<Action> {
        let is_told = self.state() == TaskState::Running;
        match container.health.as_ref().map(|health| health.state) {
            Some(HealthState::Unhealthy) => {
                let mut actions = self.tell_health(container, true);
                actions.extend(self.job(Job::Stop(container.id.clone())));
                actions
            }
            Some(HealthState::Starting) if !is_told => self.wait_for_health(container),
            // Nobody checks a container that is paused.
            Some(HealthState::Starting) => Vec::new(),
            Some(HealthState::Healthy) if is_told => self.tell_health(container, false),
            None if is_told => Vec::new(),
            Some(HealthState::Healthy) | None => self.report(self.started(container)),
        }
    }

    /// The container is there and was never started.
    fn start(&self, container: &Container) -> Vec<Action> {
        if self.state() == TaskState::Running {
            return self.fail("the container was replaced by one that never ran".to_owned(), Some(container));
        }
        if !may_begin(self.world, self.local) {
            return Vec::new();
        }
        if self.task.desired == DesiredState::Ready {
            let is_told = self.state() >= TaskState::Ready;
            return if is_told { Vec::new() } else { self.report(self.prepared(container)) };
        }
        match self.world.session {
            None => Vec::new(),
            Some(session) if self.local.claim == Some(session) => self.job(Job::Start(container.id.clone())),
            Some(session) => {
                let report = self.stands_on(self.starting(container));
                let change = Change::Claim { report, task_modified: self.task.stamp.modified, session };
                vec![Action::Write { change, is_urgent: true }]
            }
        }
    }

    /// There is no container yet, and none was ever started.
    fn prepare(&self) -> Vec<Action> {
        let id = revision_id(self.task);
        let (revision, pin) = match self.world.revisions.get(&id) {
            None => return vec![Action::ReadRevision(id)],
            Some(RevisionState::Asked) => return Vec::new(),
            Some(RevisionState::Unusable(why)) => {
                return self.progress(TaskState::Accepted, Some(why.clone()));
            }
            Some(RevisionState::Known(revision, pin)) => (revision, pin.as_deref()),
        };
        if self.world.machine.is_none() {
            return self.progress(TaskState::Accepted, None);
        }
        let mut actions = self.preparing(&revision.task.image);
        actions.extend(match image::next(&revision.task.image, pin, self.local.image.as_ref()) {
            Step::Fetch(reference) => {
                self.job(Job::Fetch(Fetch { reference, policy: revision.task.pull_policy }))
            }
            Step::Create(image) => match spec::container(self.world, self.key, self.task, revision, image) {
                Ok(container) => self.job(Job::Create(Box::new(container))),
                Err(words) => return self.fail(words, None),
            },
            Step::Pin(digest) => {
                let task = (self.key.clone(), self.task.stamp.modified);
                return vec![Action::Write {
                    change: Change::Pin { revision: id, digest, task },
                    is_urgent: true,
                }];
            }
        });
        actions
    }

    fn look(&self) -> Vec<Action> {
        self.job(Job::Look(spec::container_name(self.key)))
    }

    fn job(&self, wanted: Job) -> Vec<Action> {
        job(self.world, self.local, wanted)
    }

    fn stands_on(&self, status: TaskStatus) -> Report {
        Report {
            key: self.key.clone(),
            status: status.into(),
            task_created: self.task.stamp.created,
            node_created: self.node_created,
            modified: self.world.status_stamp(self.key).map(|stamp| stamp.modified),
        }
    }

    /// Tells the cluster something that somebody waits for.
    fn report(&self, status: TaskStatus) -> Vec<Action> {
        vec![Action::Write { change: Change::Report(self.stands_on(status)), is_urgent: true }]
    }
}
