//! How good a node is for the next task of a group.

use skep_api::service::Strategy;

use crate::node::NodeNumber;

/// How good a node is: the smaller, the better. What the parts are depends on the strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// How many tasks of the group have failed there of late, if it is to be avoided for that.
    pub(crate) faults: u32,
    parts: [u32; 3],
    pub(crate) node: NodeNumber,
}

/// What a rank is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) node: NodeNumber,
    pub(crate) faults: u32,
    /// Active tasks of the service.
    pub(crate) replicas: u32,
    /// [`crate::node::Node::fullness`]; 0 if the group reserves nothing.
    pub(crate) fullness: u32,
    /// Active tasks of all services.
    pub(crate) tasks: u32,
    /// Drawn by lot.
    pub(crate) lot: u32,
}

impl Standing {
    /// The rank by `strategy`.
    pub(crate) fn rank(self, strategy: Strategy) -> Rank {
        let parts = match strategy {
            Strategy::Spread => [self.replicas, self.fullness, self.tasks],
            Strategy::Binpack => [u32::MAX - self.fullness, u32::MAX - self.tasks, 0],
            Strategy::Random => [self.lot, 0, 0],
        };
        Rank { faults: self.faults, parts, node: self.node }
    }

    /// The rank as it will be with another `active` tasks.
    pub(crate) fn with(self, active: u32) -> Self {
        Self {
            replicas: self.replicas.saturating_add(active),
            tasks: self.tasks.saturating_add(active),
            ..self
        }
    }
}

impl Rank {
    /// What is compared before the node's id.
    pub(crate) fn worth(&self) -> (u32, [u32; 3]) {
        (self.faults, self.parts)
    }
}
