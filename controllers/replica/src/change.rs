//! The closed list of what replica may write, and on what each write stands.

use std::sync::Arc;

use skep_api::key::{Key, ServiceRef, TaskRef};
use skep_api::object::Object;
use skep_api::service::ServiceStatus;
use skep_api::task::{DesiredState, Task};
use skep_runtime::plan::{Change as RuntimeChange, Expect, Guard, Transaction};
use skep_runtime::tasks::Run;

/// A write of replica's.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A task for a slot.
    Create(Create),
    /// A task takes the place of one that is stopped or forgotten in the same moment.
    Replace(Stop, Create),
    /// A task that was prepared may start.
    Promote(Raise),
    /// A task is no longer wanted, or has ended and is forgotten.
    Stop(Stop),
    /// The summary of a service.
    Report(Report),
    /// The summary of a service that is gone.
    Unreport(ServiceRef, i64),
}

/// Creates a task that has no node yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// Its key.
    pub at: TaskRef,
    /// The task.
    pub task: Arc<Task>,
    /// What the decision stands on.
    pub because: Vec<Guard>,
}

/// Raises what is wanted of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Raise {
    /// Its key.
    pub at: TaskRef,
    /// The task as it shall be.
    pub task: Arc<Task>,
    /// What the decision stands on.
    pub because: Vec<Guard>,
}

/// Deletes a task with its status: it has ended, or nobody has started on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Forget {
    /// Its key.
    pub at: TaskRef,
    /// Whether there is a status to delete.
    pub has_status: bool,
    /// What the decision stands on.
    pub because: Vec<Guard>,
}

/// Ends a task's being wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// Its agent is told.
    Raise(Raise),
    /// No agent knows of it, or none has to do with it any more.
    Forget(Forget),
}

/// Writes the summary of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The service.
    pub service: ServiceRef,
    /// The service's create revision.
    pub created: i64,
    /// The summary as it was.
    pub previous: Expect,
    /// The summary.
    pub status: Arc<ServiceStatus>,
}

impl Raise {
    /// Wants `desired` of the task of `run`.
    pub fn new(run: &Run<'_>, desired: DesiredState, mut because: Vec<Guard>) -> Self {
        because.push(run.unchanged());
        Self { at: run.at.clone(), task: Task { desired, ..(*run.task.value).clone() }.into(), because }
    }
}

impl Forget {
    /// Deletes the task of `run` and its status, both as they are.
    pub fn new(run: &Run<'_>, mut because: Vec<Guard>) -> Self {
        because.extend([run.unchanged(), run.status_unchanged()]);
        Self { at: run.at.clone(), has_status: run.status_at.is_some(), because }
    }
}

impl Stop {
    /// Makes `run` unwanted: a task without a node is deleted, any other is told.
    pub fn new(run: &Run<'_>, desired: DesiredState, because: Vec<Guard>) -> Self {
        if run.at.place.node().is_none() {
            Self::Forget(Forget::new(run, because))
        } else {
            Self::Raise(Raise::new(run, desired, because))
        }
    }
}

impl RuntimeChange for Change {
    fn transaction(&self) -> Transaction {
        let writes = Transaction::new();
        match self {
            Self::Create(create) => create.write(writes),
            Self::Replace(stop, create) => create.write(stop.write(writes)),
            Self::Promote(raise) => raise.write(writes),
            Self::Stop(stop) => stop.write(writes),
            Self::Report(report) => report.write(writes),
            Self::Unreport(service, modified) => writes
                .absent(Key::Service(service.clone()))
                .modified(Key::ServiceStatus(service.clone()), *modified)
                .delete(Key::ServiceStatus(service.clone())),
        }
    }
}

impl Create {
    fn write(&self, writes: Transaction) -> Transaction {
        let key = Key::Task(self.at.clone());
        standing_on(writes, &self.because).absent(key.clone()).put(key, Object::Task(Arc::clone(&self.task)))
    }
}

impl Raise {
    fn write(&self, writes: Transaction) -> Transaction {
        standing_on(writes, &self.because)
            .put(Key::Task(self.at.clone()), Object::Task(Arc::clone(&self.task)))
    }
}

impl Forget {
    fn write(&self, writes: Transaction) -> Transaction {
        let writes = standing_on(writes, &self.because).delete(Key::Task(self.at.clone()));
        if self.has_status { writes.delete(Key::TaskStatus(self.at.clone())) } else { writes }
    }
}

impl Stop {
    fn write(&self, writes: Transaction) -> Transaction {
        match self {
            Self::Raise(raise) => raise.write(writes),
            Self::Forget(forget) => forget.write(writes),
        }
    }
}

impl Report {
    fn write(&self, writes: Transaction) -> Transaction {
        let key = Key::ServiceStatus(self.service.clone());
        writes
            .created(Key::Service(self.service.clone()), self.created)
            .guard(key.clone(), self.previous)
            .put(key, Object::ServiceStatus(Arc::clone(&self.status)))
    }
}

/// Each guard once: two reasons may stand on one key.
fn standing_on(writes: Transaction, because: &[Guard]) -> Transaction {
    because.iter().fold(writes, |writes, guard| {
        if writes.guards.contains(guard) { writes } else { writes.guard(guard.key.clone(), guard.expect) }
    })
}
