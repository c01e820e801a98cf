//! The node controller: turns sessions and reports into the status of each node.
//!
//! A node is Ready while its session lives, then Unreachable, and after [`UNREACHABLE_FOR`] Down: only then are its
//! tasks replaced. When too many nodes vanish at once (`census`) none of them is declared Down, because it is rather
//! etcd or the network that failed.

mod census;
mod change;
mod plan;
mod verdict;
mod world;

pub use change::Change;
pub use verdict::UNREACHABLE_FOR;
pub use world::NodeWorld;

use skep_api::ident::NodeId;
use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;

/// The controller that judges nodes.
#[derive(Debug)]
pub struct NodeController;

impl Controller for NodeController {
    type World = NodeWorld;
    type Change = Change;
    const NAME: &'static str = "node";

    fn plan(world: &NodeWorld, node: &NodeId, at: Moment) -> Plan<Change> {
        plan::plan(world, node, at)
    }
}
