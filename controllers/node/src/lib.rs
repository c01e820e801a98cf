//! The node controller: turns sessions and reports into the status of each node, and asks tasks to leave nodes that people
//! drain.
//!
//! A node is Ready while its session lives, then Unreachable, and after [`UNREACHABLE_FOR`] Down: only then are its
//! tasks replaced. When too many nodes vanish at once (`census`) none of them is declared Down, because it is rather
//! etcd or the network that failed. What its tasks hold is kept on every event (`tasks`) and told at most every
//! [`COUNT_EVERY`] (`summary`).

mod census;
mod change;
mod drain;
mod household;
mod plan;
mod subject;
mod summary;
mod tasks;
mod typed;
mod verdict;
mod world;

pub use change::Change;
pub use subject::Subject;
pub use summary::COUNT_EVERY;
pub use verdict::UNREACHABLE_FOR;
pub use world::NodeWorld;

use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;

/// The controller that judges nodes.
#[derive(Debug)]
pub struct NodeController;

impl Controller for NodeController {
    type World = NodeWorld;
    type Change = Change;
    const NAME: &'static str = "node";

    fn plan(world: &NodeWorld, subject: &Subject, at: Moment) -> Plan<Change> {
        match subject {
            Subject::Node(node) => plan::plan(world, node, at),
            Subject::Task(task) => drain::plan(world, task, at.now),
        }
    }
}
