//! What the tasks of one node hold, kept up to date by each event.
//!
//! A *staged* task is prepared beside the task that it replaces and is started only after that one has ended. The two
//! are never there at the same time, so together they hold, in each respect, the larger of what either holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::ident::TaskName;
use skep_api::task::{Task, TaskState};
use skep_runtime::table::Versioned;

use crate::demands::Demands;
use crate::load::{HostPort, Load};
use crate::record::{Holding, Record, TaskId};
use crate::subject::Group;

/// What an edit has changed.
#[derive(Debug)]
pub(crate) struct Edited {
    /// The task that it was about, before or after; none if only its status is known.
    pub(crate) task: Option<Arc<Task>>,
    /// Whether the task's key was there before, and is there now.
    pub(crate) was_there: bool,
    pub(crate) is_there: bool,
    /// How many tasks counted before, and count now.
    pub(crate) active_before: u32,
    pub(crate) active_now: u32,
    /// What [`Record::calm`] said before, and says now.
    pub(crate) calm_before: Option<bool>,
    pub(crate) calm_now: Option<bool>,
    /// How it had ended before, and has ended now.
    pub(crate) end_before: Option<TaskState>,
    pub(crate) end_now: Option<TaskState>,
    /// Whether the task held something else before.
    pub(crate) is_freed: bool,
}

/// The tasks of one node and what they hold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<TaskId, Record>,
    /// Staged tasks by the task that each replaces.
    staged: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// The tasks that were asked to leave.
    evicted: BTreeSet<TaskId>,
    load: Load,
}

impl Ledger {
    /// What all tasks together hold.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    /// Whether `id` holds anything: it is here and has not ended.
    pub(crate) fn is_holding(&self, id: &TaskId) -> bool {
        self.records.get(id).is_some_and(|record| record.holding.is_some())
    }

    /// What is known of `id`.
    pub(crate) fn record(&self, id: &TaskId) -> Option<&Record> {
        self.records.get(id)
    }

    /// Every task of which anything is known.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&TaskId, &Record)> {
        self.records.iter()
    }

    /// Whether any task was asked to leave.
    pub(crate) fn has_evictions(&self) -> bool {
        !self.evicted.is_empty()
    }

    /// Whether `id` was asked to leave.
    pub(crate) fn is_evicted(&self, id: &TaskId) -> bool {
        self.evicted.contains(id)
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

    /// Changes what is known of `id`, and with it what `id` holds.
    pub(crate) fn edit(&mut self, id: &TaskId, demands: &Demands, edit: impl FnOnce(&mut Record)) -> Edited {
        let active_before = self.load.active;
        // An identifier is copied only for a task that is new here.
        let record = match self.records.get_mut(id) {
            Some(record) => record,
            None => self.records.entry(id.clone()).or_default(),
        };
        let old = record.task.as_ref().map(|task| Arc::clone(&task.value));
        let (end_before, calm_before) = (record.end(), record.calm());
        let was_evicted = record.eviction.is_some();
        edit(record);
        let (end_now, calm_now) = (record.end(), record.calm());
        if let (None, Some(task)) = (&record.share, &record.task) {
            record.share = demands.of(task).cloned();
        }
        let (was_there, is_there) = (old.is_some(), record.task.is_some());
        let task = record.task.as_ref().map(|task| Arc::clone(&task.value)).or(old);
        let (is_empty, is_evicted) = (record.is_empty(), record.eviction.is_some());
        let is_freed = self.hold_as_known(id);
        if is_evicted && !was_evicted {
            self.evicted.insert(id.clone());
        } else if was_evicted && !is_evicted {
            self.evicted.remove(id);
        }
        if is_empty {
            self.records.remove(id);
        }
        let active_now = self.load.active;
        Edited {
            task,
            was_there,
            is_there,
            active_before,
            active_now,
            calm_before,
            calm_now,
            end_before,
            end_now,
            is_freed,
        }
    }

    /// Gives `task` new revisions if it is known as it is, value and all; returns whether it is.
    pub(crate) fn stamp(&mut self, id: &TaskId, task: &Versioned<Task>) -> bool {
        let record = self.records.get_mut(id).filter(|record| !record.is_damaged);
        let known = record.and_then(|record| record.task.as_mut());
        let Some(known) = known.filter(|known| Arc::ptr_eq(&known.value, &task.value)) else { return false };
        known.stamp = task.stamp;
        true
    }

    /// Makes `id` hold what is known of it; returns whether it held something else before.
    fn hold_as_known(&mut self, id: &TaskId) -> bool {
        let Some(record) = self.records.get_mut(id) else { return false };
        let new = record.held(id);
        if new == record.holding {
            return false;
        }
        let stands_alone =
            |holding: &Option<Holding>| holding.as_ref().is_none_or(|holding| holding.beside.is_none());
        if self.staged.contains_key(id) || !stands_alone(&new) || !stands_alone(&record.holding) {
            let is_freed = self.release(id);
            if let Some(new) = new {
                self.hold(id, new);
            }
            return is_freed;
        }
        let old = std::mem::replace(&mut record.holding, new);
        if let Some(old) = &old {
            self.load.subtract(&old.load);
        }
        if let Some(new) = &record.holding {
            self.load.add(&new.load);
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

    /// Returns whether `id` held anything.
    fn release(&mut self, id: &TaskId) -> bool {
        let Some(holding) = self.records.get(id).and_then(|record| record.holding.as_ref()) else {
            return false;
        };
        let beside = holding.beside.clone();
        let root = beside.as_ref().unwrap_or(id);
        let before = self.berth(root);
        if let Some(record) = self.records.get_mut(id) {
            record.holding = None;
        }
        if let Some(staged) = self.staged.get_mut(root).filter(|_| beside.is_some()) {
            staged.remove(id);
            if staged.is_empty() {
                self.staged.remove(root);
            }
        }
        self.settle(root, &before);
        true
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
            .map(|holding| (*holding.load).clone())
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
