//! updater: turns what people change in a service into numbered revisions, and moves slot after slot to the newest.
//!
//! It never touches a task: it says in the rollout which slots may take which revision, and replica makes the tasks.
//! [`content`] tells whether a revision is due and [`begin`] makes it; [`control`] obeys people; [`progress`] is the next
//! step of a rollout, which [`slots`] and [`failure`] judge and [`act`] turns round; [`sweep`] forgets what nobody needs.

mod act;
mod begin;
pub mod change;
mod content;
mod control;
mod failure;
mod plan;
mod progress;
mod scope;
mod slots;
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
