//! What to do for one service: which slots it has, the next step in each of them, what is forgotten, and its summary.

use std::collections::BTreeMap;

use skep_api::key::ServiceRef;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::controller::Moment;
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Stop};
use crate::create;
use crate::history;
use crate::restart;
use crate::scale;
use crate::scope::{Scope, spec_unchanged};
use crate::slots::{self, SlotView};
use crate::status;
use crate::update::{self, Budget};
use crate::world::World;

/// Plans the service named `name`, which may be gone.
pub(crate) fn plan(world: &World, name: &ServiceRef, at: Moment) -> Plan<Change> {
    let mut plan = Plan::default();
    let Some(uid) = world.services.uid(name) else {
        if let Some(stamp) = world.statuses.stamp(name) {
            plan.write(Change::Unreport(name.clone(), stamp.modified));
        }
        return plan;
    };
    let Some(service) = world.services.get(name) else {
        status::refuse(world, name, at, &mut plan);
        return plan;
    };
    let slots = slots::of(&world.tasks, uid, name);
    let rollout = world.rollouts.get(uid);
    if let Some(rollout) = rollout {
        plan_slots(&Scope { name, uid, service, rollout, at }, &slots, &mut plan);
    }
    if rollout.is_some() || world.rollouts.invalid(uid).is_none() {
        history::forget_removed(&spec_unchanged(name, service), &slots, &mut plan);
    }
    status::report(world, name, uid, &slots, at, &mut plan);
    plan
}

fn plan_slots(scope: &Scope<'_>, slots: &BTreeMap<Slot, SlotView<'_>>, plan: &mut Plan<Change>) {
    let surplus = scale::surplus(slots, scope.spec().replicas);
    let kept = || slots.values().filter(|slot| slot.is_kept() && !surplus.contains(&slot.slot));
    let mut budget = Budget::new(scope.spec().update.parallelism, kept());
    for slot in slots.values().filter(|slot| surplus.contains(&slot.slot)) {
        scale::remove(scope, slot, plan);
    }
    for slot in kept().filter(|slot| slot.damaged.is_none()) {
        step(scope, slot, &mut budget, plan);
        history::trim(&scope.spec_unchanged(), slot, plan);
    }
    for slot in scale::missing(slots, scope.spec().replicas) {
        match slots.get(&slot) {
            Some(emptying) => create::fill(scope, emptying, plan),
            None => create::fill(scope, &SlotView::empty(slot), plan),
        }
    }
}

/// The next step in one slot: at most one, so that each stands on what the last one led to.
fn step(scope: &Scope<'_>, slot: &SlotView<'_>, budget: &mut Budget, plan: &mut Plan<Change>) {
    let revision = scope.rollout.revision_of(&slot.slot, &slot.revisions());
    if let Some(extra) = slot.extra() {
        plan.write(Change::Stop(Stop::new(extra, DesiredState::Shutdown, scope.unchanged())));
        return;
    }
    match (slot.current(), slot.staged()) {
        (None, None) => create::fill(scope, slot, plan),
        (Some(current), None) if !current.is_alive() => {
            restart::succeed(scope, slot, current, revision, plan);
        }
        (Some(current), None) if current.task.revision != revision => {
            update::stage(scope, slot, current, revision, plan);
        }
        (Some(_), None) => {}
        (current, Some(staged)) if update::is_obsolete(staged, current, revision) => {
            plan.write(Change::Stop(Stop::new(staged, DesiredState::Shutdown, scope.unchanged())));
        }
        (current, Some(staged)) if !staged.is_alive() && current.is_none_or(Run::is_alive) => {
            restart::succeed(scope, slot, staged, revision, plan);
        }
        (Some(current), Some(staged)) => update::hand_over(scope, current, staged, budget, plan),
        (None, Some(staged)) => restart::promote(slot, staged, scope.at.now, plan),
    }
}
