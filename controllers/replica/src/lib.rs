//! replica: the only one who creates, stops and deletes tasks. It also writes the summary of each service.
//!
//! [`plan`](mod@plan) walks over the slots of one service. Which slots there are is in [`standing`] and [`scale`]; what
//! happens within a slot in [`create`], [`restart`] (by the [`policy`]), [`update`], [`evict`] and [`job`]; when a service
//! may begin in [`depends`]; what is forgotten in [`history`] and [`sweep`]; what people are told in [`status`].

mod budget;
mod census;
pub mod change;
mod conditions;
mod crash;
mod create;
mod depends;
mod evict;
mod history;
mod job;
mod next;
mod plan;
mod policy;
mod restart;
mod scale;
mod scope;
mod slots;
mod standing;
mod status;
mod sweep;
mod update;
mod waiting;
pub mod world;

use skep_runtime::controller::{Controller, Moment};
use skep_runtime::plan::Plan;
use skep_runtime::services::Subject;

use crate::change::Change;
use crate::world::World;

/// Desired slots → tasks.
#[derive(Debug)]
pub struct Replica;

impl Controller for Replica {
    type World = World;
    type Change = Change;
    const NAME: &'static str = "replica";

    fn plan(world: &World, subject: &Subject, at: Moment) -> Plan<Change> {
        match subject {
            Subject::Service(service) => plan::plan(world, service, at),
            Subject::Gone(uid) => sweep::plan(world, uid),
        }
    }
}
