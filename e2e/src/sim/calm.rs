//! After the storm: everything works again, and the cluster becomes what is wanted, and stays so.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::ident::NodeId;
use tokio::time::Instant;

use super::director::Director;
use super::ground::Ground;
use super::oracle::invariant::{LOST_REPLACED, QUIET};
use super::oracle::rest::Found;

/// How long the cluster may take until it is what is wanted.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(180);
/// How long it may take until what a lost machine ran runs elsewhere: twice the time after which a node is Down, and what
/// it takes to place, pull, start, and to be tried again after a failure.
const REPLACED: Duration = Duration::from_secs(90);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How long it must have written nothing before it counts as at rest.
const SETTLED: Duration = Duration::from_secs(26);
/// The same where tasks are moved to nodes that suit them better: an idle service is looked at once a minute.
const EVENED: Duration = Duration::from_secs(70);
/// How long it must stay so, without a single write.
const REST: Duration = Duration::from_secs(60);

/// Waits until the cluster is at rest and what is wanted, and then watches that it stays so.
pub(crate) async fn converge(ground: &Ground, director: &mut Director) {
    let oracle = &ground.oracle;
    if !settle(ground, director).await {
        return;
    }
    let at_rest = oracle.busy_at();
    watch_over(director, REST).await;
    if oracle.busy_at() != at_rest {
        oracle.accuse(QUIET, format!("r{} was written at rest", oracle.busy_at()));
    }
    if let Err(violation) = oracle.check_rest(&machines(director)) {
        oracle.accuse(violation.invariant, format!("after {REST:?} of rest: {}", violation.detail));
    }
}

/// Waits until the cluster is at rest and what is wanted. Whether it has become so; if not, the oracle knows.
pub(crate) async fn settle(ground: &Ground, director: &mut Director) -> bool {
    let oracle = &ground.oracle;
    let settled = if oracle.is_rebalanced() { EVENED } else { SETTLED };
    let deadline = Instant::now() + CONVERGENCE_LIMIT + settled;
    let replaced_by = Instant::now() + REPLACED;
    let mut busy = (oracle.busy_at(), Instant::now());
    let mut unserved = BTreeMap::new();
    loop {
        watch_over(director, LOOK).await;
        if oracle.violation().is_some() {
            return false;
        }
        if oracle.busy_at() != busy.0 {
            busy = (oracle.busy_at(), Instant::now());
        }
        if Instant::now() >= replaced_by {
            // What is so at two looks is no room that was free for a moment only.
            let now = oracle.unserved(&machines(director));
            if let Some((_, task)) = unserved.iter().find(|(slot, task)| now.get(*slot) == Some(*task)) {
                let detail = format!("{task} is not served elsewhere {REPLACED:?} after the storm");
                oracle.accuse(LOST_REPLACED, detail);
                return false;
            }
            unserved = now;
        }
        let verdict = oracle.check_rest(&machines(director));
        let is_settled = busy.1.elapsed() >= settled;
        let problem = match verdict {
            Ok(()) if is_settled => return true,
            Ok(()) => QUIET.broken("there is still something to write"),
            Err(violation) => violation,
        };
        if Instant::now() >= deadline {
            oracle.accuse(problem.invariant, format!("after {CONVERGENCE_LIMIT:?}: {}", problem.detail));
            return false;
        }
    }
}

/// Waits until every machine is a node that is ready.
pub(crate) async fn wait_for_nodes(ground: &Ground, director: &mut Director) {
    let deadline = Instant::now() + CONVERGENCE_LIMIT;
    while !ground.oracle.are_ready(&machines(director)) && Instant::now() < deadline {
        watch_over(director, LOOK).await;
    }
}

/// Lets time pass; processes that end are started again.
async fn watch_over(director: &mut Director, span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        director.look_after(Duration::ZERO).await;
        director.restart_ended();
        director.end_jobs();
        tokio::time::sleep(LOOK.min(span)).await;
    }
}

/// The containers of the machines that are there.
pub(crate) fn machines(director: &Director) -> BTreeMap<NodeId, Vec<Found>> {
    let present = director.processes.iter().filter(|process| !director.is_lost(process));
    present
        .filter_map(|process| process.machine.as_ref())
        .map(|machine| (machine.node.clone(), machine.found()))
        .collect()
}
