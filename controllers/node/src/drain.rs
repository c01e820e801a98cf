//! Asks the tasks of nodes that people drain to leave, and takes that back when the node is open again.
//!
//! How they leave is the replica controller's matter: as in an update, or at once if the request says `now`.

use std::sync::Arc;

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::key::TaskRef;
use skep_api::node::{Availability, DrainMode, NodeSpec, display_name};
use skep_api::time::Timestamp;
use skep_runtime::plan::{Expect, Plan};
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::household::{Record, Request};
use crate::world::NodeWorld;

/// Whether `spec` says that tasks must leave.
pub(crate) fn is_drained(spec: &NodeSpec) -> bool {
    spec.availability == Availability::Drain
}

/// Asks `at` to leave its node, or takes that back. Of requests that the scheduler made nothing is changed, but for those
/// that may be taken back at any time: a task that would be better elsewhere must leave if its node is drained.
pub(crate) fn plan(world: &NodeWorld, at: &TaskRef, now: Timestamp) -> Plan<Change> {
    let mut plan = Plan::default();
    let (Some(node), Some(record)) = (at.place.node(), world.tasks.get(at)) else { return plan };
    let spec = world.specs.get(node);
    let drained = spec.filter(|spec| is_drained(spec));
    // What was on a node that people have removed counts as ended from that revision on.
    let is_over = record.is_over() || !world.specs.has(node);
    let is_pointless = is_over || spec.is_some() && drained.is_none();
    let change = match &record.eviction {
        None => drained.and_then(|spec| ask(at, spec, record, Expect::Absent, now)),
        Some(Request { eviction: Some(said), .. }) if said.reason == EvictionReason::Constraint => None,
        Some(Request { eviction: Some(said), modified }) if said.reason == EvictionReason::Rebalance => {
            drained.and_then(|spec| ask(at, spec, record, Expect::Modified(*modified), now))
        }
        Some(request) if is_pointless => Some(take_back(at, request)),
        Some(Request { eviction: Some(said), modified }) => drained
            .filter(|spec| is_now(spec) != said.now)
            .and_then(|spec| ask(at, spec, record, Expect::Modified(*modified), said.since)),
        // It says nothing, so nobody can act on it: it is made again.
        Some(request) => drained.map(|_| take_back(at, request)),
    };
    if let Some(change) = change {
        plan.write(change);
    }
    plan
}

fn is_now(spec: &NodeSpec) -> bool {
    spec.drain == DrainMode::Now
}

fn ask(
    at: &TaskRef,
    spec: &Versioned<NodeSpec>,
    record: &Record,
    said: Expect,
    since: Timestamp,
) -> Option<Change> {
    let node = at.place.node()?;
    let eviction = Eviction {
        reason: EvictionReason::Drain,
        message: format!("node {} is drained", display_name(Some(spec), node)),
        since,
        now: is_now(spec),
    };
    Some(Change::AskToLeave {
        task: at.clone(),
        task_modified: record.wanted()?.stamp.modified,
        node_modified: spec.stamp.modified,
        said,
        eviction: Arc::new(eviction),
    })
}

fn take_back(at: &TaskRef, request: &Request) -> Change {
    Change::TakeBack { task: at.clone(), modified: request.modified }
}
