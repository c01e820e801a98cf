//! The scheduler's world: who waits, what each revision asks, and what every node has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, TaskRef};
use skep_api::node::{NodeReport, NodeSpec, NodeStatus};
use skep_api::object::{Object, Typed};
use skep_api::rollout::Revision;
use skep_api::task::{Task, TaskStatus};
use skep_runtime::controller::World;
use skep_runtime::table::{Entry, Versioned};

use crate::demand::Demand;
use crate::fleet::Fleet;
use crate::group::Group;
use crate::ledger::TaskId;
use crate::node::{Node, NodeNumber};
use crate::pending::Pending;

/// Everything that the scheduler decides from.
#[derive(Debug, Default)]
pub struct SchedulerWorld {
    pub(crate) pending: Pending,
    pub(crate) fleet: Fleet,
    demands: BTreeMap<Group, Result<Arc<Demand>, String>>,
    /// Groups with a placed task whose revision was not there when it was accounted for.
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
    /// What the tasks of `group` ask of a node, or why that is not known.
    pub(crate) fn demand(&self, group: &Group) -> Result<&Demand, String> {
        match self.demands.get(group) {
            Some(Ok(demand)) => Ok(demand),
            Some(Err(reason)) => Err(format!("revision {}: {reason}", group.revision)),
            None => Err(format!("revision {} is missing", group.revision)),
        }
    }

    fn set_revision(&mut self, group: &Group, entry: Option<&Entry>) -> Vec<Group> {
        let new = entry.map(|entry| match &entry.value {
            Ok(object) => Revision::from_object(object).map_or_else(
                || Err("not a revision".to_owned()),
                |revision| Demand::of(&revision).map(Arc::new),
            ),
            Err(invalid) => Err(invalid.to_string()),
        });
        let old = match new {
            Some(new) => self.demands.insert(group.clone(), new),
            None => self.demands.remove(group),
        };
        if old.as_ref() == self.demands.get(group) {
            return Vec::new();
        }
        // A revision never changes and comes before its tasks, so tasks are looked for only when this one is late.
        if matches!(self.demands.get(group), Some(Ok(_)))
            && (old.is_some() || self.unaccounted.contains(group))
        {
            self.unaccounted.remove(group);
            for (node, task) in self.fleet.tasks_of(group) {
                self.account(&node, &task);
            }
            return self.all();
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
        let id = TaskId::of(task);
        let new = typed::<Task>(entry).map(|task| task.value);
        let old = self.fleet.node(node.into()).and_then(|node| node.ledger.task(&id)).cloned();
        if old == new {
            return Vec::new();
        }
        if new.is_none() {
            // Released under its old name and revision before both are forgotten.
            return self.forget_task(node, &id, old.as_deref());
        }
        self.fleet.change(node, |node| node.ledger.set_task(&id, new));
        self.freed(node, &id)
    }

    fn set_status(&mut self, node: &NodeId, task: &TaskRef, entry: Option<&Entry>) -> Vec<Group> {
        let id = TaskId::of(task);
        let state = typed::<TaskStatus>(entry).map(|status| status.state);
        self.fleet.change(node, |node| node.ledger.set_state(&id, state));
        self.freed(node, &id)
    }

    fn forget_task(&mut self, node: &NodeId, id: &TaskId, old: Option<&Task>) -> Vec<Group> {
        self.fleet.change(node, |node| node.ledger.set_task(id, None));
        let is_freed = self.fleet.account(node, id, old.map(|task| &task.uid), None);
        if is_freed { self.all() } else { Vec::new() }
    }

    /// Accounts for a task anew; returns who may fit now.
    fn freed(&mut self, node: &NodeId, id: &TaskId) -> Vec<Group> {
        if self.account(node, id) { self.all() } else { Vec::new() }
    }

    fn account(&mut self, node: &NodeId, id: &TaskId) -> bool {
        let task = self.fleet.node(NodeNumber::from(node)).and_then(|node| node.ledger.task(id)).cloned();
        let group = task.as_deref().map(Group::of);
        let demand =
            group.as_ref().and_then(|group| self.demands.get(group)).and_then(|demand| demand.as_ref().ok());
        if let Some(group) = group.as_ref().filter(|_| demand.is_none()) {
            self.unaccounted.insert(group.clone());
        }
        self.fleet.account(node, id, group.as_ref().map(|group| &group.service), demand.map(Arc::as_ref))
    }
}

/// The value of `entry` if it is there, decodes, and is of this type.
fn typed<T: Typed>(entry: Option<&Entry>) -> Option<Versioned<T>> {
    let entry = entry?;
    let object: &Object = entry.value.as_ref().ok()?;
    Some(Versioned { value: T::from_object(object)?, stamp: entry.stamp })
}
