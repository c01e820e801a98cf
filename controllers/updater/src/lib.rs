//! updater: turns what people change in a service into numbered revisions, and moves slot after slot to the newest.
//!
//! It never touches a task: it says in the rollout which slots may take which revision, and replica makes the tasks.
//! [`rollout`] begins and moves rollouts, [`progress`] judges the slots, [`sweep`] forgets revisions that nobody needs.

pub mod change;
mod plan;
mod progress;
mod rollout;
mod sweep;
pub mod world;

use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;
use skep_runtime::services::Subject;

use crate::change::Change;
use crate::world::World;

/// Spec → revisions and rollout.
#[derive(Debug)]
pub struct Updater;

impl Controller for Updater {
    type World = World;
    type Change = Change;
    const NAME: &'static str = "updater";

    fn plan(world: &World, subject: &Subject, at: Moment) -> Plan<Change> {
        match subject {
            Subject::Service(service) => plan::plan(world, service, at),
            Subject::Gone(uid) => sweep::plan(world, uid),
        }
    }
}
