//! The closed list of what an agent may write, and on what each write stands (ARCHITECTURE.md, "Who writes what").

use std::sync::Arc;

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, TaskRef};
use skep_api::node::NodeReport;
use skep_api::object::{Invalid, Object};
use skep_api::rollout::Pin;
use skep_api::task::TaskStatus;
use skep_store::{Guard, Put, Txn};

/// What an agent may write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// What is observed of a task.
    Report(Report),
    /// The right to start a task's container once: the report that it is being started, which stands on the task as it was
    /// read and on the agent's own session, so that a node which was away cannot start what was moved.
    Claim {
        /// The report.
        report: Report,
        /// Where the task was last written.
        task_modified: i64,
        /// Where the agent's session was last written.
        session: i64,
    },
    /// The digest that every task of a revision runs.
    Pin {
        /// The service and the number of the revision.
        revision: (Uid, u64),
        /// The digest.
        digest: String,
        /// A task of the revision, and where it was last written.
        task: (TaskRef, i64),
    },
    /// What the agent says of its machine.
    Machine {
        /// The report.
        report: Arc<NodeReport>,
        /// The node, and where its spec was created.
        node: (NodeId, i64),
        /// Where the report was last written; `None` if there is none.
        modified: Option<i64>,
    },
}

/// What is observed of a task, and on what the write of it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// The task.
    pub(crate) key: TaskRef,
    /// What is observed.
    pub(crate) status: Arc<TaskStatus>,
    /// Where the task was created.
    pub(crate) task_created: i64,
    /// Where the node's spec was created.
    pub(crate) node_created: i64,
    /// Where the status was last written; `None` if there is none.
    pub(crate) modified: Option<i64>,
}

impl Change {
    /// The key that is written.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Report(report) | Self::Claim { report, .. } => Key::TaskStatus(report.key.clone()),
            Self::Pin { revision: (uid, number), .. } => Key::Pin(uid.clone(), *number),
            Self::Machine { node: (node, _), .. } => Key::NodeReport(node.clone()),
        }
    }

    /// The value that is written.
    pub(crate) fn object(&self) -> Object {
        match self {
            Self::Report(report) | Self::Claim { report, .. } => {
                Object::TaskStatus(Arc::clone(&report.status))
            }
            Self::Pin { digest, .. } => Pin { digest: digest.clone() }.into(),
            Self::Machine { report, .. } => Object::NodeReport(Arc::clone(report)),
        }
    }

    /// The transaction. Errors: a value that cannot be written, which no type of Skep's has.
    pub(crate) fn txn(&self) -> Result<Txn, Invalid> {
        let key = self.key();
        let value = self.object().encode(&key)?;
        Ok(Txn { guards: self.guards(), puts: vec![Put::new(key, value)], deletes: Vec::new() })
    }

    fn guards(&self) -> Vec<Guard> {
        match self {
            Self::Report(report) => report.guards(),
            Self::Claim { report, task_modified, session } => {
                let mut guards = report.guards();
                guards.push(Guard::modified(Key::Task(report.key.clone()), *task_modified));
                if let Some(node) = report.key.place.node() {
                    guards.push(Guard::modified(Key::NodeSession(node.clone()), *session));
                }
                guards
            }
            Self::Pin { task: (task, modified), .. } => {
                vec![Guard::absent(self.key()), Guard::modified(Key::Task(task.clone()), *modified)]
            }
            Self::Machine { node: (node, created), modified, .. } => {
                vec![own(self.key(), *modified), Guard::created(Key::Node(node.clone()), *created)]
            }
        }
    }
}

impl Report {
    fn guards(&self) -> Vec<Guard> {
        let mut guards = vec![
            own(Key::TaskStatus(self.key.clone()), self.modified),
            Guard::created(Key::Task(self.key.clone()), self.task_created),
        ];
        if let Some(node) = self.key.place.node() {
            guards.push(Guard::created(Key::Node(node.clone()), self.node_created));
        }
        guards
    }
}

/// The key that is written, as it was last seen.
fn own(key: Key, modified: Option<i64>) -> Guard {
    match modified {
        Some(revision) => Guard::modified(key, revision),
        None => Guard::absent(key),
    }
}
