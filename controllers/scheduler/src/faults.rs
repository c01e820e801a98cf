//! Where tasks of a group have failed of late: such nodes are avoided (SwarmKit's `nodeinfo.go`, `taskFailed`).
//!
//! Without it a broken node takes every task, since it is always the least loaded. When a task failed is told by the task
//! that replaced it: that one's creation is the only instant by a clock of the controllers that is stored.

use std::collections::BTreeMap;

use skep_api::key::TaskRef;
use skep_api::task::{Cause, Task, TaskState};
use skep_api::time::{Span, Timestamp};

use crate::node::NodeNumber;
use crate::record::TaskId;
use crate::subject::Group;

/// How many failures make a node one to avoid (SwarmKit's `maxFailures`).
const FAILURES_MIN: u32 = 5;
/// How long a failure counts (SwarmKit's `monitorFailures`).
const WINDOW: Span = Span::from_secs(5 * 60);

/// Nodes to avoid, with how many tasks have failed there.
pub(crate) type Avoided = BTreeMap<NodeNumber, u32>;

/// The tasks that have failed, and those that replaced them.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    failed: BTreeMap<Group, BTreeMap<TaskId, NodeNumber>>,
    /// When those were made that replace a task that ended, by the task that they replace.
    successors: BTreeMap<TaskId, BTreeMap<TaskRef, Timestamp>>,
}

impl Faults {
    /// Remembers how `task`, which is of `group` and on `node`, has ended; `state` is nothing if it is forgotten.
    pub(crate) fn set_end(&mut self, id: &TaskId, group: &Group, node: NodeNumber, state: Option<TaskState>) {
        if matches!(state, Some(TaskState::Failed | TaskState::Rejected)) {
            self.failed.entry(group.clone()).or_default().insert(id.clone(), node);
        } else if let Some(tasks) = self.failed.get_mut(group) {
            tasks.remove(id);
            if tasks.is_empty() {
                self.failed.remove(group);
            }
        }
    }

    /// Remembers when `task` was made, if it replaces one that had ended.
    pub(crate) fn add_successor(&mut self, at: &TaskRef, task: &Task) {
        if let Some(replaced) = replaced_by(at, task) {
            self.successors.entry(replaced).or_default().insert(at.clone(), task.created);
        }
    }

    /// Forgets that.
    pub(crate) fn remove_successor(&mut self, at: &TaskRef, task: &Task) {
        let Some(replaced) = replaced_by(at, task) else { return };
        if let Some(successors) = self.successors.get_mut(&replaced) {
            successors.remove(at);
            if successors.is_empty() {
                self.successors.remove(&replaced);
            }
        }
    }

    /// The nodes on which tasks of `group` have failed too often in the last minutes.
    pub(crate) fn avoided(&self, group: &Group, now: Timestamp) -> Avoided {
        let mut counts = Avoided::new();
        for (task, node) in self.failed.get(group).into_iter().flatten() {
            let mut when = self.successors.get(task).into_iter().flat_map(BTreeMap::values);
            if when.any(|instant| instant.after(WINDOW) > now) {
                let count = counts.entry(*node).or_default();
                *count = count.saturating_add(1);
            }
        }
        counts.retain(|_, count| *count >= FAILURES_MIN);
        counts
    }
}

fn replaced_by(at: &TaskRef, task: &Task) -> Option<TaskId> {
    let name = task.replaces.as_ref().filter(|_| task.cause == Cause::Restart)?;
    Some(TaskId::named(&at.stack, name))
}
