//! What the scheduler may write: it places a task, or says why it cannot; it asks that a task leave its node, or takes
//! that back.

use std::sync::Arc;

use skep_api::eviction::Eviction;
use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::object::Object;
use skep_api::task::{Task, TaskStatus};
use skep_runtime::plan::{self, Expect, Transaction};
use skep_runtime::table::Versioned;

use crate::claims::Named;

/// A write of the scheduler.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Moves a task to a node.
    Place {
        /// The task's key while it waits.
        task: TaskRef,
        /// The task as it waits there.
        spec: Versioned<Task>,
        /// The named generic resources of the node that it gets.
        claims: Named,
        /// Whether something is said of it there.
        has_status: bool,
        /// The node.
        node: NodeId,
        /// The last write of the node's spec: labels and availability are what they were.
        node_modified: i64,
        /// The creation of the node's session: its agent still lives.
        session_created: i64,
        /// The service.
        service: ServiceRef,
        /// The last write of its spec: it asks of nodes what it did.
        service_modified: i64,
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
    /// Asks that a task leave its node.
    AskToLeave {
        /// The task's key.
        task: TaskRef,
        /// The last write of the task.
        task_modified: i64,
        /// The last write of its node's spec.
        node_modified: i64,
        /// The last write of what the agent says of the node.
        report_modified: i64,
        /// Its service.
        service: ServiceRef,
        /// The last write of the service's spec.
        service_modified: i64,
        /// Why.
        eviction: Arc<Eviction>,
    },
    /// Takes that back, or clears it away when the task is over.
    TakeBack {
        /// The task's key.
        task: TaskRef,
        /// The last write of the request.
        modified: i64,
    },
}

impl plan::Change for Change {
    fn transaction(&self) -> Transaction {
        match self {
            Self::Place {
                task,
                spec,
                claims,
                has_status,
                node,
                node_modified,
                session_created,
                service,
                service_modified,
            } => {
                let placed = Key::Task(task.at(Place::Node(node.clone())));
                let pending = Key::Task(task.clone());
                let move_it = Transaction::new()
                    .modified(pending.clone(), spec.stamp.modified)
                    .modified(Key::Node(node.clone()), *node_modified)
                    .created(Key::NodeSession(node.clone()), *session_created)
                    .modified(Key::Service(service.clone()), *service_modified)
                    .delete(pending)
                    .put(placed, Object::Task(claiming(&spec.value, claims)));
                if *has_status { move_it.delete(Key::TaskStatus(task.clone())) } else { move_it }
            }
            Self::Explain { task, task_modified, said, status } => {
                let key = Key::TaskStatus(task.clone());
                Transaction::new()
                    .modified(Key::Task(task.clone()), *task_modified)
                    .guard(key.clone(), *said)
                    .put(key, Object::TaskStatus(Arc::clone(status)))
            }
            Self::AskToLeave {
                task,
                task_modified,
                node_modified,
                report_modified,
                service,
                service_modified,
                eviction,
            } => {
                let asked = Transaction::new()
                    .modified(Key::Task(task.clone()), *task_modified)
                    .modified(Key::Service(service.clone()), *service_modified);
                let key = Key::Eviction(task.clone());
                let on_node = task.place.node().into_iter().fold(asked, |asked, node| {
                    asked
                        .modified(Key::Node(node.clone()), *node_modified)
                        .modified(Key::NodeReport(node.clone()), *report_modified)
                });
                on_node.absent(key.clone()).put(key, Object::Eviction(Arc::clone(eviction)))
            }
            Self::TakeBack { task, modified } => {
                let key = Key::Eviction(task.clone());
                Transaction::new().modified(key.clone(), *modified).delete(key)
            }
        }
    }
}

/// `task` with what it gets of its node's named resources.
fn claiming(task: &Arc<Task>, claims: &Named) -> Arc<Task> {
    if task.generic == *claims {
        Arc::clone(task)
    } else {
        Arc::new(Task { generic: claims.clone(), ..(**task).clone() })
    }
}
