//! What nobody needs any more: old revisions, and what is left of services that are gone.

use std::collections::BTreeSet;

use skep_api::defaults::REVISION_HISTORY_LIMIT;
use skep_api::ident::Uid;
use skep_api::key::ServiceRef;
use skep_api::rollout::Rollout;
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::scope::{Scope, expect};
use crate::world::World;

/// Forgets revisions that are not target, stable or latest, and that no task names, but for the newest
/// [`REVISION_HISTORY_LIMIT`] of those, to which people may want to go back. A task whose value does not decode may name
/// any.
pub(crate) fn trim(world: &World, scope: &Scope<'_>, rollout: &Versioned<Rollout>, plan: &mut Plan<Change>) {
    let latest = world.numbers(scope.uid).next_back();
    let needed = |number: &u64| {
        *number == rollout.target || Some(*number) == rollout.stable || Some(*number) == latest
    };
    let candidates: Vec<u64> = world.numbers(scope.uid).filter(|number| !needed(number)).collect();
    if candidates.is_empty() || world.tasks.damaged(scope.name).next().is_some() {
        return;
    }
    let runs = world.tasks.slots(scope.uid).into_values().flatten();
    let named: BTreeSet<u64> = runs.map(|run| run.task.revision).collect();
    let unnamed = candidates.into_iter().filter(|number| !named.contains(number));
    for number in unnamed.rev().skip(REVISION_HISTORY_LIMIT) {
        plan.write(forget(world, scope.uid, number, rollout.modified()));
    }
}

/// Forgets what is left of the service that had the uid `uid`, once its tasks are gone: the rollout, then the revisions.
/// If the service is there, it was only taken for gone because a list brings its rollout before its spec.
pub(crate) fn plan(world: &World, uid: &Uid) -> Plan<Change> {
    let mut plan = Plan::default();
    let rollout = world.rollouts.get(uid);
    let is_needed = world.services.has(uid) || world.tasks.has(uid);
    if is_needed || world.rollouts.invalid(uid).is_some() || is_held(world, uid) {
        return plan;
    }
    if let Some(rollout) = rollout {
        let service = world.services.same(&rollout.service);
        plan.write(Change::ForgetRollout { uid: uid.clone(), service, previous: rollout.modified() });
        return plan;
    }
    for number in world.numbers(uid) {
        plan.write(forget(world, uid, number, Expect::Absent));
    }
    plan
}

/// Whether a task that does not decode may be of this service.
fn is_held(world: &World, uid: &Uid) -> bool {
    let rollout = world.rollouts.get(uid).map(|rollout| &rollout.service);
    let numbers = world.numbers(uid).filter_map(|number| world.revisions.get(&(uid.clone(), number)));
    let mut names = rollout.into_iter().chain(numbers.map(|revision| &revision.service));
    names.any(|name: &ServiceRef| world.tasks.damaged(name).next().is_some())
}

fn forget(world: &World, uid: &Uid, number: u64, rollout: Expect) -> Change {
    Change::ForgetRevision {
        uid: uid.clone(),
        number,
        revision: expect(world.revision_stamp(uid, number)),
        pin: expect(world.pins.stamp(&(uid.clone(), number))),
        rollout,
    }
}
