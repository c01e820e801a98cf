//! The summary of a service: how many of its tasks run, and what the others wait for.

use std::collections::BTreeMap;

use skep_api::condition::{self, Truth};
use skep_api::ident::Uid;
use skep_api::key::ServiceRef;
use skep_api::object::Service;
use skep_api::rollout::{Batch, Rollout};
use skep_api::service::{JobStatus, Next, ServiceStatus, UpdateStatus};
use skep_api::task::Slot;
use skep_api::time::Timestamp;
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Versioned;
use skep_runtime::tasks::Run;

use crate::census;
use crate::change::{Change, Report};
use crate::conditions;
use crate::crash;
use crate::depends::Gate;
use crate::next;
use crate::scope::is_job;
use crate::slots::SlotView;
use crate::standing::Standing;
use crate::waiting;
use crate::world::World;

/// What a plan has found out of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'v, 'a> {
    pub(crate) slots: &'v BTreeMap<Slot, SlotView<'a>>,
    pub(crate) standings: &'v BTreeMap<Slot, Standing>,
    pub(crate) gate: &'v Gate,
}

/// What the summary is made of.
pub(crate) struct Facts<'a> {
    pub(crate) desired: u32,
    pub(crate) running: u32,
    pub(crate) updated: u32,
    pub(crate) version: i64,
    pub(crate) rollout: Option<&'a Versioned<Rollout>>,
    pub(crate) is_rollout_damaged: bool,
    pub(crate) job: Option<JobStatus>,
    pub(crate) gate: &'a Gate,
    /// The first slot without a task that serves: what it waits for, and whether that is a node.
    pub(crate) waits: Option<waiting::Waits>,
    /// The first slot that waits for a node, and how many more do.
    pub(crate) unplaced: Option<(waiting::Waits, usize)>,
    /// How many more slots wait.
    pub(crate) more: usize,
    /// How many slots are still being removed, on nodes that can do so.
    pub(crate) leaving: usize,
}

/// Writes the summary of a service that can be served, if it differs.
pub(crate) fn report(
    world: &World,
    name: &ServiceRef,
    view: &View<'_, '_>,
    at: Moment,
    plan: &mut Plan<Change>,
) {
    let (Some(service), Some(uid)) = (world.services.get(name), world.services.uid(name)) else { return };
    let mut status = previous(world, name, service.stamp.created);
    let facts = Facts::gather(world, name, uid, service, view, status.job.as_ref(), at.now);
    status.observed_version = service.stamp.modified;
    status.desired = facts.desired;
    status.running = facts.running;
    status.updated = facts.updated;
    status.revision = facts.rollout.map(|rollout| rollout.target);
    status.update = facts.rollout.map(|rollout| update(rollout));
    status.job.clone_from(&facts.job);
    conditions::judge(&facts, &mut status, at.now);
    status.next = next::of(&facts, view, at.now);
    crash::tell(name, service, view, at.now, &mut status.conditions, plan);
    write(world, name, service.stamp.created, status, plan);
}

/// Says that the spec is not accepted. Nothing else of the summary moves: nothing of the service is touched.
pub(crate) fn refuse(world: &World, name: &ServiceRef, at: Moment, plan: &mut Plan<Change>) {
    let Some((invalid, stamp)) = world.services.invalid(name) else { return };
    let mut status = previous(world, name, stamp.created);
    status.observed_version = stamp.modified;
    let mut set = |kind, message: &str| {
        condition::set(&mut status.conditions, kind, Truth::False, "InvalidSpec", message, at.now);
    };
    set("Accepted", &invalid.reason);
    set("Ready", "the spec is not accepted");
    let message = "nothing until the spec is corrected; what runs goes on".to_owned();
    status.next = Some(Next { message, at: None });
    write(world, name, stamp.created, status, plan);
}

/// What people need to know of the rollout.
fn update(rollout: &Rollout) -> UpdateStatus {
    let batch = match &rollout.batch {
        Batch::All => Vec::new(),
        Batch::Slots(slots) => slots.iter().map(Slot::to_string).collect(),
    };
    UpdateStatus {
        state: rollout.state,
        stable: rollout.stable,
        batch,
        batch_number: rollout.batch_number,
        total: rollout.total,
        failed: count(rollout.failed.iter()),
        waiting: rollout.waiting.clone(),
        message: rollout.message.clone(),
        failure: rollout.failure.clone(),
    }
}

/// The summary as it is; an empty one if there is none, or if it is about an earlier object of the same name.
fn previous(world: &World, name: &ServiceRef, created: i64) -> ServiceStatus {
    let found = world.statuses.get(name).filter(|status| status.observed_version >= created);
    found.map(|status| (*status.value).clone()).unwrap_or_default()
}

fn write(world: &World, name: &ServiceRef, created: i64, status: ServiceStatus, plan: &mut Plan<Change>) {
    if world.statuses.get(name).is_some_and(|old| *old.value == status) {
        return;
    }
    let previous =
        world.statuses.stamp(name).map_or(Expect::Absent, |stamp| Expect::Modified(stamp.modified));
    let report = Report { service: name.clone(), created, previous, status: status.into() };
    plan.write(Change::Report(report));
}

impl<'a> Facts<'a> {
    fn gather(
        world: &'a World,
        name: &ServiceRef,
        uid: &Uid,
        service: &Versioned<Service>,
        view: &View<'a, '_>,
        previous: Option<&JobStatus>,
        now: Timestamp,
    ) -> Self {
        let rollout = world.rollouts.get(uid);
        let target = rollout.map(|rollout| rollout.target);
        let serving = || view.slots.values().filter_map(SlotView::serving);
        let is_updated = |revision: u64| Some(revision) == target;
        let job = target.filter(|_| is_job(&service.spec));
        let job = job.map(|target| census::job(&service.spec, view, target, previous, now));
        let waits = |slot: &&SlotView<'_>| {
            view.standings.get(&slot.slot) == Some(&Standing::Wanted)
                && slot.is_kept()
                && !(job.is_some()
                    && target.is_some_and(|target| census::is_settled(&service.spec, slot, target, now)))
        };
        let mut waits: Vec<waiting::Waits> = view
            .slots
            .values()
            .filter(waits)
            .filter_map(|slot| waiting::of(name, slot, service, rollout, now))
            .collect();
        waits.sort_by_key(|waits| waits.is_final);
        let more = waits.len().saturating_sub(1);
        let mut unplaced = waits.iter().filter(|waits| waits.reason == waiting::NO_NODE).cloned();
        let first = unplaced.next();
        let unplaced = first.map(|first| (first, unplaced.count()));
        Self {
            desired: census::desired(&service.spec, view, job.as_ref()),
            running: count(serving()),
            updated: count(serving().filter(|run| is_updated(run.task.revision))),
            version: service.stamp.modified,
            rollout,
            is_rollout_damaged: world.rollouts.invalid(uid).is_some(),
            job,
            gate: view.gate,
            more,
            waits: waits.into_iter().next(),
            unplaced,
            // What is on a node that is Down ends when that comes back, or never: nobody waits for it.
            leaving: view
                .slots
                .values()
                .filter(|slot| !slot.is_kept() && !slot.runs.iter().all(Run::is_lost))
                .count(),
        }
    }
}

pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
