//! Which task replaces which: two tasks of a slot know of each other only by the name that the newer one holds.

use std::collections::BTreeMap;

use skep_api::key::TaskRef;
use skep_api::task::{Cause, DesiredState, Task};
use skep_api::time::Timestamp;

use crate::record::TaskId;

/// A task that replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Successor {
    pub(crate) cause: Cause,
    /// When it was made, by replica's clock.
    pub(crate) created: Timestamp,
    /// Whether it is wanted to go on.
    pub(crate) is_wanted: bool,
}

/// Tasks by the task that they replace.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    by_replaced: BTreeMap<TaskId, BTreeMap<TaskRef, Successor>>,
}

impl Succession {
    /// Remembers what `task` replaces.
    pub(crate) fn add(&mut self, at: &TaskRef, task: &Task) {
        let Some(replaced) = replaced_by(at, task) else { return };
        let is_wanted = task.desired <= DesiredState::Complete;
        let successor = Successor { cause: task.cause, created: task.created, is_wanted };
        self.by_replaced.entry(replaced).or_default().insert(at.clone(), successor);
    }

    /// Forgets what `task` replaced.
    pub(crate) fn remove(&mut self, at: &TaskRef, task: &Task) {
        let Some(replaced) = replaced_by(at, task) else { return };
        if let Some(successors) = self.by_replaced.get_mut(&replaced) {
            successors.remove(at);
            if successors.is_empty() {
                self.by_replaced.remove(&replaced);
            }
        }
    }

    /// Those that replace `task`.
    pub(crate) fn of(&self, task: &TaskId) -> impl Iterator<Item = (&TaskRef, &Successor)> {
        self.by_replaced.get(task).into_iter().flatten()
    }
}

fn replaced_by(at: &TaskRef, task: &Task) -> Option<TaskId> {
    task.replaces.as_ref().map(|name| TaskId::named(&at.stack, name))
}
