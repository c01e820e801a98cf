//! What the scheduler may write: it places a task, or says why it cannot.

use std::sync::Arc;

use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, TaskRef};
use skep_api::object::Object;
use skep_api::task::{Task, TaskStatus};
use skep_runtime::plan::{self, Expect, Transaction};
use skep_runtime::table::Versioned;

/// A write of the scheduler.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Moves a task to a node.
    Place {
        /// The task's key while it waits.
        task: TaskRef,
        /// The task as it waits there.
        spec: Versioned<Task>,
        /// Whether something is said of it there.
        has_status: bool,
        /// The node.
        node: NodeId,
        /// The last write of the node's spec: labels and availability are what they were.
        node_modified: i64,
        /// The creation of the node's session: its agent still lives.
        session_created: i64,
    },
    /// Says why a task waits.
    Explain {
        /// The task's key.
        task: TaskRef,
        /// The last write of the task.
        task_modified: i64,
        /// What was said before.
        said: Expect,
        /// What is said now.
        status: Arc<TaskStatus>,
    },
}

impl plan::Change for Change {
    fn transaction(&self) -> Transaction {
        match self {
            Self::Place { task, spec, has_status, node, node_modified, session_created } => {
                let placed = Key::Task(task.at(Place::Node(node.clone())));
                let pending = Key::Task(task.clone());
                let move_it = Transaction::new()
                    .modified(pending.clone(), spec.stamp.modified)
                    .modified(Key::Node(node.clone()), *node_modified)
                    .created(Key::NodeSession(node.clone()), *session_created)
                    .delete(pending)
                    .put(placed, Object::Task(Arc::clone(&spec.value)));
                if *has_status { move_it.delete(Key::TaskStatus(task.clone())) } else { move_it }
            }
            Self::Explain { task, task_modified, said, status } => {
                let key = Key::TaskStatus(task.clone());
                Transaction::new()
                    .modified(Key::Task(task.clone()), *task_modified)
                    .guard(key.clone(), *said)
                    .put(key, Object::TaskStatus(Arc::clone(status)))
            }
        }
    }
}
