//! How a slot comes from one task to another that it should have: stop-first, the new one is prepared, the old one stopped,
//! the new one started; start-first, the new one runs before the old one is stopped.
//!
//! Which of the two it is, is told by the new task itself: one that is wanted READY and replaces the old one waits for it,
//! any other one comes beside it. So an edit of `order` changes nothing that is under way.

use skep_api::task::{Cause, DesiredState, Obstacle, TaskState};
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::budget::Budget;
use crate::change::{Change, Stop};
use crate::create::{Origin, carried, create};
use crate::evict;
use crate::policy::Tally;
use crate::restart;
use crate::scope::Scope;
use crate::slots::SlotView;

/// The filters of the scheduler that may let a node through once a task there has stopped. No stop helps against others.
const FREED_BY_A_STOP: [&str; 6] = ["cpus", "memory", "generic", "host-port", "max-replicas", "affinity"];

/// Makes the successor of `current`, which is alive and has another revision than the slot should; a task that nobody has
/// placed yet makes way at once.
pub(crate) fn stage(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    current: &Run<'_>,
    revision: u64,
    plan: &mut Plan<Change>,
) {
    let others = slot.alive_besides(Some(current));
    let is_placed = current.at.place.node().is_some();
    if !scope.is_rollout_current()
        || !scope.rollout.may_make(revision)
        || others.len() > usize::from(!is_placed)
    {
        return;
    }
    let tally = carried(slot, revision);
    plan.write(if is_placed {
        let origin = in_order(scope, Cause::Update, current, tally);
        Change::Create(create(scope, &slot.slot, revision, origin))
    } else {
        let origin = Origin::after(Cause::Update, others.first().copied(), tally);
        let stop = Stop::new(current, DesiredState::Shutdown, scope.unchanged());
        Change::Replace(stop, create(scope, &slot.slot, revision, origin))
    });
}

/// A task that takes over from `current` in the order that the service asks for.
pub(crate) fn in_order(scope: &Scope<'_>, cause: Cause, current: &Run<'_>, tally: Tally) -> Origin {
    if scope.is_start_first() {
        Origin::beside(cause, current, tally)
    } else {
        Origin::after(cause, Some(current), tally)
    }
}

/// Whether `next` is no longer needed: it has not the right revision, or `current` has and need not leave. One that waits for
/// `current` to stop was made when it had to: to a better place, the new task goes first.
pub(crate) fn is_obsolete(next: &Run<'_>, current: Option<&Run<'_>>, revision: u64) -> bool {
    let may_stay = |current: &Run<'_>| {
        let is_moved = evict::may_move(current) && !restart::waits_for(next, current);
        current.is_alive() && current.task.revision == revision && !evict::must_leave(current) && !is_moved
    };
    next.task.revision != revision || current.is_some_and(may_stay)
}

/// Whether `next` was only made because `current`, which goes on, would be better elsewhere.
pub(crate) fn is_move(current: &Run<'_>, next: &Run<'_>) -> bool {
    current.is_alive() && evict::may_move(current) && current.task.revision == next.task.revision
}

/// The next step of a slot in which `next` is to take over from `current`.
pub(crate) fn take_over(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    (current, next): (&Run<'_>, &Run<'_>),
    budget: &mut Budget,
    plan: &mut Plan<Change>,
) {
    if current.is_alive() && !restart::waits_for(next, current) {
        beside(scope, slot, (current, next), plan);
    } else {
        hand_over(scope, (current, next), budget, plan);
    }
}

/// Stops `current`, so that `staged` can take over: when `staged` is ready, or when nothing fits while `current` lives.
/// A task that does not run is not missed by anybody.
fn hand_over(
    scope: &Scope<'_>,
    (current, staged): (&Run<'_>, &Run<'_>),
    budget: &mut Budget,
    plan: &mut Plan<Change>,
) {
    let is_hurried = evict::is_hurried(current);
    let earliest = staged.task.start_after.filter(|at| current.is_alive() && *at > scope.at.now);
    if let Some(earliest) = earliest.filter(|_| !is_hurried) {
        plan.look_again_at(earliest);
        return;
    }
    let is_needless = !current.is_alive() || current.state != TaskState::Running || is_hurried;
    let is_stuck = obstacle_of(current, staged).is_some();
    let is_ready = staged.state >= TaskState::Ready;
    if !is_needless && (!(is_ready || is_stuck) || !budget.take()) {
        return;
    }
    if is_stuck && !is_needless {
        let (new, old) = (&staged.at.name, &current.at.name);
        plan.note(scope.regarding(), "StoppedFirst", format!("{new} fits nowhere while {old} runs"));
    }
    let mut because = scope.unchanged();
    because.extend([staged.unchanged(), staged.status_unchanged(), current.still_over()]);
    because.extend(current.eviction.map(|_| current.eviction_unchanged()));
    plan.write(Change::Stop(Stop::new(current, DesiredState::Shutdown, because)));
}

/// Waits until `next` runs: then it is the current task, and `current` one too many. A further attempt is started when its
/// delay is over.
fn beside(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    (current, next): (&Run<'_>, &Run<'_>),
    plan: &mut Plan<Change>,
) {
    if evict::is_hurried(current) {
        let because = [scope.unchanged(), vec![current.eviction_unchanged()]].concat();
        plan.write(Change::Stop(Stop::new(current, DesiredState::Shutdown, because)));
    } else if let Some(obstacle) = obstacle_of(current, next) {
        fall_back(scope, slot, (current, next), obstacle, plan);
    } else if next.task.desired == DesiredState::Ready {
        restart::promote(scope, slot, next, Some(current), plan);
    }
}

/// Makes `next`, which fits nowhere while `current` is there, one that is prepared and waits for `current` to stop. So the
/// image is there before the old task goes, and what both need is shared (Swarm waits for ever, moby#40797).
fn fall_back(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    (current, next): (&Run<'_>, &Run<'_>),
    obstacle: &Obstacle,
    plan: &mut Plan<Change>,
) {
    let origin = Origin {
        start_after: next.task.start_after,
        ..Origin::after(next.task.cause, Some(current), Tally::of(&next.task.value))
    };
    let message = format!(
        "slot {}: {} does not fit while {} runs ({}: {}); the old task is stopped before the new one starts",
        slot.slot, next.at.name, current.at.name, obstacle.filter, obstacle.detail
    );
    plan.note(scope.regarding(), "FellBackToStopFirst", message);
    let successor = create(scope, &slot.slot, next.task.revision, origin);
    plan.write(Change::Replace(Stop::new(next, DesiredState::Shutdown, scope.unchanged()), successor));
}

/// What keeps `next` from being placed, if it may go when `current` stops. What a task frees on a node that it has to leave
/// is of no use to its successor, unless it keeps it from the nodes around as well; and to move it to a better place it is
/// not stopped.
fn obstacle_of<'a>(current: &Run<'_>, next: &Run<'a>) -> Option<&'a Obstacle> {
    if is_move(current, next) || next.at.place.node().is_some() {
        return None;
    }
    let mut obstacles = next.status.into_iter().flat_map(|status| &status.value.obstacles);
    if evict::must_leave(current) {
        return obstacles.find(|obstacle| obstacle.freed_by.as_ref() == Some(&current.at.name));
    }
    obstacles.find(|obstacle| FREED_BY_A_STOP.contains(&obstacle.filter.as_str()))
}
