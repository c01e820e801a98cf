//! What to do for one service: its next revision, or the next step of its rollout, and what nobody needs any more.

use skep_api::key::ServiceRef;
use skep_api::rollout::{Rollout, Waiting};
use skep_runtime::controller::Moment;
use skep_runtime::plan::Plan;
use skep_runtime::table::Versioned;

use crate::begin;
use crate::change::Change;
use crate::content::{self, Look};
use crate::control;
use crate::progress;
use crate::scope::Scope;
use crate::sweep;
use crate::world::World;

/// Plans the service named `name`, which may be gone. Nothing is done for a spec or a rollout that does not decode. What
/// nobody needs is forgotten only while the rollout rests, for that stands on the rollout.
pub(crate) fn plan(world: &World, name: &ServiceRef, at: Moment) -> Plan<Change> {
    let mut plan = Plan::default();
    if control::forget_stale(world, name, &mut plan) {
        return plan;
    }
    let Some(scope) = Scope::of(world, name, at) else { return plan };
    if world.rollouts.invalid(scope.uid).is_some() {
        return plan;
    }
    let Some(old) = world.rollouts.get(scope.uid) else {
        if let Some(wanted) = content::wanted(world, &scope) {
            begin::begin(world, &scope, None, wanted, &mut plan);
        }
        return plan;
    };
    if world.controls.invalid(name).is_some() {
        hold(&scope, old, "what people said of its rollouts does not decode", &mut plan);
        return plan;
    }
    match content::look(world, &scope, old) {
        Look::Changed(wanted) => begin::begin(world, &scope, Some(old), wanted, &mut plan),
        Look::BadVolume => hold(&scope, old, "a Volume that it mounts does not decode", &mut plan),
        Look::BadRevision => {}
        Look::Same => {
            progress::advance(world, &scope, old, &mut plan);
            if plan.changes.is_empty() {
                sweep::trim(world, &scope, old, &mut plan);
            }
        }
    }
    plan
}

/// Leaves the rollout as it is, and says so. The instants that it waited for are forgotten: it waits anew afterwards.
fn hold(scope: &Scope<'_>, old: &Versioned<Rollout>, why: &str, plan: &mut Plan<Change>) {
    if old.is_paused() || old.waits_for(Waiting::INVALID) {
        return;
    }
    let waiting = Waiting { reason: Waiting::INVALID.to_owned(), since: scope.at.now, until: None };
    plan.warn(scope.regarding(), "RolloutHeld", format!("nothing moves: {why}"));
    plan.write(scope.advance(old, Rollout { waiting: Some(waiting), ..(*old.value).clone() }));
}
