//! The tasks of one node, and what they hold together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::container::Reservations;
use skep_api::eviction::Eviction;
use skep_api::key::TaskRef;
use skep_api::node::{Allocated, Resources};
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::{DesiredState, Task, TaskState};
use skep_runtime::table::Versioned;

/// A request that a task leave its node.
#[derive(Debug)]
pub(crate) struct Request {
    /// What it says; nothing if it does not decode.
    pub(crate) eviction: Option<Arc<Eviction>>,
    /// Its last write.
    pub(crate) modified: i64,
}

/// What is known of a task on a node. Spec, status and request arrive apart, in any order.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What is wanted of it, while its key is there; what it held before if it does not decode now.
    pub(crate) task: Option<Versioned<Task>>,
    /// Whether its key holds something that does not decode.
    pub(crate) is_damaged: bool,
    /// What its agent says of it; nothing is said of a task that was just placed.
    pub(crate) state: Option<TaskState>,
    /// The request that it leave.
    pub(crate) eviction: Option<Request>,
    /// What its revision sets aside, once that was known.
    pub(crate) share: Option<Arc<Reservations>>,
    /// What it adds to the sum of its node.
    counted: Sum,
}

/// A sum of reservations; wide enough that none overflows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    cpus: u128,
    memory: u128,
    /// By kind; none of them is zero.
    generic: BTreeMap<String, u64>,
    tasks: u32,
}

/// The tasks of one node.
#[derive(Debug, Default)]
pub(crate) struct Household {
    records: BTreeMap<TaskRef, Record>,
    /// Tasks that are only prepared, by the task in whose place each of them will run.
    staged: BTreeMap<TaskRef, BTreeSet<TaskRef>>,
    sum: Sum,
}

impl Household {
    /// What is known of each task.
    pub(crate) fn records(&self) -> &BTreeMap<TaskRef, Record> {
        &self.records
    }

    /// What the tasks hold together.
    pub(crate) fn allocated(&self) -> Allocated {
        let narrow = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Allocated {
            resources: Resources {
                cpus: Cpus::from_nanos(narrow(self.sum.cpus)),
                memory: Memory::from_bytes(narrow(self.sum.memory)),
            },
            tasks: self.sum.tasks,
            generic: self.sum.generic.clone(),
        }
    }

    /// Changes what is known of `task`; returns whether the sum changed.
    pub(crate) fn edit(&mut self, task: &TaskRef, edit: impl FnOnce(&mut Record)) -> bool {
        let before = self.sum.clone();
        let record = self.records.entry(task.clone()).or_default();
        let old = record.beside(task);
        edit(record);
        let (new, is_empty) = (record.beside(task), record.is_empty());
        self.restage(task, old, new);
        self.count(task);
        let dependants: Vec<TaskRef> = self.staged.get(task).into_iter().flatten().cloned().collect();
        for dependant in &dependants {
            self.count(dependant);
        }
        if is_empty {
            self.records.remove(task);
        }
        self.sum != before
    }

    fn restage(&mut self, task: &TaskRef, old: Option<TaskRef>, new: Option<TaskRef>) {
        if old == new {
            return;
        }
        if let Some(old) = old
            && self.staged.get_mut(&old).is_some_and(|staged| staged.remove(task) && staged.is_empty())
        {
            self.staged.remove(&old);
        }
        if let Some(new) = new {
            self.staged.entry(new).or_default().insert(task.clone());
        }
    }

    /// Counts `task` anew. One that is prepared beside the task that it replaces adds what it needs more than that one:
    /// the two never run at the same time.
    fn count(&mut self, task: &TaskRef) {
        let Some(record) = self.records.get(task) else { return };
        let beside = record.beside(task).and_then(|old| self.records.get(&old));
        let freed = beside.filter(|old| !old.is_over()).and_then(|old| old.share.as_deref());
        let new = if record.is_over() {
            Sum::default()
        } else {
            let held = |share: Option<&Reservations>| share.map(Sum::of).unwrap_or_default();
            Sum { tasks: 1, ..held(record.share.as_deref()).minus(&held(freed)) }
        };
        let Some(record) = self.records.get_mut(task) else { return };
        let old = std::mem::replace(&mut record.counted, new.clone());
        self.sum = std::mem::take(&mut self.sum).minus(&old).plus(new);
    }
}

impl Sum {
    /// What a task sets aside.
    fn of(share: &Reservations) -> Self {
        let Resources { cpus, memory } = share.amounts();
        let generic = share.generic.iter().filter(|(_, count)| **count > 0);
        Self {
            cpus: cpus.as_nanos().into(),
            memory: memory.as_bytes().into(),
            generic: generic.map(|(kind, count)| (kind.clone(), u64::from(*count))).collect(),
            tasks: 0,
        }
    }

    fn plus(mut self, other: Self) -> Self {
        for (kind, count) in other.generic {
            let sum = self.generic.entry(kind).or_default();
            *sum = sum.saturating_add(count);
        }
        Self {
            cpus: self.cpus.saturating_add(other.cpus),
            memory: self.memory.saturating_add(other.memory),
            generic: self.generic,
            tasks: self.tasks.saturating_add(other.tasks),
        }
    }

    fn minus(mut self, other: &Self) -> Self {
        let left = |kind, count: u64| count.saturating_sub(other.generic.get(kind).copied().unwrap_or(0));
        self.generic.iter_mut().for_each(|(kind, count)| *count = left(kind, *count));
        self.generic.retain(|_, count| *count > 0);
        Self {
            cpus: self.cpus.saturating_sub(other.cpus),
            memory: self.memory.saturating_sub(other.memory),
            generic: self.generic,
            tasks: self.tasks.saturating_sub(other.tasks),
        }
    }
}

impl Record {
    /// The task if it has not ended, is wanted to go on, and can be told to leave: it decodes.
    pub(crate) fn wanted(&self) -> Option<&Versioned<Task>> {
        let task = self.task.as_ref().filter(|task| task.desired <= DesiredState::Complete)?;
        (!self.is_over() && !self.is_damaged).then_some(task)
    }

    /// Whether nothing of the task is left to move: it has ended, or its key is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.observed().is_terminal() || self.task.is_none() && !self.is_damaged
    }

    fn observed(&self) -> TaskState {
        self.state.unwrap_or(TaskState::Assigned)
    }

    /// The task beside which this one is only prepared.
    fn beside(&self, at: &TaskRef) -> Option<TaskRef> {
        let task = self.task.as_ref()?;
        let is_staged = match task.desired {
            DesiredState::Ready => true,
            DesiredState::Running | DesiredState::Complete => false,
            DesiredState::Shutdown | DesiredState::Remove => self.observed() < TaskState::Starting,
        };
        let name = task.replaces.clone().filter(|_| is_staged)?;
        Some(TaskRef { name, ..at.clone() })
    }

    fn is_empty(&self) -> bool {
        self.task.is_none() && !self.is_damaged && self.state.is_none() && self.eviction.is_none()
    }
}
