//! The scheduler: moves each pending task to the node that suits it best, or says what is missing; and asks that tasks
//! leave a node that no longer suits them.
//!
//! Tasks of one service and revision want the same, so they are planned as one [`Group`]: what they take is worked
//! out once (`demands`), what the service asks of nodes too (`rules`), nodes are tried in the order of Swarm's scoring
//! (`place`), and one chain of filters (`filter`) both chooses and explains. What each node has given away is kept by the
//! world on every event (`ledger`, `fleet`), never counted anew. The tasks that a node has are judged together (`evict`).

mod answer;
mod change;
mod claims;
mod crowd;
mod demands;
mod evict;
mod explain;
mod faults;
mod filter;
mod fleet;
mod ledger;
mod load;
mod lookup;
mod neighbours;
mod node;
mod pending;
mod place;
mod plan;
mod rebalance;
mod record;
mod remedy;
mod rules;
mod subject;
mod succession;
mod typed;
mod words;
mod world;

pub use answer::{Answer, Score, Scored, Verdict, Why, WhyNot};
pub use change::Change;
pub use rebalance::{Proposal, proposals};
pub use subject::{Group, Subject};
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

    fn plan(world: &SchedulerWorld, subject: &Subject, at: Moment) -> Plan<Change> {
        match subject {
            Subject::Waiting(group) => plan::plan(world, group, at),
            Subject::Placed(node) => evict::plan(world, node, at.now),
            Subject::Balanced(service) => rebalance::plan(world, service, at.now),
        }
    }
}
