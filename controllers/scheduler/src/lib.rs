//! The scheduler: moves each pending task to the node that suits it best, or says what is missing.
//!
//! Tasks of one service and revision want the same, so they are planned as one [`Group`]: what a group needs is worked
//! out once (`demand`), nodes are tried in the order of Swarm's scoring (`place`), and one chain of filters
//! (`filter`) both chooses and explains. What each node has given away is kept by the world on every event
//! (`ledger`, `fleet`), never counted anew.

mod change;
mod demand;
mod demands;
mod explain;
mod filter;
mod fleet;
mod group;
mod ledger;
mod load;
mod node;
mod pending;
mod place;
mod plan;
mod typed;
mod world;

pub use change::Change;
pub use group::Group;
pub use world::SchedulerWorld;

use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;

/// The controller that places tasks.
#[derive(Debug)]
pub struct Scheduler;

impl Controller for Scheduler {
    type World = SchedulerWorld;
    type Change = Change;
    const NAME: &'static str = "scheduler";

    fn plan(world: &SchedulerWorld, group: &Group, at: Moment) -> Plan<Change> {
        plan::plan(world, group, at)
    }
}
