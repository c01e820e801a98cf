//! The tasks of each node: whether they are still there, who was asked to leave, and what they hold together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::eviction::Eviction;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::TaskRef;
use skep_api::node::{Allocated, Resources};
use skep_api::quantity::{Cpus, Memory};
use skep_api::rollout::Revision;
use skep_api::task::{DesiredState, Task, TaskState, TaskStatus};
use skep_runtime::table::{Entry, Versioned};

use crate::typed::typed;

/// A service's revision.
type RevisionId = (Uid, u64);

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
    task: Option<Versioned<Task>>,
    is_damaged: bool,
    state: Option<TaskState>,
    /// The request that it leave.
    pub(crate) eviction: Option<Request>,
    /// What its revision sets aside, once that was known.
    share: Option<Resources>,
    /// What it adds to the sum of its node.
    counted: Sum,
}

/// A sum of reservations; wide enough that none overflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    cpus: u128,
    memory: u128,
    tasks: u32,
}

/// The tasks of one node.
#[derive(Debug, Default)]
struct Household {
    records: BTreeMap<TaskRef, Record>,
    /// Tasks that are only prepared, by the task in whose place each of them will run.
    staged: BTreeMap<TaskRef, BTreeSet<TaskRef>>,
    sum: Sum,
}

/// The tasks of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    reservations: BTreeMap<RevisionId, Resources>,
    nodes: BTreeMap<NodeId, Household>,
    /// Revisions that a task named before they were known.
    missed: BTreeSet<RevisionId>,
}

impl Tasks {
    /// What is known of `task`.
    pub(crate) fn get(&self, task: &TaskRef) -> Option<&Record> {
        self.nodes.get(task.place.node()?)?.records.get(task)
    }

    /// The tasks of `node` of which anything is known.
    pub(crate) fn on(&self, node: &NodeId) -> impl Iterator<Item = (&TaskRef, &Record)> {
        self.nodes.get(node).into_iter().flat_map(|tasks| &tasks.records)
    }

    /// Every task that was asked to leave.
    pub(crate) fn evicted(&self) -> impl Iterator<Item = &TaskRef> {
        let records = self.nodes.values().flat_map(|tasks| &tasks.records);
        records.filter(|(_, record)| record.eviction.is_some()).map(|(task, _)| task)
    }

    /// What the tasks of `node` hold together.
    pub(crate) fn allocated(&self, node: &NodeId) -> Allocated {
        let sum = self.nodes.get(node).map(|tasks| tasks.sum).unwrap_or_default();
        let narrow = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Allocated {
            resources: Resources {
                cpus: Cpus::from_nanos(narrow(sum.cpus)),
                memory: Memory::from_bytes(narrow(sum.memory)),
            },
            tasks: sum.tasks,
        }
    }

    /// Sets what is wanted of `task`; returns whether its node's sum changed.
    pub(crate) fn set_task(&mut self, task: &TaskRef, entry: Option<&Entry>) -> bool {
        if entry.is_some_and(|entry| entry.value.is_err()) {
            return self.edit(task, |record| record.is_damaged = true);
        }
        let new = typed::<Task>(entry);
        self.edit(task, |record| {
            record.task = new;
            record.is_damaged = false;
        })
    }

    /// Sets what its agent says of `task`; returns whether its node's sum changed.
    pub(crate) fn set_status(&mut self, task: &TaskRef, entry: Option<&Entry>) -> bool {
        let state = typed::<TaskStatus>(entry).map(|status| status.state);
        self.edit(task, |record| record.state = state)
    }

    /// Sets the request that `task` leave its node.
    pub(crate) fn set_eviction(&mut self, task: &TaskRef, entry: Option<&Entry>) {
        let request = entry.map(|entry| Request {
            eviction: typed::<Eviction>(Some(entry)).map(|eviction| eviction.value),
            modified: entry.stamp.modified,
        });
        self.edit(task, |record| record.eviction = request);
    }

    /// Sets what tasks of a revision set aside; returns the nodes whose sums changed. What a task holds does not change if
    /// its revision goes or is damaged.
    pub(crate) fn set_revision(&mut self, service: &Uid, number: u64, entry: Option<&Entry>) -> Vec<NodeId> {
        let id = (service.clone(), number);
        let Some(revision) = typed::<Revision>(entry) else {
            self.reservations.remove(&id);
            return Vec::new();
        };
        self.reservations.insert(id.clone(), revision.task.resources.reservations.amounts());
        if !self.missed.remove(&id) {
            return Vec::new();
        }
        let all = self.nodes.values().flat_map(|tasks| &tasks.records);
        let of_it = all.filter(|(_, record)| record.task.as_ref().is_some_and(|task| of(task) == id));
        let late: Vec<TaskRef> = of_it.map(|(task, _)| task.clone()).collect();
        let mut changed = Vec::new();
        for task in late {
            if self.edit(&task, |_| {}) {
                changed.extend(task.place.node().cloned());
            }
        }
        changed
    }

    fn edit(&mut self, task: &TaskRef, edit: impl FnOnce(&mut Record)) -> bool {
        let Some(node) = task.place.node() else { return false };
        let tasks = self.nodes.entry(node.clone()).or_default();
        let before = tasks.sum;
        let record = tasks.records.entry(task.clone()).or_default();
        let old = record.beside(task);
        edit(record);
        if let (None, Some(spec)) = (record.share, &record.task) {
            record.share = self.reservations.get(&of(spec)).copied();
            if record.share.is_none() {
                self.missed.insert(of(spec));
            }
        }
        let (new, is_empty) = (record.beside(task), record.is_empty());
        tasks.restage(task, old, new);
        tasks.count(task);
        let dependants: Vec<TaskRef> = tasks.staged.get(task).into_iter().flatten().cloned().collect();
        dependants.iter().for_each(|dependant| tasks.count(dependant));
        if is_empty {
            tasks.records.remove(task);
        }
        let is_changed = tasks.sum != before;
        if tasks.records.is_empty() {
            self.nodes.remove(node);
        }
        is_changed
    }
}

impl Household {
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
        let freed = beside.filter(|old| !old.is_over()).and_then(|old| old.share).unwrap_or_default();
        let share = record.share.unwrap_or_default();
        let new = if record.is_over() {
            Sum::default()
        } else {
            Sum {
                cpus: share.cpus.as_nanos().saturating_sub(freed.cpus.as_nanos()).into(),
                memory: share.memory.as_bytes().saturating_sub(freed.memory.as_bytes()).into(),
                tasks: 1,
            }
        };
        let Some(record) = self.records.get_mut(task) else { return };
        let old = std::mem::replace(&mut record.counted, new);
        self.sum = self.sum.minus(old).plus(new);
    }
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(other.cpus),
            memory: self.memory.saturating_add(other.memory),
            tasks: self.tasks.saturating_add(other.tasks),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(other.cpus),
            memory: self.memory.saturating_sub(other.memory),
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

fn of(task: &Task) -> RevisionId {
    (task.uid.clone(), task.revision)
}
