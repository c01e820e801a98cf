//! How good a node is, for people.

use serde::Serialize;
use skep_api::ident::NodeId;

use crate::fleet::Fleet;
use crate::node::NodeNumber;
use crate::place::{Placing, Standing};

/// What a node is judged by: parts come in the order in which they are compared, and smaller is better, but for binpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// How many tasks of the revision have failed there of late, if it is avoided for that.
    pub failures: u32,
    /// How many tasks of the service each branch on its way has, one per spread level.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<u32>,
    /// Active tasks of the service.
    pub tasks_of_service: u32,
    /// How much of its cpus or memory is set aside, whichever is more, in thousandths; 0 if the service reserves nothing.
    pub reserved: u32,
    /// Active tasks of all services.
    pub tasks: u32,
}

/// A node with its score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scored {
    /// The node's name.
    pub node: String,
    /// Its id.
    pub id: NodeId,
    /// How good it is for another task.
    pub score: Score,
}

/// What [`crate::node::Node::fullness`] is of a full node.
const FULL: u64 = 1 << 20;

/// The score of the node `number` for another task of the group of `placing`.
pub(super) fn scored(fleet: &Fleet, placing: &Placing<'_>, number: NodeNumber) -> Option<Scored> {
    let node = fleet.node(number)?;
    let (standing, branches) = placing.standing(number);
    let score = Score { branches, ..Score::of(standing) };
    Some(Scored { node: node.name().to_owned(), id: node.id.clone(), score })
}

impl Score {
    fn of(standing: Standing) -> Self {
        Self {
            failures: standing.faults,
            branches: Vec::new(),
            tasks_of_service: standing.replicas,
            reserved: thousandths(standing.fullness),
            tasks: standing.tasks,
        }
    }
}

/// How full that is, in thousandths.
pub(super) fn thousandths(fullness: u32) -> u32 {
    u32::try_from(u64::from(fullness).saturating_mul(1000) / FULL).unwrap_or(u32::MAX)
}
