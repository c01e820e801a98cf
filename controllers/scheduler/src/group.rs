//! What is planned at once: tasks that want the same.

use skep_api::ident::Uid;
use skep_api::task::Task;

/// The tasks of one service and revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The service.
    pub service: Uid,
    /// The number of the revision.
    pub revision: u64,
}

impl Group {
    /// The group that `task` belongs to.
    pub fn of(task: &Task) -> Self {
        Self { service: task.uid.clone(), revision: task.revision }
    }
}
