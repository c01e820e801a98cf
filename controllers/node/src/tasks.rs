//! The tasks of all nodes: whether they are still there, who was asked to leave, and what they hold together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_api::container::Reservations;
use skep_api::eviction::Eviction;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::TaskRef;
use skep_api::node::Allocated;
use skep_api::rollout::Revision;
use skep_api::task::{Task, TaskStatus};
use skep_runtime::table::Entry;

use crate::household::{Household, Record, Request};
use crate::typed::typed;

/// A service's revision.
type RevisionId = (Uid, u64);

/// The tasks of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    reservations: BTreeMap<RevisionId, Arc<Reservations>>,
    nodes: BTreeMap<NodeId, Household>,
    /// Revisions that a task named before they were known.
    missed: BTreeSet<RevisionId>,
}

impl Tasks {
    /// What is known of `task`.
    pub(crate) fn get(&self, task: &TaskRef) -> Option<&Record> {
        self.nodes.get(task.place.node()?)?.records().get(task)
    }

    /// The tasks of `node` of which anything is known.
    pub(crate) fn on(&self, node: &NodeId) -> impl Iterator<Item = (&TaskRef, &Record)> {
        self.nodes.get(node).into_iter().flat_map(Household::records)
    }

    /// Every task that was asked to leave.
    pub(crate) fn evicted(&self) -> impl Iterator<Item = &TaskRef> {
        let records = self.nodes.values().flat_map(Household::records);
        records.filter(|(_, record)| record.eviction.is_some()).map(|(task, _)| task)
    }

    /// What the tasks of `node` hold together.
    pub(crate) fn allocated(&self, node: &NodeId) -> Allocated {
        self.nodes.get(node).map(Household::allocated).unwrap_or_default()
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
        self.reservations.insert(id.clone(), Arc::new(revision.task.resources.reservations.clone()));
        if !self.missed.remove(&id) {
            return Vec::new();
        }
        let all = self.nodes.values().flat_map(Household::records);
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
        let (reservations, missed) = (&self.reservations, &mut self.missed);
        let tasks = self.nodes.entry(node.clone()).or_default();
        let is_changed = tasks.edit(task, |record| {
            edit(record);
            if let (None, Some(spec)) = (&record.share, &record.task) {
                record.share = reservations.get(&of(spec)).map(Arc::clone);
                if record.share.is_none() {
                    missed.insert(of(spec));
                }
            }
        });
        if tasks.records().is_empty() {
            self.nodes.remove(node);
        }
        is_changed
    }
}

fn of(task: &Task) -> RevisionId {
    (task.uid.clone(), task.revision)
}
