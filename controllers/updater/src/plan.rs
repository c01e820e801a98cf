//! What to do for one service: its next revision, or the next step of its rollout, and what nobody needs any more.

use skep_api::key::{Key, ServiceRef};
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Guard, Plan};

use crate::change::Change;
use crate::progress;
use crate::rollout::{self, Scope};
use crate::sweep;
use crate::world::World;

/// Plans the service named `name`. Nothing is done for a spec or a rollout that does not decode. What nobody needs is
/// forgotten only while the rollout rests, for that stands on the rollout.
pub(crate) fn plan(world: &World, name: &ServiceRef, at: Moment) -> Plan<Change> {
    let mut plan = Plan::default();
    let (Some(uid), Some(service)) = (world.services.uid(name), world.services.get(name)) else {
        return plan;
    };
    if world.rollouts.invalid(uid).is_some() {
        return plan;
    }
    let spec = Guard { key: Key::Service(name.clone()), expect: service.modified() };
    let scope = Scope { name, uid, service, spec, at };
    match world.rollouts.get(uid) {
        None => rollout::begin(world, &scope, None, &mut plan),
        Some(old) if old.observed_version != service.stamp.modified => {
            rollout::observe(world, &scope, old, &mut plan);
        }
        Some(old) => {
            progress::advance(world, &scope, old, &mut plan);
            if plan.changes.is_empty() {
                sweep::trim(world, &scope, old, &mut plan);
            }
        }
    }
    plan
}
