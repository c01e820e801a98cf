//! What is planned one at a time.

use skep_api::ident::NodeId;
use skep_api::key::TaskRef;

/// A node, or a task that may have to leave one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The summary of this node.
    Node(NodeId),
    /// Whether this task is asked to leave its node. Each by itself, so that a refused write holds up no other.
    Task(TaskRef),
}
