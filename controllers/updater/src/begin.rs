//! How a rollout begins: what the service wants becomes the next revision, and the first slots may take it.

use std::collections::BTreeSet;

use skep_api::rollout::{Batch, Rollout, RolloutState};
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::content::Wanted;
use crate::control;
use crate::scope::Scope;
use crate::slots::Slots;
use crate::world::World;

/// Writes `wanted` as the next revision, and a rollout to it that takes the place of `old`, however that goes; what was
/// stable stays so. A service's first tasks all take it at once, and so do those of a job; later, slots follow as the
/// update policy says.
pub(crate) fn begin(
    world: &World,
    scope: &Scope<'_>,
    old: Option<&Versioned<Rollout>>,
    wanted: Wanted,
    plan: &mut Plan<Change>,
) {
    let latest = world.numbers(scope.uid).next_back().max(old.map(|old| old.target));
    let target = latest.unwrap_or_default().saturating_add(1);
    let slots = Slots::of(world, scope, target, RolloutState::Updating);
    let mut rollout = Rollout {
        service: scope.name.clone(),
        observed_version: scope.service.stamp.modified,
        stable: old.and_then(|old| old.stable),
        target,
        since: scope.at.cut,
        batch: Batch::All,
        waiting: None,
        total: slots.count(),
        batch_number: 1,
        failed: BTreeSet::new(),
        failure: None,
        holds_new: false,
        obeyed: old.map_or(0, |old| old.obeyed),
        state: if scope.is_job() { RolloutState::Completed } else { RolloutState::Updating },
        message: String::new(),
    };
    if old.is_none() {
        rollout.total = scope.replicas().unwrap_or(rollout.total);
    } else if !scope.is_job() {
        rollout.batch = Batch::Slots(BTreeSet::new());
        rollout.batch_number = 0;
        rollout.holds_new = scope.policy(rollout.state).partition.is_some();
        if !control::pause(scope, &mut rollout) {
            slots.admit(scope, &mut rollout);
        }
    }
    plan.note(scope.regarding(), "UpdateStarted", format!("revision {target} was made; slots move to it"));
    let mut because = scope.because();
    because.extend(wanted.volumes);
    plan.write(Change::Begin {
        uid: scope.uid.clone(),
        because,
        previous: old.map_or(Expect::Absent, Versioned::modified),
        rollout: rollout.into(),
        revision: wanted.revision,
    });
}
