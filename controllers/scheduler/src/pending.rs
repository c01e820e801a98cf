//! Tasks that have no node yet, by group.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::TaskRef;
use skep_api::task::{DesiredState, Task, TaskStatus};
use skep_runtime::table::{Entry, Table, Versioned};

use crate::subject::Group;

/// Tasks that wait for a node. A task that is to stop before it had one is the replica controller's to delete.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    tasks: Table<TaskRef, Task>,
    statuses: Table<TaskRef, TaskStatus>,
    groups: BTreeMap<Group, BTreeMap<TaskRef, Versioned<Task>>>,
}

impl Pending {
    /// Sets the spec of a pending task; returns the groups that this touches.
    pub(crate) fn set_task(&mut self, task: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        let mut touched = Vec::new();
        if let Some(old) = self.tasks.set(task, entry) {
            let group = Group::of(&old);
            if let Some(tasks) = self.groups.get_mut(&group) {
                tasks.remove(task);
                if tasks.is_empty() {
                    self.groups.remove(&group);
                }
            }
            touched.push(group);
        }
        if let Some(new) = self.tasks.get(task).filter(|task| task.desired <= DesiredState::Complete) {
            let group = Group::of(new);
            self.groups.entry(group.clone()).or_default().insert(task.clone(), new.clone());
            touched.push(group);
        }
        touched.dedup();
        touched.retain(|group| self.groups.contains_key(group));
        touched
    }

    /// Sets what is said of a pending task; returns the group that this touches.
    pub(crate) fn set_status(&mut self, task: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        let old = self.statuses.set(task, entry);
        let is_same = match (&old, self.statuses.get(task)) {
            (Some(old), Some(new)) => old.value == new.value,
            _ => false,
        };
        let group = self.tasks.get(task).filter(|_| !is_same).map(|task| Group::of(task));
        group.into_iter().filter(|group| self.groups.contains_key(group)).collect()
    }

    /// The tasks of `group` that wait.
    pub(crate) fn tasks(&self, group: &Group) -> impl Iterator<Item = (&TaskRef, &Versioned<Task>)> {
        self.groups.get(group).into_iter().flatten()
    }

    /// Whether a task of `group` waits.
    pub(crate) fn waits(&self, group: &Group) -> bool {
        self.groups.contains_key(group)
    }

    /// All groups that wait.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.keys()
    }

    /// The groups of the service `uid` that wait.
    pub(crate) fn groups_of(&self, uid: &Uid) -> impl Iterator<Item = &Group> {
        let group = |revision| Group { service: uid.clone(), revision };
        self.groups.range(group(0)..=group(u64::MAX)).map(|(group, _)| group)
    }

    /// What is said of pending tasks.
    pub(crate) fn statuses(&self) -> &Table<TaskRef, TaskStatus> {
        &self.statuses
    }
}
