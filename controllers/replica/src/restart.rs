//! What follows a task that ended, or whose node is lost, while it was wanted.

use skep_api::node::Availability;
use skep_api::task::{Cause, DesiredState};
use skep_api::time::{Span, Timestamp};
use skep_runtime::plan::{Guard, Plan};
use skep_runtime::tasks::Run;

use crate::change::{Change, Raise, Stop};
use crate::create::{Origin, create};
use crate::policy::{self, Tally};
use crate::scope::Scope;
use crate::slots::SlotView;

/// Gives the task `over`, which is wanted but ended or lost, its one successor, and stops wanting it in the same moment.
///
/// A successor of the same revision is prepared during the restart delay and waits for it. A task that ended before its
/// own delay was over is followed only then, or a missing image would be asked for in a tight loop (SwarmKit's restart
/// supervisor, step 1). A task that the policy does not follow goes on to occupy its slot, until another revision comes.
pub(crate) fn succeed(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    over: &Run<'_>,
    revision: u64,
    plan: &mut Plan<Change>,
) {
    let is_same = over.task.revision == revision;
    let alive = slot.alive_besides(Some(over));
    if !scope.rollout.may_make(revision) || alive.len() > 1 {
        return;
    }
    if (!is_same && !scope.is_rollout_current()) || (is_same && is_given_up(scope, over)) {
        return;
    }
    if let Some(earliest) = over.task.start_after.filter(|at| is_same && *at > scope.at.now) {
        plan.look_again_at(earliest);
        return;
    }
    let predecessor = predecessor(over, alive.first().copied());
    let mut because = scope.unchanged();
    because.push(over.still_over());
    let origin = if is_same {
        let (origin, stands_on) = again(scope, over, predecessor);
        because.extend(stands_on);
        origin
    } else {
        Origin::after(Cause::Update, Some(predecessor), Tally::default())
    };
    let successor = create(scope, &slot.slot, revision, origin);
    plan.warn(scope.regarding(), "TaskReplaced", told(over, successor.task.start_after));
    plan.write(Change::Replace(Stop::new(over, DesiredState::Shutdown, because), successor));
}

/// Whether the restart policy does not follow `over`. Only an end of its own is judged: a task that was lost with its node
/// did nothing wrong, and Swarm's users missed it (`restart: none` and a node that went down).
pub(crate) fn is_given_up(scope: &Scope<'_>, over: &Run<'_>) -> bool {
    over.ended_by_itself() && !policy::may_restart(over, &scope.spec().restart, scope.at.now)
}

/// What the successor of `over` takes over from: what still stops in the slot, or what still runs in it if `over` was
/// prepared to wait for that; else `over` itself. One that was started beside another is tried again beside it.
fn predecessor<'s, 'a>(over: &'s Run<'a>, alive: Option<&'s Run<'a>>) -> &'s Run<'a> {
    alive.filter(|other| !other.is_wanted() || waits_for(over, other)).unwrap_or(over)
}

/// Whether `run` was prepared only, to start when `other` has ended.
pub(crate) fn waits_for(run: &Run<'_>, other: &Run<'_>) -> bool {
    run.task.desired == DesiredState::Ready && run.task.replaces.as_ref() == Some(&other.at.name)
}

fn again(scope: &Scope<'_>, over: &Run<'_>, predecessor: &Run<'_>) -> (Origin, Option<Guard>) {
    let restart = &scope.spec().restart;
    let (tally, delay) = if over.ended_by_itself() {
        let tally = Tally::after(over, restart, scope.at.now);
        let delay = policy::delay(restart, tally.streak);
        (tally, delay)
    } else {
        (Tally::of(&over.task.value), restart.delay)
    };
    let drained = drained(scope, over);
    let has_delay = delay > Span::default() && drained.is_none();
    let origin = Origin {
        start_after: has_delay.then(|| scope.at.now.after(delay)),
        ..Origin::after(Cause::Restart, Some(predecessor), tally)
    };
    (origin, drained)
}

/// What says that the node of `run` is drained: then its successor, which goes elsewhere, waits for nothing (Swarm's rule).
fn drained(scope: &Scope<'_>, run: &Run<'_>) -> Option<Guard> {
    let node = scope.tasks.node(run.at.place.node()?);
    let is_drained = node.spec.is_some_and(|spec| spec.availability == Availability::Drain);
    is_drained.then(|| node.spec_unchanged())
}

/// Lets the prepared task `staged` start once its delay is over and nothing else in the slot is alive; `beside` is a task
/// that goes on meanwhile.
pub(crate) fn promote(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    staged: &Run<'_>,
    beside: Option<&Run<'_>>,
    plan: &mut Plan<Change>,
) {
    if let Some(earliest) = staged.task.start_after.filter(|at| *at > scope.at.now) {
        plan.look_again_at(earliest);
        return;
    }
    let others = slot.alive_besides(Some(staged));
    if others.iter().any(|other| beside.is_none_or(|beside| beside.at != other.at)) {
        return;
    }
    let others = slot.runs.iter().filter(|run| run.at != staged.at && !run.is_alive());
    let stands_on = others.filter(|run| run.is_lost() || staged.task.replaces.as_ref() == Some(&run.at.name));
    let mut because: Vec<Guard> = stands_on.map(Run::still_over).collect();
    if beside.is_some() {
        because.extend(scope.unchanged());
    }
    plan.write(Change::Promote(Raise::new(staged, scope.goal(), because)));
}

fn told(over: &Run<'_>, start_after: Option<Timestamp>) -> String {
    let name = &over.at.name;
    let what = if over.is_lost() {
        format!("the node of {name} is down")
    } else {
        let error = over.status.and_then(|status| status.error.as_deref()).unwrap_or_default();
        let colon = if error.is_empty() { "" } else { ": " };
        format!("{name} ended as {}{colon}{error}", over.state)
    };
    match start_after {
        Some(instant) => format!("{what}; its successor may start at {instant}"),
        None => what,
    }
}
