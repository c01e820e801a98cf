//! What is left of a service that is gone: its tasks are stopped and forgotten. Nothing is asked of its rollout, which
//! goes when no task is left.

use skep_api::ident::Uid;
use skep_api::task::DesiredState;
use skep_runtime::plan::Plan;

use crate::change::{Change, Forget, Stop};
use crate::world::World;

/// Removes the tasks of the service that had the uid `uid`. A uid never returns, so nothing about the service is compared.
/// If the service is there, it was only taken for gone because a list brings its rollout before its spec.
pub(crate) fn plan(world: &World, uid: &Uid) -> Plan<Change> {
    let mut plan = Plan::default();
    if world.services.has(uid) {
        return plan;
    }
    for run in world.tasks.slots(uid).into_values().flatten() {
        if run.is_ended() {
            plan.write(Change::Stop(Stop::Forget(Forget::new(&run, vec![run.still_over()]))));
        } else if run.task.desired < DesiredState::Remove || run.at.place.node().is_none() {
            plan.write(Change::Stop(Stop::new(&run, DesiredState::Remove, Vec::new())));
        }
    }
    plan
}
