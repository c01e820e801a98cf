//! Tasks that have no node yet, by group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::ident::Uid;
use skep_api::key::TaskRef;
use skep_api::task::{DesiredState, Task, TaskState, TaskStatus};
use skep_runtime::plan::Expect;
use skep_runtime::table::{Entry, Stamp, Versioned};

use crate::lookup::Lookup;
use crate::record::TaskId;
use crate::subject::Group;
use crate::typed::typed;

/// What is said of a task that waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// What it is; nothing if nothing is said, or if that does not decode.
    pub(crate) status: Option<Arc<TaskStatus>>,
    /// The revisions of its key, if that is there.
    stamp: Option<Stamp>,
}

/// A task that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) key: TaskRef,
    pub(crate) task: Versioned<Task>,
    pub(crate) said: Said,
}

/// The tasks of a group that wait.
#[derive(Debug, Default)]
struct Waiters {
    tasks: BTreeMap<TaskId, Waiter>,
    /// How many of them are to be staged beside another.
    staged: usize,
}

/// Tasks that wait for a node. A task that is to stop before it had one is the replica controller's to delete.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The groups in order.
    order: BTreeSet<Group>,
    groups: Lookup<Group, Waiters>,
    /// The group of each task that waits.
    index: Lookup<TaskId, Group>,
    /// What is said of tasks that do not wait: statuses and specs arrive in any order.
    strays: BTreeMap<TaskId, Said>,
}

impl Said {
    /// Whether anything is said, and be it nonsense.
    pub(crate) fn is_something(&self) -> bool {
        self.stamp.is_some()
    }

    /// What a write of the status stands on.
    pub(crate) fn expect(&self) -> Expect {
        self.stamp.map_or(Expect::Absent, |stamp| Expect::Modified(stamp.modified))
    }
}

impl Waiter {
    /// The task that it replaces.
    pub(crate) fn replaced(&self) -> Option<TaskId> {
        self.task.replaces.as_ref().map(|name| TaskId::named(&self.key.stack, name))
    }

    fn is_staged(&self) -> bool {
        TaskId::staged_beside(&self.key.stack, &self.task, TaskState::Pending).is_some()
    }
}

impl Pending {
    /// Sets the spec of a pending task; returns the groups that this touches, and the task as it waited before.
    pub(crate) fn set_task(
        &mut self,
        key: &TaskRef,
        new: Option<Versioned<Task>>,
    ) -> (Vec<Group>, Option<Versioned<Task>>) {
        let id = TaskId::of(key);
        let (mut touched, mut old) = (Vec::new(), None);
        if let Some(group) = self.index.remove(&id) {
            if let Some(waiter) = self.take(&group, &id) {
                if waiter.said.is_something() {
                    self.strays.insert(id.clone(), waiter.said);
                }
                old = Some(waiter.task);
            }
            touched.push(group);
        }
        if let Some(task) = new.filter(|task| task.desired <= DesiredState::Complete) {
            let group = Group::of(&task);
            let said = self.strays.remove(&id).unwrap_or_default();
            self.index.insert(id.clone(), group.clone());
            if !self.groups.has(&group) {
                self.order.insert(group.clone());
                self.groups.insert(group.clone(), Waiters::default());
            }
            if let Some(waiters) = self.groups.get_mut(&group) {
                let waiter = Waiter { key: key.clone(), task, said };
                waiters.staged = waiters.staged.saturating_add(usize::from(waiter.is_staged()));
                waiters.tasks.insert(id, waiter);
            }
            touched.push(group);
        }
        touched.dedup();
        touched.retain(|group| self.groups.has(group));
        (touched, old)
    }

    fn take(&mut self, group: &Group, id: &TaskId) -> Option<Waiter> {
        let waiters = self.groups.get_mut(group)?;
        let waiter = waiters.tasks.remove(id)?;
        waiters.staged = waiters.staged.saturating_sub(usize::from(waiter.is_staged()));
        if waiters.tasks.is_empty() {
            self.groups.remove(group);
            self.order.remove(group);
        }
        Some(waiter)
    }

    /// Sets what is said of a pending task; returns the group that this touches.
    pub(crate) fn set_status(&mut self, key: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        let id = TaskId::of(key);
        let status = typed::<TaskStatus>(entry).map(|status| status.value);
        let new = Said { status, stamp: entry.map(|entry| entry.stamp) };
        let group = self.index.get(&id).cloned();
        let waiters = group.as_ref().and_then(|group| self.groups.get_mut(group));
        let Some(waiter) = waiters.and_then(|waiters| waiters.tasks.get_mut(&id)) else {
            if new.is_something() {
                self.strays.insert(id, new);
            } else {
                self.strays.remove(&id);
            }
            return Vec::new();
        };
        let is_same = new.status.is_some() && new.status == waiter.said.status;
        waiter.said = new;
        group.filter(|_| !is_same).into_iter().collect()
    }

    /// The task at `key`, if it waits.
    pub(crate) fn waiter(&self, key: &TaskRef) -> Option<&Waiter> {
        let id = TaskId::of(key);
        self.groups.get(self.index.get(&id)?)?.tasks.get(&id)
    }

    /// Whether nobody takes the task at `key`, and that was said.
    pub(crate) fn is_stuck(&self, key: &TaskRef) -> bool {
        self.waiter(key).is_some_and(|waiter| waiter.said.is_something())
    }

    /// The tasks of `group` that wait.
    pub(crate) fn tasks(&self, group: &Group) -> impl Iterator<Item = &Waiter> {
        self.groups.get(group).into_iter().flat_map(|waiters| waiters.tasks.values())
    }

    /// Whether a task of `group` that waits is to be staged beside the one that it replaces.
    pub(crate) fn has_staged(&self, group: &Group) -> bool {
        self.groups.get(group).is_some_and(|waiters| waiters.staged > 0)
    }

    /// Whether a task of `group` waits.
    pub(crate) fn waits(&self, group: &Group) -> bool {
        self.groups.has(group)
    }

    /// All groups that wait.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.order.iter()
    }

    /// The groups of the service `uid` that wait.
    pub(crate) fn groups_of(&self, uid: &Uid) -> impl Iterator<Item = &Group> {
        let group = |revision| Group { service: uid.clone(), revision };
        self.order.range(group(0)..=group(u64::MAX))
    }
}
