//! The plan for one group: places what fits, and once nothing fits any more, says why.

use std::sync::Arc;

use skep_api::task::{TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::controller::Moment;
use skep_runtime::plan::Plan;

use crate::change::Change;
use crate::claims::Claims;
use crate::explain::{Reason, explain, explain_one};
use crate::load::Load;
use crate::node::NodeNumber;
use crate::pending::Waiter;
use crate::place::{Placing, Survey, Terms, fits};
use crate::record::{self, TaskId};
use crate::rules::{Rules, Ruling};
use crate::subject::Group;
use crate::world::SchedulerWorld;

/// SwarmKit's message of a task that waits (`manager/allocator/network.go`).
const WAITS: &str = "pending task scheduling";

/// How long what people are told of a task that waits may be out of date. A node that the task fits wakes it at once.
const REFRESH: Span = Span::from_secs(5);

/// What the tasks of a group ask for.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'w> {
    group: &'w Group,
    /// What one of them takes.
    share: &'w Load,
    rules: &'w Rules,
    ruling: &'w Ruling,
}

/// Places the tasks of `group`.
///
/// A plan that places says nothing of the tasks that are left: its own placements are part of the reason, so that is
/// told by the next plan, which sees them.
pub(crate) fn plan(world: &SchedulerWorld, group: &Group, at: Moment) -> Plan<Change> {
    let mut plan = Plan::default();
    // Whose last task was placed is not looked at again.
    if !world.pending.waits(group) {
        return plan;
    }
    // Tasks of a service that is gone are about to go.
    let Some(ruling) = world.rules.of(&group.service) else { return plan };
    match Ask::of(world, group, ruling) {
        Ok(ask) => {
            place_all(world, ask, at.now, &mut plan);
            if plan.changes.is_empty() {
                explain_all(world, ask, at.now, &mut plan);
                plan.look_again_at(at.now.after(REFRESH));
            }
        }
        Err(error) => {
            let reason = Arc::new(waiting(Reason { error, ..Reason::default() }, at.now));
            for waiter in world.pending.tasks(group) {
                tell(waiter, &reason, &mut plan);
            }
        }
    }
    plan
}

/// Whether a task of `group` may fit `node`: what waits is woken by the nodes that it may fit.
pub(crate) fn may_fit(world: &SchedulerWorld, group: &Group, node: NodeNumber) -> bool {
    let ask = world.rules.of(&group.service).map(|ruling| Ask::of(world, group, ruling));
    let Some(Ok(ask)) = ask else { return false };
    // One that is staged beside the task that it replaces needs less.
    world.pending.has_staged(group) || fits(&world.fleet, ask.terms(world, Timestamp::default()), node)
}

impl<'w> Ask<'w> {
    /// What tasks of `group`, which is of the service of `ruling`, ask for; or why that cannot be told.
    pub(crate) fn of(
        world: &'w SchedulerWorld,
        group: &'w Group,
        ruling: &'w Ruling,
    ) -> Result<Self, String> {
        let rules = ruling.rules.as_ref().map_err(|reason| format!("the service's spec: {reason}"))?;
        Ok(Self { group, share: world.demands.of_group(group)?, rules, ruling })
    }

    /// What the service asks of nodes.
    pub(crate) fn rules(&self) -> &'w Rules {
        self.rules
    }

    fn placing(&self, world: &'w SchedulerWorld, now: Timestamp) -> Placing<'w> {
        Placing::new(&world.fleet, self.terms(world, now))
    }

    /// By what they are placed.
    pub(crate) fn terms(&self, world: &'w SchedulerWorld, now: Timestamp) -> Terms<'w> {
        let Self { group, share, rules, ruling } = *self;
        Terms {
            group,
            share,
            rules,
            fittings: world.demands.fittings(group),
            service: &ruling.service,
            book: &world.rules,
            strategy: world.settings.strategy,
            now,
        }
    }
}

fn place_all(world: &SchedulerWorld, ask: Ask<'_>, now: Timestamp, plan: &mut Plan<Change>) {
    let mut placing = ask.placing(world, now);
    let mut claims = Claims::default();
    for waiter in world.pending.tasks(ask.group) {
        let Some(choice) = placing.place(&waiter.key, &waiter.task) else { continue };
        let Some(opening) = choice.node.opening() else { continue };
        plan.write(Change::Place {
            task: waiter.key.clone(),
            spec: waiter.task.clone(),
            claims: claims.claim(choice.node, ask.share, choice.replaced.as_ref()),
            has_status: waiter.said.is_something(),
            node: choice.node.id.clone(),
            node_modified: opening.spec.stamp.modified,
            session_created: opening.session_created,
            service: ask.ruling.service.clone(),
            service_modified: ask.ruling.modified,
        });
    }
}

/// Tasks of a group have the same reason, but for those that could be staged beside the task that they replace, and those
/// that belong to a node.
fn explain_all(world: &SchedulerWorld, ask: Ask<'_>, now: Timestamp, plan: &mut Plan<Change>) {
    let (placing, fleet) = (ask.placing(world, now), &world.fleet);
    let mut shared = None;
    for waiter in world.pending.tasks(ask.group) {
        let home = placing.home(&waiter.key, &waiter.task);
        let reason = || Arc::new(waiting(explain(fleet, &placing, ask.share, home.as_ref()), now));
        let status = match (record::own_node(&waiter.task), &home) {
            (Some(only), _) => {
                // If its node was removed, the task is about to go.
                let Some(node) = fleet.find(only).filter(|(_, node)| node.is_known) else { continue };
                Arc::new(waiting(explain_one(fleet, node, &placing, ask.share, home.as_ref()), now))
            }
            (None, Some(_)) => reason(),
            (None, None) => match freed_by(world, ask, now, waiter) {
                Some(old) => {
                    let reason = explain(fleet, &placing, ask.share, None).freed_by(&old.name);
                    Arc::new(waiting(reason, now))
                }
                None => Arc::clone(shared.get_or_insert_with(reason)),
            },
        };
        tell(waiter, &status, plan);
    }
}

/// The task that `waiter` replaces, if that is all that keeps it from a node: their service keeps its tasks apart over a
/// level, and the old one holds the place of both.
fn freed_by(world: &SchedulerWorld, ask: Ask<'_>, now: Timestamp, waiter: &Waiter) -> Option<TaskId> {
    let replaced = waiter.replaced()?;
    let home = world.fleet.home(&replaced)?;
    let there = world.fleet.node(home)?.ledger.record(&replaced)?;
    there.holding.as_ref().filter(|holding| holding.load.active > 0)?;
    let survey = Survey::new(&world.fleet, ask.terms(world, now)).without_one_on(home)?;
    let mut nodes = world.fleet.known();
    nodes.any(|(node, _)| survey.fits(node)).then_some(replaced)
}

fn waiting(reason: Reason, since: Timestamp) -> TaskStatus {
    TaskStatus {
        draining: None,
        health: None,
        log: Vec::new(),
        running: None,
        state: TaskState::Pending,
        since,
        message: WAITS.to_owned(),
        error: Some(reason.error),
        started: None,
        container: None,
        ports: Vec::new(),
        obstacles: reason.obstacles,
        remedy: reason.remedy,
    }
}

/// Writes `status`, unless the same is said already. People are told once per group.
fn tell(waiter: &Waiter, status: &Arc<TaskStatus>, plan: &mut Plan<Change>) {
    let said = waiter.said.status.as_deref();
    if said.is_some_and(|said| TaskStatus { since: status.since, ..said.clone() } == **status) {
        return;
    }
    if let (true, Some(error)) = (plan.notes.is_empty(), &status.error) {
        plan.warn(format!("Service/{}", waiter.task.service), "NoSuitableNode", error.clone());
    }
    plan.write(Change::Explain {
        task: waiter.key.clone(),
        task_modified: waiter.task.stamp.modified,
        said: waiter.said.expect(),
        status: Arc::clone(status),
    });
}
