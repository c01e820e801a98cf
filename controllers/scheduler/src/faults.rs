//! Where tasks of a group have failed of late: such nodes are avoided (SwarmKit's `nodeinfo.go`, `taskFailed`).
//!
//! Without it a broken node takes every task, since it is always the least loaded. When a task failed is told by the task
//! that replaced it: that one's creation is the only instant by a clock of the controllers that is stored.

use std::collections::BTreeMap;

use skep_api::task::{Cause, TaskState};
use skep_api::time::{Span, Timestamp};

use crate::node::NodeNumber;
use crate::record::TaskId;
use crate::subject::Group;
use crate::succession::Succession;

/// How many failures make a node one to avoid (SwarmKit's `maxFailures`).
const FAILURES_MIN: u32 = 5;
/// How long a failure counts (SwarmKit's `monitorFailures`).
const WINDOW: Span = Span::from_secs(5 * 60);

/// Nodes to avoid, with how many tasks have failed there.
pub(crate) type Avoided = BTreeMap<NodeNumber, u32>;

/// The tasks that have failed.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    failed: BTreeMap<Group, BTreeMap<TaskId, NodeNumber>>,
}

impl Faults {
    /// Remembers how `id`, which is of `group` and on `node`, has ended; `state` is nothing if it is forgotten.
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

    /// The nodes on which tasks of `group` have failed too often in the last minutes.
    pub(crate) fn avoided(&self, group: &Group, succession: &Succession, now: Timestamp) -> Avoided {
        let mut counts = Avoided::new();
        for (task, node) in self.failed.get(group).into_iter().flatten() {
            let mut restarts = succession.of(task).filter(|(_, by)| by.cause == Cause::Restart);
            if restarts.any(|(_, by)| by.created.after(WINDOW) > now) {
                let count = counts.entry(*node).or_default();
                *count = count.saturating_add(1);
            }
        }
        counts.retain(|_, count| *count >= FAILURES_MIN);
        counts
    }
}
