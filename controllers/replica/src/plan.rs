//! What to do for one service: which slots it has, the next step in each of them, what is forgotten, and its summary.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Service;
use skep_api::rollout::Rollout;
use skep_api::service::ServiceSpec;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Guard, Plan};
use skep_runtime::table::Versioned;
use skep_runtime::tasks::Run;

use crate::change::{Change, Stop};
use crate::create;
use crate::history;
use crate::restart;
use crate::scale;
use crate::slots::{self, SlotView};
use crate::status;
use crate::update::{self, Budget};
use crate::world::World;

/// What every step in a slot needs to know of its service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a ServiceRef,
    pub(crate) uid: &'a Uid,
    pub(crate) service: &'a Versioned<Service>,
    pub(crate) rollout: &'a Versioned<Rollout>,
    pub(crate) at: Moment,
}

impl Scope<'_> {
    pub(crate) fn spec(&self) -> &ServiceSpec {
        &self.service.spec
    }

    /// The spec as it is.
    pub(crate) fn spec_unchanged(&self) -> Guard {
        spec_unchanged(self.name, self.service)
    }

    /// The spec and the rollout as they are: what says which revision a slot runs.
    pub(crate) fn unchanged(&self) -> Vec<Guard> {
        let rollout = Guard { key: Key::Rollout(self.uid.clone()), expect: self.rollout.modified() };
        vec![self.spec_unchanged(), rollout]
    }

    /// Whether the rollout speaks of the spec as it is now.
    pub(crate) fn is_rollout_current(&self) -> bool {
        self.rollout.observed_version == self.service.stamp.modified
    }

    /// What is called by this name in events.
    pub(crate) fn regarding(&self) -> String {
        format!("Service/{}", self.name)
    }
}

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

fn spec_unchanged(name: &ServiceRef, service: &Versioned<Service>) -> Guard {
    Guard { key: Key::Service(name.clone()), expect: service.modified() }
}
