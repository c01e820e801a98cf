//! The plan for one node: its status, written only when it differs.

use std::sync::Arc;

use skep_api::condition::{self, Truth};
use skep_api::ident::NodeId;
use skep_api::node::{NodeSpec, NodeState, NodeStatus, display_name};
use skep_api::object::Invalid;
use skep_api::time::Timestamp;
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Stamp;

use crate::change::Change;
use crate::summary::{self, CLOCK_SKEW, DISK_PRESSURE};
use crate::verdict::{READY, Verdict, judge};
use crate::world::{NodeWorld, stamp};

/// The condition that says whether what people wrote of a node can be read.
const ACCEPTED: &str = "Accepted";

/// Judges `node`.
pub(crate) fn plan(world: &NodeWorld, node: &NodeId, at: Moment) -> Plan<Change> {
    let mut plan = Plan::default();
    let Some((spec_stamp, spec)) = world.spec(node) else {
        forget(world, node, &mut plan);
        return plan;
    };
    let old = world.statuses.get(node).map(|status| &**status);
    let session = world.session(node);
    let verdict = judge(old, session.is_some(), world.holds_back(), at.now);
    if let Some(instant) = verdict.ends() {
        plan.look_again_at(instant);
    }
    let mut status = summary(world, node, spec_stamp, spec, &verdict, at.now);
    if let Some(instant) = summary::count(&mut status, world.tasks.allocated(node), at.now) {
        plan.look_again_at(instant);
    }
    if old == Some(&status) {
        return plan;
    }
    if condition::find(&status.conditions, READY)
        != old.and_then(|old| condition::find(&old.conditions, READY))
    {
        tell(node, spec.ok(), &verdict, &mut plan);
    }
    tell_troubles(node, spec.ok(), old, &status, &mut plan);
    plan.write(Change::SetStatus {
        node: node.clone(),
        spec_created: spec_stamp.created,
        session: session.unwrap_or(Expect::Absent),
        said: stamp(&world.statuses, node).map_or(Expect::Absent, |stamp| Expect::Modified(stamp.modified)),
        status: Arc::new(status),
    });
    plan
}

fn forget(world: &NodeWorld, node: &NodeId, plan: &mut Plan<Change>) {
    let status = stamp(&world.statuses, node).map(|stamp| stamp.modified);
    let report = stamp(&world.reports, node).map(|stamp| stamp.modified);
    if status.is_some() || report.is_some() {
        plan.write(Change::Forget { node: node.clone(), status, report });
    }
}

/// A spec that does not decode is said to be so; whether the agent lives has nothing to do with it.
fn summary(
    world: &NodeWorld,
    node: &NodeId,
    spec_stamp: Stamp,
    spec: Result<&NodeSpec, &Invalid>,
    verdict: &Verdict,
    now: Timestamp,
) -> NodeStatus {
    let mut status = world.statuses.get(node).map(|old| (*old.value).clone()).unwrap_or_default();
    status.state = verdict.state;
    status.since = verdict.since;
    if let Some(report) = world.reports.get(node) {
        summary::take_over(&mut status, report, now);
    }
    match spec {
        Ok(_) => {
            status.observed_version = spec_stamp.modified;
            condition::set(&mut status.conditions, ACCEPTED, Truth::True, "Valid", "", now);
        }
        Err(invalid) => {
            condition::set(&mut status.conditions, ACCEPTED, Truth::False, "Invalid", &invalid.reason, now);
        }
    }
    condition::set(&mut status.conditions, READY, verdict.ready, verdict.reason, verdict.message, now);
    status
}

fn tell(node: &NodeId, spec: Option<&NodeSpec>, verdict: &Verdict, plan: &mut Plan<Change>) {
    let regarding = format!("Node/{node}");
    let message = format!("{}: {}", display_name(spec, node), verdict.message);
    match verdict.state {
        NodeState::Ready => plan.note(regarding, verdict.reason, message),
        NodeState::Unknown | NodeState::Unreachable | NodeState::Down => {
            plan.warn(regarding, verdict.reason, message);
        }
    }
}

/// Tells people when the disk fills up or the clock differs, and when that is over.
fn tell_troubles(
    node: &NodeId,
    spec: Option<&NodeSpec>,
    old: Option<&NodeStatus>,
    new: &NodeStatus,
    plan: &mut Plan<Change>,
) {
    for kind in [DISK_PRESSURE, CLOCK_SKEW] {
        let was_true = old.is_some_and(|old| condition::is_true(&old.conditions, kind));
        let Some(found) = condition::find(&new.conditions, kind) else { continue };
        let (regarding, name) = (format!("Node/{node}"), display_name(spec, node));
        match (was_true, found.status == Truth::True) {
            (false, true) => plan.warn(regarding, kind, format!("{name}: {}", found.message)),
            (true, false) => plan.note(regarding, kind, format!("{name}: this is over")),
            (true, true) | (false, false) => {}
        }
    }
}
