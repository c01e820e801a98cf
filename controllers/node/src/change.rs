//! What the node controller may write: the status of a node, and requests that tasks leave it.

use std::sync::Arc;

use skep_api::eviction::Eviction;
use skep_api::ident::NodeId;
use skep_api::key::{Key, TaskRef};
use skep_api::node::NodeStatus;
use skep_api::object::Object;
use skep_runtime::plan::{self, Expect, Transaction};

/// A write of the node controller.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Says how a node is.
    SetStatus {
        /// The node.
        node: NodeId,
        /// The creation of its spec.
        spec_created: i64,
        /// Its session: the one that lives, or none.
        session: Expect,
        /// What was said before.
        said: Expect,
        /// What is said now.
        status: Arc<NodeStatus>,
    },
    /// Forgets a node that people have removed.
    Forget {
        /// The node.
        node: NodeId,
        /// The last write of its status, if there is one.
        status: Option<i64>,
        /// The last write of its agent's report, if there is one; the agent writes none without a spec.
        report: Option<i64>,
    },
    /// Asks that a task leave its node.
    AskToLeave {
        /// The task.
        task: TaskRef,
        /// The last write of the task.
        task_modified: i64,
        /// The last write of its node's spec.
        node_modified: i64,
        /// What was asked before.
        said: Expect,
        /// Why, and how.
        eviction: Arc<Eviction>,
    },
    /// Takes that back, or clears it away when the task is over.
    TakeBack {
        /// The task.
        task: TaskRef,
        /// The last write of the request.
        modified: i64,
    },
}

impl plan::Change for Change {
    fn transaction(&self) -> Transaction {
        match self {
            Self::SetStatus { node, spec_created, session, said, status } => {
                let key = Key::NodeStatus(node.clone());
                Transaction::new()
                    .created(Key::Node(node.clone()), *spec_created)
                    .guard(Key::NodeSession(node.clone()), *session)
                    .guard(key.clone(), *said)
                    .put(key, Object::NodeStatus(Arc::clone(status)))
            }
            Self::Forget { node, status, report } => {
                let status = status.map(|modified| (Key::NodeStatus(node.clone()), modified));
                let report = report.map(|modified| (Key::NodeReport(node.clone()), modified));
                let gone = Transaction::new().absent(Key::Node(node.clone()));
                status.into_iter().chain(report).fold(gone, |transaction, (key, modified)| {
                    transaction.modified(key.clone(), modified).delete(key)
                })
            }
            Self::AskToLeave { task, task_modified, node_modified, said, eviction } => {
                let key = Key::Eviction(task.clone());
                let asked = Transaction::new().modified(Key::Task(task.clone()), *task_modified);
                let on_node = task
                    .place
                    .node()
                    .into_iter()
                    .fold(asked, |asked, node| asked.modified(Key::Node(node.clone()), *node_modified));
                on_node.guard(key.clone(), *said).put(key, Object::Eviction(Arc::clone(eviction)))
            }
            Self::TakeBack { task, modified } => {
                let key = Key::Eviction(task.clone());
                Transaction::new().modified(key.clone(), *modified).delete(key)
            }
        }
    }
}
