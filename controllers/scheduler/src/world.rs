//! The scheduler's world: who waits, what each revision asks, and what every node has left.

use std::collections::BTreeSet;

use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, TaskRef};
use skep_api::node::{NodeReport, NodeSpec, NodeStatus};
use skep_api::task::{Task, TaskStatus};
use skep_runtime::controller::World;
use skep_runtime::table::Entry;

use crate::demands::Demands;
use crate::fleet::Fleet;
use crate::group::Group;
use crate::ledger::{Record, TaskId};
use crate::node::Node;
use crate::pending::Pending;
use crate::typed::typed;

/// Everything that the scheduler decides from.
#[derive(Debug, Default)]
pub struct SchedulerWorld {
    pub(crate) pending: Pending,
    pub(crate) fleet: Fleet,
    pub(crate) demands: Demands,
    /// Groups with a placed task that did not find its revision.
    unaccounted: BTreeSet<Group>,
}

impl World for SchedulerWorld {
    type Key = Group;

    fn new(_cluster: &str) -> Self {
        Self::default()
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other kinds there are, and will be, is no matter of placement.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Group> {
        match key {
            Key::Task(task) => match &task.place {
                Place::Pending => self.pending.set_task(task, entry),
                Place::Node(node) => self.set_task(node, task, entry),
            },
            Key::TaskStatus(task) => match &task.place {
                Place::Pending => self.pending.set_status(task, entry),
                Place::Node(node) => self.set_status(node, task, entry),
            },
            Key::Revision(service, number) => {
                self.set_revision(&Group { service: service.clone(), revision: *number }, entry)
            }
            Key::Node(node) => self.change_node(node, |node| {
                node.is_known = entry.is_some();
                node.spec = typed::<NodeSpec>(entry);
            }),
            Key::NodeSession(node) => {
                self.change_node(node, |node| node.session_created = entry.map(|entry| entry.stamp.created))
            }
            Key::NodeReport(node) => self.change_node(node, |node| {
                node.report = typed::<NodeReport>(entry).map(|report| report.value);
            }),
            Key::NodeStatus(node) => self.change_node(node, |node| {
                node.state = typed::<NodeStatus>(entry).map(|status| status.state).unwrap_or_default();
            }),
            _ => Vec::new(),
        }
    }

    fn all(&self) -> Vec<Group> {
        self.pending.groups().cloned().collect()
    }
}

impl SchedulerWorld {
    fn set_revision(&mut self, group: &Group, entry: Option<&Entry>) -> Vec<Group> {
        if !self.demands.set(group, entry) {
            return Vec::new();
        }
        // A revision comes before its tasks, so they are looked for only when one of them did not find it.
        if entry.is_some() && self.unaccounted.remove(group) {
            for (node, task) in self.fleet.tasks_of(group) {
                self.fleet.edit_task(&node, &task, &self.demands, |_| {});
            }
        }
        self.pending.waits(group).then(|| group.clone()).into_iter().collect()
    }

    fn change_node(&mut self, node: &NodeId, edit: impl FnOnce(&mut Node)) -> Vec<Group> {
        self.fleet.change(node, edit);
        self.all()
    }

    /// A task that does not decode keeps what it held: its container is still there.
    fn set_task(&mut self, node: &NodeId, task: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        if entry.is_some_and(|entry| entry.value.is_err()) {
            return Vec::new();
        }
        let new = typed::<Task>(entry).map(|task| task.value);
        if let Some(task) = new.as_ref().filter(|task| self.demands.of(task).is_none()) {
            self.unaccounted.insert(Group::of(task));
        }
        self.edit_task(node, task, |record| record.task = new)
    }

    fn set_status(&mut self, node: &NodeId, task: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        let state = typed::<TaskStatus>(entry).map(|status| status.state);
        self.edit_task(node, task, |record| record.state = state)
    }

    /// What is set free may be what others wait for.
    fn edit_task(&mut self, node: &NodeId, task: &TaskRef, edit: impl FnOnce(&mut Record)) -> Vec<Group> {
        let is_freed = self.fleet.edit_task(node, &TaskId::of(task), &self.demands, edit);
        if is_freed { self.all() } else { Vec::new() }
    }
}
