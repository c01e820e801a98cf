//! The plan for one group: places what fits, and once nothing fits any more, says why.

use std::sync::Arc;

use skep_api::key::TaskRef;
use skep_api::task::{Task, TaskState, TaskStatus};
use skep_api::time::Timestamp;
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::explain::{Reason, explain, explain_one};
use crate::load::Load;
use crate::node::Node;
use crate::place::Placing;
use crate::record;
use crate::rules::{Rules, Ruling};
use crate::subject::Group;
use crate::world::SchedulerWorld;

/// SwarmKit's message of a task that waits (`manager/allocator/network.go`).
const WAITS: &str = "pending task scheduling";

/// What the tasks of a group ask for.
#[derive(Clone, Copy)]
struct Ask<'w> {
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
    // Tasks of a service that is gone are about to go.
    let Some(ruling) = world.rules.of(&group.service) else { return plan };
    match Ask::of(world, group, ruling) {
        Ok(ask) => {
            place_all(world, ask, &mut plan);
            if plan.changes.is_empty() {
                explain_all(world, ask, at.now, &mut plan);
            }
        }
        Err(error) => {
            let reason = Arc::new(waiting(Reason { error, obstacles: Vec::new() }, at.now));
            for (key, task) in world.pending.tasks(group) {
                tell(world, key, task, &reason, &mut plan);
            }
        }
    }
    plan
}

impl<'w> Ask<'w> {
    fn of(world: &'w SchedulerWorld, group: &'w Group, ruling: &'w Ruling) -> Result<Self, String> {
        let rules = ruling.rules.as_ref().map_err(|reason| format!("the service's spec: {reason}"))?;
        Ok(Self { group, share: world.demands.of_group(group)?, rules, ruling })
    }

    fn placing(&self, world: &'w SchedulerWorld) -> Placing<'w> {
        Placing::new(&world.fleet, self.group, self.share, self.rules)
    }
}

fn place_all(world: &SchedulerWorld, ask: Ask<'_>, plan: &mut Plan<Change>) {
    let mut placing = ask.placing(world);
    for (key, task) in world.pending.tasks(ask.group) {
        let node = placing.place(key, task);
        if let Some(change) = node.and_then(|node| placed(world, ask.ruling, key, task, node)) {
            plan.write(change);
        }
    }
}

fn placed(
    world: &SchedulerWorld,
    ruling: &Ruling,
    key: &TaskRef,
    task: &Versioned<Task>,
    node: &Node,
) -> Option<Change> {
    let opening = node.opening()?;
    Some(Change::Place {
        task: key.clone(),
        spec: task.clone(),
        has_status: world.pending.statuses().has(key),
        node: node.id.clone(),
        node_modified: opening.spec.stamp.modified,
        session_created: opening.session_created,
        service: ruling.service.clone(),
        service_modified: ruling.modified,
    })
}

/// Tasks of a group have the same reason, but for those that could be staged beside the task that they replace, and those
/// that belong to a node.
fn explain_all(world: &SchedulerWorld, ask: Ask<'_>, now: Timestamp, plan: &mut Plan<Change>) {
    let (placing, fleet) = (ask.placing(world), &world.fleet);
    let mut shared = None;
    for (key, task) in world.pending.tasks(ask.group) {
        let home = placing.home(key, task);
        let reason = || Arc::new(waiting(explain(fleet, &placing, ask.share, home.as_ref()), now));
        let status = match (record::own_node(task), &home) {
            (Some(only), _) => {
                // If its node was removed, the task is about to go.
                let Some(node) = fleet.find(only).filter(|(_, node)| node.is_known) else { continue };
                Arc::new(waiting(explain_one(node, &placing, ask.share, home.as_ref()), now))
            }
            (None, Some(_)) => reason(),
            (None, None) => Arc::clone(shared.get_or_insert_with(reason)),
        };
        tell(world, key, task, &status, plan);
    }
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
        remedy: None,
    }
}

/// Writes `status`, unless the same is said already. People are told once per group.
fn tell(
    world: &SchedulerWorld,
    key: &TaskRef,
    task: &Versioned<Task>,
    status: &Arc<TaskStatus>,
    plan: &mut Plan<Change>,
) {
    let said = world.pending.statuses().get(key);
    if said.is_some_and(|said| TaskStatus { since: status.since, ..(*said.value).clone() } == **status) {
        return;
    }
    if let (true, Some(error)) = (plan.notes.is_empty(), &status.error) {
        plan.warn(format!("Service/{}", task.service), "NoSuitableNode", error.clone());
    }
    let invalid = world.pending.statuses().invalid(key).map(|(_, stamp)| Expect::Modified(stamp.modified));
    plan.write(Change::Explain {
        task: key.clone(),
        task_modified: task.stamp.modified,
        said: said.map(Versioned::modified).or(invalid).unwrap_or(Expect::Absent),
        status: Arc::clone(status),
    });
}
