//! What is planned one at a time: tasks that wait for a node, or tasks that have one.

use skep_api::ident::{NodeId, Uid};
use skep_api::task::Task;

/// The tasks of one service and revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The service.
    pub service: Uid,
    /// The number of the revision.
    pub revision: u64,
}

/// What the scheduler plans at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Tasks that wait and want the same.
    Waiting(Group),
    /// The tasks that are on this node: whether it still suits them.
    Placed(NodeId),
    /// The tasks of this service that run: whether other nodes suit them better.
    Balanced(Uid),
}

impl Group {
    /// The group that `task` belongs to.
    pub fn of(task: &Task) -> Self {
        Self { service: task.uid.clone(), revision: task.revision }
    }
}
