//! Asks that tasks leave a node that no longer suits them, and takes that back when it does again (SwarmKit's constraint
//! enforcer, `manager/orchestrator/constraintenforcer`).
//!
//! Only nodes that are active are looked at, and only tasks that could go elsewhere: those of global services are told by
//! the replica controller itself. What does not decode is a reason for nothing, neither to ask nor to take back.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::ident::NodeId;
use skep_api::key::TaskRef;
use skep_api::node::{Availability, NodeState};
use skep_api::task::Task;
use skep_api::time::Timestamp;
use skep_runtime::plan::Plan;
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::claims;
use crate::crowd::Crowd;
use crate::node::{Node, NodeNumber};
use crate::rebalance;
use crate::record::{Record, Request, TaskId, may_move};
use crate::rules::RuleBook;
use crate::words::platform_of;
use crate::world::SchedulerWorld;

/// SwarmKit's error of a task that the enforcer rejects.
const UNFIT: &str = "assigned node no longer meets constraints";

/// Whether a task may stay where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may, as far as the scheduler has a say in it.
    Stays,
    /// It may not, and why.
    Leaves(String),
    /// That cannot be told.
    Unknown,
}

/// Asks, and takes back, for all tasks of the node `id`.
pub(crate) fn plan(world: &SchedulerWorld, id: &NodeId, now: Timestamp) -> Plan<Change> {
    let mut plan = Plan::default();
    let Some((number, node)) = world.fleet.find(id) else { return plan };
    let verdicts = verdicts(&world.rules, node);
    let mut first = None;
    for (task, record) in node.ledger.records() {
        let verdict = verdicts.get(task).unwrap_or(&Verdict::Unknown);
        match (record.eviction, verdict) {
            (None, Verdict::Leaves(why)) => {
                let because = (EvictionReason::Constraint, format!("{UNFIT}: {why}"));
                if let Some(change) = request(world, node, task, because, now) {
                    first.get_or_insert(why);
                    plan.write(change);
                }
            }
            (Some(Request { reason: Some(EvictionReason::Constraint), modified }), verdict)
                if *verdict == Verdict::Stays || record.is_over() || !node.is_known =>
            {
                plan.write(Change::TakeBack { task: task.on(id), modified });
            }
            (Some(Request { reason: Some(EvictionReason::Rebalance), modified }), _)
                if record.is_over() || !node.is_known || is_moot(world, number, task, record, now) =>
            {
                plan.write(Change::TakeBack { task: task.on(id), modified });
            }
            (None, Verdict::Stays | Verdict::Unknown) | (Some(_), _) => {}
        }
    }
    if let Some(why) = first {
        let message = format!("{}: {UNFIT}: {why}", node.name());
        plan.warn(format!("Node/{id}"), "TasksMustLeave", message);
    }
    plan
}

/// Whether `task`, which was asked to move to a better node, may stay: its successor finds none, or there is neither a
/// successor nor a better node.
fn is_moot(world: &SchedulerWorld, node: NodeNumber, id: &TaskId, record: &Record, now: Timestamp) -> bool {
    let Some(task) = record.wanted() else { return false };
    let mut successors =
        world.fleet.succession.of(id).filter(|(_, successor)| successor.is_wanted).peekable();
    if successors.peek().is_none() {
        return !rebalance::is_better_elsewhere(world, &task.uid, node, now);
    }
    successors.any(|(at, _)| world.pending.is_stuck(at) || is_lost(world, at))
}

/// Whether the task at `at` has ended, or its node is gone or will not come back soon: it is not tried again.
fn is_lost(world: &SchedulerWorld, at: &TaskRef) -> bool {
    let Some(node) = at.place.node() else { return false };
    world.fleet.find(node).is_none_or(|(_, node)| {
        let has_ended = node.ledger.record(&TaskId::of(at)).is_some_and(|record| record.end().is_some());
        has_ended || !node.is_known || node.state == NodeState::Down
    })
}

/// Whether something that happened to `task` may be a reason to plan its node: to be asked for each event, so it looks at
/// that task alone.
pub(crate) fn concerns(rules: &RuleBook, node: &Node, task: &TaskId) -> bool {
    let wanted = node.ledger.record(task).and_then(Record::wanted);
    node.ledger.has_evictions()
        || Crowd::is_possible(node)
        || wanted.is_some_and(|task| matches!(judge(rules, node, task), Verdict::Leaves(_)))
}

/// The verdicts on all tasks of `node` that are wanted and have not ended.
fn verdicts(rules: &RuleBook, node: &Node) -> BTreeMap<TaskId, Verdict> {
    let records = node.ledger.records();
    let wanted: Vec<_> = records.filter_map(|(id, record)| Some((id, record, record.wanted()?))).collect();
    let mut verdicts: BTreeMap<TaskId, Verdict> =
        wanted.iter().map(|(id, _, task)| ((*id).clone(), judge(rules, node, task))).collect();
    let Some(mut crowd) = Crowd::of(node) else { return verdicts };
    let (mut movable, mut fixed) = (Vec::new(), Vec::new());
    for (id, record, task) in wanted {
        match verdicts.get(id) {
            Some(Verdict::Stays) if may_move(task) => movable.push((id.name.planned_at(), id, record)),
            Some(Verdict::Stays | Verdict::Unknown) => fixed.push((id, record)),
            Some(Verdict::Leaves(_)) | None => {}
        }
    }
    for (id, record) in fixed {
        crowd.keep(id, record);
    }
    movable.sort_by_key(|(age, id, _)| (*age, *id));
    for (_, id, record) in movable {
        match crowd.lacks(id, record) {
            None => crowd.keep(id, record),
            Some(lack) => drop(verdicts.insert(id.clone(), Verdict::Leaves(format!("it needs {lack}")))),
        }
    }
    verdicts
}

/// Whether `task` may stay on `node`, by the rules that its service has now.
fn judge(rules: &RuleBook, node: &Node, task: &Task) -> Verdict {
    let Some(spec) = &node.spec else { return Verdict::Unknown };
    if spec.availability != Availability::Active || !may_move(task) {
        return Verdict::Stays;
    }
    let (Some(report), Some(Ok(rules))) = (&node.report, rules.of(&task.uid).map(|ruling| &ruling.rules))
    else {
        return Verdict::Unknown;
    };
    if let Some(constraint) = rules.unmet(&node.facts(spec)).next() {
        Verdict::Leaves(constraint.to_string())
    } else if !rules.runs_on(Some(&report.platform)) {
        Verdict::Leaves(format!("the image does not run on {}", platform_of(report)))
    } else if let Some((kind, value)) = claims::lost(report, task) {
        Verdict::Leaves(format!("it holds {kind} {value}, which the node no longer has"))
    } else {
        Verdict::Stays
    }
}

/// The request that the task `id`, which is on `node`, leave it, standing on all that it was judged by.
pub(crate) fn request(
    world: &SchedulerWorld,
    node: &Node,
    id: &TaskId,
    (reason, message): (EvictionReason, String),
    since: Timestamp,
) -> Option<Change> {
    let task: &Versioned<Task> = node.ledger.record(id)?.wanted()?;
    let ruling = world.rules.of(&task.uid)?;
    Some(Change::AskToLeave {
        task: id.on(&node.id),
        task_modified: task.stamp.modified,
        node_modified: node.spec.as_ref()?.stamp.modified,
        report_modified: node.report.as_ref()?.stamp.modified,
        service: ruling.service.clone(),
        service_modified: ruling.modified,
        eviction: Arc::new(Eviction { reason, message, since, now: false }),
    })
}
