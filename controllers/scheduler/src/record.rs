//! What is known of one task on a node.

use std::sync::Arc;

use skep_api::eviction::EvictionReason;
use skep_api::ident::NodeId;
use skep_api::ident::{Stack, TaskName};
use skep_api::key::{Place, TaskRef};
use skep_api::task::{DesiredState, Slot, Task, TaskState};
use skep_runtime::table::Versioned;

use crate::load::Load;

/// A task wherever it is: its stack and its name, which never returns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId {
    /// It comes first, because names differ and stacks seldom do.
    pub(crate) name: TaskName,
    stack: Stack,
}

/// A request that the task leave its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Why; nothing if that does not decode.
    pub(crate) reason: Option<EvictionReason>,
    /// Its last write.
    pub(crate) modified: i64,
}

/// What is known of a task on a node. Spec, status and eviction arrive apart, in any order.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What is wanted of it, while its key is there.
    pub(crate) task: Option<Versioned<Task>>,
    /// Whether its key holds something that does not decode: then `task` is what it held before.
    pub(crate) is_damaged: bool,
    /// What its agent says of it; nothing is said of a task that was just placed.
    pub(crate) state: Option<TaskState>,
    /// The request that it leave.
    pub(crate) eviction: Option<Request>,
    /// What it takes, once that was known: its container stays what it is, whatever becomes of the revision.
    pub(crate) share: Option<Arc<Load>>,
    /// What it holds now.
    pub(crate) holding: Option<Holding>,
}

/// What a task holds of its node until it has ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Holding {
    pub(crate) load: Arc<Load>,
    /// The task beside which it is staged.
    pub(crate) beside: Option<TaskId>,
}

impl TaskId {
    /// The task that the key `task` is about.
    pub(crate) fn of(task: &TaskRef) -> Self {
        Self::named(&task.stack, &task.name)
    }

    /// The task `name` of `stack`.
    pub(crate) fn named(stack: &Stack, name: &TaskName) -> Self {
        Self { stack: stack.clone(), name: name.clone() }
    }

    /// Its key on `node`.
    pub(crate) fn on(&self, node: &NodeId) -> TaskRef {
        TaskRef { place: Place::Node(node.clone()), stack: self.stack.clone(), name: self.name.clone() }
    }

    /// The task that `task` is prepared to replace once that has ended.
    ///
    /// A task that was staged and is to stop before it was started will never run, so it stays staged.
    pub(crate) fn staged_beside(stack: &Stack, task: &Task, state: TaskState) -> Option<Self> {
        let is_staged = match task.desired {
            DesiredState::Ready => true,
            DesiredState::Running | DesiredState::Complete => false,
            DesiredState::Shutdown | DesiredState::Remove => state < TaskState::Starting,
        };
        task.replaces.as_ref().filter(|_| is_staged).map(|name| Self::named(stack, name))
    }
}

impl Record {
    /// What the task holds; nothing once it has ended.
    pub(crate) fn held(&self, id: &TaskId) -> Option<Holding> {
        let task = self.task.as_ref()?;
        if self.has_ended() {
            return None;
        }
        let is_active = task.desired <= DesiredState::Complete;
        let load = match &self.share {
            Some(share) if is_active => Arc::clone(share),
            Some(share) => Arc::new(Load { active: 0, ..(**share).clone() }),
            None => Arc::new(Load { active: u32::from(is_active), ..Load::default() }),
        };
        Some(Holding { load, beside: TaskId::staged_beside(&id.stack, task, self.observed()) })
    }

    /// The task if it has not ended, is wanted to go on, and can be told to leave: it decodes.
    pub(crate) fn wanted(&self) -> Option<&Versioned<Task>> {
        let task = self.task.as_ref().filter(|task| task.desired <= DesiredState::Complete)?;
        (!self.has_ended() && !self.is_damaged).then_some(task)
    }

    /// Whether nothing of the task is left to move: it has ended, or its key is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended() || self.task.is_none() && !self.is_damaged
    }

    /// Whether the task simply runs, as it is wanted to; nothing if there is nothing of it.
    pub(crate) fn calm(&self) -> Option<bool> {
        let task = self.task.as_ref().filter(|_| !self.has_ended())?;
        let runs = self.state == Some(TaskState::Running) && task.desired == DesiredState::Running;
        Some(runs && self.eviction.is_none() && !self.is_damaged)
    }

    /// How the task has ended, if it has and is still remembered.
    pub(crate) fn end(&self) -> Option<TaskState> {
        self.state.filter(|state| state.is_terminal() && self.task.is_some())
    }

    /// Whether there is nothing left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.task.is_none() && !self.is_damaged && self.state.is_none() && self.eviction.is_none()
    }

    fn has_ended(&self) -> bool {
        self.observed().is_terminal()
    }

    fn observed(&self) -> TaskState {
        self.state.unwrap_or(TaskState::Assigned)
    }
}

/// Whether the scheduler may ask that `task` leave its node: tasks that belong to a node are the replica controller's.
pub(crate) fn may_move(task: &Task) -> bool {
    task.slot.number().is_some()
}

/// The node that `task` belongs to, if it is a task of a global service or job.
pub(crate) fn own_node(task: &Task) -> Option<&NodeId> {
    match &task.slot {
        Slot::Number(_) => None,
        Slot::Node(node) => Some(node),
    }
}
