//! Why an agent ends.

use skep_api::ident::NodeId;
use skep_store::Error as StoreError;

/// Why an agent ends. Nothing here stops a container, except that those of a removed node were stopped before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// People removed the node from the cluster; its id is used up.
    #[error(
        "the node {node} was removed from the cluster: to join again, delete its id from the state directory and \
         start the agent"
    )]
    Removed {
        /// The node.
        node: NodeId,
    },
    /// Another machine holds the node's session and lives.
    #[error("the node id {node} is in use by {holder}: every machine needs an id of its own")]
    Taken {
        /// The node.
        node: NodeId,
        /// Who holds it.
        holder: String,
    },
    /// Another agent of this machine took the session over.
    #[error("another agent has taken over the node {node}: {holder}")]
    Superseded {
        /// The node.
        node: NodeId,
        /// Who took it over.
        holder: String,
    },
    /// etcd refuses what an agent needs, holds no cluster, or went back in time: start again with nothing remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AgentError {
    /// Whether it ends by itself: what failed is to be tried again.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => {
                error.is_retryable()
                    || matches!(
                        error,
                        StoreError::LeaseGone | StoreError::NoSpace | StoreError::Ambiguous { .. }
                    )
            }
            Self::Removed { .. } | Self::Taken { .. } | Self::Superseded { .. } => false,
        }
    }
}
