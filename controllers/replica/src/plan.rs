//! What to do for one service: which slots it has, the next step in each of them, what is forgotten, and its summary.

use std::collections::BTreeMap;

use skep_api::key::ServiceRef;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Guard, Plan};
use skep_runtime::tasks::Run;

use crate::budget::Budget;
use crate::change::{Change, Stop};
use crate::create;
use crate::depends;
use crate::evict;
use crate::history;
use crate::job::{self, Progress};
use crate::restart;
use crate::scale;
use crate::scope::{Scope, spec_unchanged};
use crate::slots::{self, Cast, SlotView};
use crate::standing::{self, Standing};
use crate::status;
use crate::update;
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
    let standings = standing::of(&world.tasks, &service.spec, rollout.map(|rollout| rollout.target), &slots);
    let gate = depends::gate(world, name, at, &mut plan);
    if let Some(rollout) = rollout.filter(|_| !gate.is_closed()) {
        let dependencies = &gate.guards;
        let scope = Scope { name, uid, service, rollout, tasks: &world.tasks, dependencies, at };
        plan_slots(&scope, &slots, &standings, &mut plan);
    }
    if rollout.is_some() || world.rollouts.invalid(uid).is_none() {
        history::forget_removed(&spec_unchanged(name, service), &slots, &mut plan);
    }
    status::report(
        world,
        name,
        &status::View { slots: &slots, standings: &standings, gate: &gate },
        at,
        &mut plan,
    );
    plan
}

fn plan_slots(
    scope: &Scope<'_>,
    slots: &BTreeMap<Slot, SlotView<'_>>,
    standings: &BTreeMap<Slot, Standing>,
    plan: &mut Plan<Change>,
) {
    let is_wanted = |slot: &&SlotView<'_>| standings.get(&slot.slot) == Some(&Standing::Wanted);
    let mut budget = Budget::new(scope, slots.values().filter(is_wanted));
    let mut room = job::room(scope, slots, standings);
    for (slot, standing) in standings {
        let empty;
        let slot = if let Some(slot) = slots.get(slot) {
            slot
        } else {
            empty = SlotView::empty(slot.clone());
            &empty
        };
        if slot.damaged.is_some() {
            continue;
        }
        match standing {
            Standing::Surplus => {
                scale::remove(scope, slot, plan);
                continue;
            }
            Standing::Vacated(because) => vacate(scope, slot, because, plan),
            Standing::Wanted if scope.is_job() => step_of_job(scope, slot, &mut budget, &mut room, plan),
            Standing::Wanted => {
                let revision = scope.rollout.revision_of(&slot.slot, &slot.revisions());
                step(scope, slot, revision, &mut budget, plan);
            }
            Standing::Frozen => {}
        }
        history::trim(scope, slot, plan);
    }
}

/// Stops what a global service has on a node that is none of its nodes now. What has ended there is not followed meanwhile.
fn vacate(scope: &Scope<'_>, slot: &SlotView<'_>, because: &[Guard], plan: &mut Plan<Change>) {
    for run in slot.wanted().filter(|run| !run.is_ended()) {
        let because = [&[scope.spec_unchanged()], because].concat();
        plan.write(Change::Stop(Stop::new(run, DesiredState::Shutdown, because)));
    }
}

fn step_of_job(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    budget: &mut Budget,
    room: &mut u32,
    plan: &mut Plan<Change>,
) {
    if job::has_earlier(scope, slot) {
        job::remove_earlier(scope, slot, plan);
        return;
    }
    match job::progress_of(scope, slot) {
        Progress::Done => job::rest(scope, slot, plan),
        Progress::UnderWay => step(scope, slot, scope.rollout.target, budget, plan),
        Progress::Open if *room > 0 => {
            *room -= 1;
            create::fill(scope, slot, scope.rollout.target, plan);
        }
        Progress::Open | Progress::Failed => {}
    }
}

/// The next step in one slot: at most one, so that each stands on what the last one led to.
fn step(scope: &Scope<'_>, slot: &SlotView<'_>, revision: u64, budget: &mut Budget, plan: &mut Plan<Change>) {
    let Cast { current, next, extra } = slot.cast(revision);
    if let Some(extra) = extra {
        let mut because = [scope.unchanged(), vec![extra.status_unchanged()]].concat();
        because.extend(
            current.into_iter().flat_map(|current| [current.unchanged(), current.status_unchanged()]),
        );
        plan.write(Change::Stop(Stop::new(extra, DesiredState::Shutdown, because)));
        return;
    }
    match (current, next) {
        (None, None) => create::fill(scope, slot, revision, plan),
        (Some(current), None) if !current.is_alive() => {
            restart::succeed(scope, slot, current, revision, plan);
        }
        (Some(current), None) if current.task.revision != revision => {
            update::stage(scope, slot, current, revision, plan);
        }
        (Some(current), None) if evict::must_leave(current) => {
            evict::leave(scope, slot, current, budget, plan);
        }
        (Some(current), None) if evict::may_move(current) => {
            evict::move_over(scope, slot, current, budget, plan);
        }
        (Some(_), None) => {}
        (current, Some(next)) if update::is_obsolete(next, current, revision) => {
            let mut because = scope.unchanged();
            because.extend(current.map(Run::eviction_unchanged));
            plan.write(Change::Stop(Stop::new(next, DesiredState::Shutdown, because)));
        }
        // A move that failed is not tried again: the request is taken back, and then the task is obsolete.
        (Some(current), Some(next)) if !next.is_alive() && update::is_move(current, next) => {}
        (current, Some(next)) if !next.is_alive() && current.is_none_or(Run::is_alive) => {
            restart::succeed(scope, slot, next, revision, plan);
        }
        (_, Some(next)) if next.is_alive() && evict::must_leave(next) => {
            evict::turn_away(scope, slot, next, plan);
        }
        (Some(current), Some(next)) => update::take_over(scope, slot, (current, next), budget, plan),
        (None, Some(next)) => restart::promote(scope, slot, next, None, plan),
    }
}
