//! What the tasks of one node hold, kept up to date by each event.
//!
//! A *staged* task is prepared beside the task that it replaces and is started only after that one has ended. The two
//! are never there at the same time, so together they hold, in each respect, the larger of what either holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::ident::{Stack, TaskName};
use skep_api::key::TaskRef;
use skep_api::task::{DesiredState, Task, TaskState};

use crate::demand::Demand;
use crate::group::Group;
use crate::load::{HostPort, Load};

/// A task wherever it is: its stack and its name, which never returns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId {
    stack: Stack,
    name: TaskName,
}

/// What is known of a task on a node. The spec and the status arrive apart, in either order.
#[derive(Debug, Default)]
struct Record {
    task: Option<Arc<Task>>,
    state: Option<TaskState>,
    holding: Option<Holding>,
}

/// What a task holds of its node until it has ended.
#[derive(Debug, PartialEq)]
struct Holding {
    load: Load,
    /// The task beside which it is staged.
    beside: Option<TaskId>,
}

/// The tasks of one node and what they hold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<TaskId, Record>,
    /// Staged tasks by the task that each replaces.
    staged: BTreeMap<TaskId, BTreeSet<TaskId>>,
    load: Load,
}

impl TaskId {
    /// The task that the key `task` is about.
    pub(crate) fn of(task: &TaskRef) -> Self {
        Self { stack: task.stack.clone(), name: task.name.clone() }
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
        let name = task.replaces.as_ref().filter(|_| is_staged)?;
        Some(Self { stack: stack.clone(), name: name.clone() })
    }
}

impl Record {
    /// What the task holds now; nothing once it has ended.
    fn holding(&self, id: &TaskId, demand: Option<&Demand>) -> Option<Holding> {
        let task = self.task.as_ref()?;
        let state = self.state.unwrap_or(TaskState::Assigned);
        if state.is_terminal() {
            return None;
        }
        let mut load = demand.map(|demand| demand.load.clone()).unwrap_or_default();
        load.active = u32::from(task.desired <= DesiredState::Complete);
        Some(Holding { load, beside: TaskId::staged_beside(&id.stack, task, state) })
    }

    fn is_empty(&self) -> bool {
        self.task.is_none() && self.state.is_none()
    }
}

impl Ledger {
    /// What all tasks together hold.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// The task `id`, if its key is on this node.
    pub(crate) fn task(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.records.get(id)?.task.as_ref()
    }

    /// Whether `id` holds anything: it is here and has not ended.
    pub(crate) fn is_holding(&self, id: &TaskId) -> bool {
        self.records.get(id).is_some_and(|record| record.holding.is_some())
    }

    /// The tasks of `group`.
    pub(crate) fn tasks_of(&self, group: &Group) -> Vec<TaskId> {
        let is_of = |record: &Record| record.task.as_ref().is_some_and(|task| Group::of(task) == *group);
        self.records.iter().filter(|(_, record)| is_of(record)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether nothing at all is known of any task.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sets the spec of `id`.
    pub(crate) fn set_task(&mut self, id: &TaskId, task: Option<Arc<Task>>) {
        self.records.entry(id.clone()).or_default().task = task;
    }

    /// Sets the observed state of `id`; a task of which none is known was just placed.
    pub(crate) fn set_state(&mut self, id: &TaskId, state: Option<TaskState>) {
        self.records.entry(id.clone()).or_default().state = state;
    }

    /// Works out again what `id` holds, given what its revision asks. Returns whether it held something else before.
    pub(crate) fn account(&mut self, id: &TaskId, demand: Option<&Demand>) -> bool {
        let Some(record) = self.records.get_mut(id) else { return false };
        let new = record.holding(id, demand);
        let is_changed = new != record.holding;
        let old = if is_changed { self.release(id) } else { None };
        if let Some(new) = new.filter(|_| is_changed) {
            self.hold(id, new);
        }
        if self.records.get(id).is_some_and(Record::is_empty) {
            self.records.remove(id);
        }
        old.is_some()
    }

    /// What a new task with the load `load` would take in addition, if it were staged beside `beside`.
    pub(crate) fn excess(&self, beside: &TaskId, load: &Load) -> Load {
        let before = self.berth(beside);
        let mut staged = self.staged_load(beside);
        staged.add(load);
        let mut excess = self.own_load(beside).or(&staged);
        excess.subtract(&before);
        excess
    }

    /// The task that holds `port`, for people.
    pub(crate) fn holder(&self, port: HostPort) -> Option<&TaskName> {
        let holds =
            |record: &Record| record.holding.as_ref().is_some_and(|holding| holding.load.takers(port) > 0);
        self.records.iter().find(|(_, record)| holds(record)).map(|(id, _)| &id.name)
    }

    fn hold(&mut self, id: &TaskId, holding: Holding) {
        let root = holding.beside.clone().unwrap_or_else(|| id.clone());
        let before = self.berth(&root);
        if holding.beside.is_some() {
            self.staged.entry(root.clone()).or_default().insert(id.clone());
        }
        self.records.entry(id.clone()).or_default().holding = Some(holding);
        self.settle(&root, &before);
    }

    fn release(&mut self, id: &TaskId) -> Option<Holding> {
        let beside = self.records.get(id)?.holding.as_ref()?.beside.clone();
        let root = beside.as_ref().unwrap_or(id);
        let before = self.berth(root);
        let old = self.records.get_mut(id)?.holding.take();
        if let Some(staged) = self.staged.get_mut(root).filter(|_| beside.is_some()) {
            staged.remove(id);
            if staged.is_empty() {
                self.staged.remove(root);
            }
        }
        self.settle(root, &before);
        old
    }

    /// Replaces what the berth of `root` held before by what it holds now.
    fn settle(&mut self, root: &TaskId, before: &Load) {
        let after = self.berth(root);
        self.load.subtract(before);
        self.load.add(&after);
    }

    /// What `root` and the tasks that are staged beside it hold together.
    fn berth(&self, root: &TaskId) -> Load {
        if self.staged.contains_key(root) {
            self.own_load(root).or(&self.staged_load(root))
        } else {
            self.own_load(root)
        }
    }

    /// What `id` holds by itself; a task that is staged is counted in the berth of the task that it replaces.
    fn own_load(&self, id: &TaskId) -> Load {
        let holding = self.records.get(id).and_then(|record| record.holding.as_ref());
        holding
            .filter(|holding| holding.beside.is_none())
            .map(|holding| holding.load.clone())
            .unwrap_or_default()
    }

    fn staged_load(&self, root: &TaskId) -> Load {
        let mut sum = Load::default();
        for id in self.staged.get(root).into_iter().flatten() {
            if let Some(holding) = self.records.get(id).and_then(|record| record.holding.as_ref()) {
                sum.add(&holding.load);
            }
        }
        sum
    }
}
