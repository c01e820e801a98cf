//! How a task leaves a node that is drained, or that is no longer one of those that the service asks for; and how it moves to a
//! node that suits it better, which is only worth while if nobody notices.
//!
//! It never counts as an attempt: what the task was told of those before it is told to its successor unchanged.

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::task::{Cause, DesiredState, TaskState};
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::budget::Budget;
use crate::change::{Change, Stop};
use crate::create::{Origin, create};
use crate::policy::Tally;
use crate::scope::Scope;
use crate::slots::SlotView;
use crate::update::in_order;

/// Whether the task of `run` cannot stay where it is: every request says so, but that to move to a better node.
pub(crate) fn must_leave(run: &Run<'_>) -> bool {
    run.eviction.is_some_and(|eviction| eviction.reason != EvictionReason::Rebalance)
}

/// Whether it must leave at once.
pub(crate) fn is_hurried(run: &Run<'_>) -> bool {
    must_leave(run) && run.eviction.is_some_and(|eviction| eviction.now)
}

/// Whether the task of `run` may stay where it is, but would be better elsewhere.
pub(crate) fn may_move(run: &Run<'_>) -> bool {
    let is_asked = |eviction: &Eviction| eviction.reason == EvictionReason::Rebalance;
    run.eviction.is_some_and(|eviction| is_asked(eviction))
}

/// The next step for `current`, which is alive, has the right revision, and would be better elsewhere: its successor runs before it
/// is stopped, whatever the service's order. Nothing is begun while a task of the service must leave. What is not running
/// yet, a job, which would lose its work, and a global task, which has nowhere to go, stay where they are.
pub(crate) fn move_over(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    current: &Run<'_>,
    budget: &mut Budget,
    plan: &mut Plan<Change>,
) {
    let revision = current.task.revision;
    let is_alone = slot.alive_besides(Some(current)).is_empty();
    let may_make = scope.rollout.may_make(revision) && is_alone;
    let is_movable = !scope.is_global() && !scope.is_job() && current.state == TaskState::Running;
    if is_movable && may_make && budget.take_better_place() {
        let origin = Origin::beside(Cause::Evict, current, Tally::of(&current.task.value));
        let mut successor = create(scope, &slot.slot, revision, origin);
        successor.because.extend([
            current.eviction_unchanged(),
            current.unchanged(),
            current.status_unchanged(),
        ]);
        plan.write(Change::Create(successor));
    }
}

/// The next step for `current`, which is alive, has the right revision, and has to leave. It goes on until its successor is
/// ready, or runs, as in an update, unless people are in a hurry. A job is stopped at once, as by Swarm: nobody is served
/// by it. A global task has no other node to go to.
pub(crate) fn leave(
    scope: &Scope<'_>,
    slot: &SlotView<'_>,
    current: &Run<'_>,
    budget: &mut Budget,
    plan: &mut Plan<Change>,
) {
    let revision = current.task.revision;
    let others = slot.alive_besides(Some(current));
    let may_make = scope.rollout.may_make(revision) && others.is_empty() && !scope.is_global();
    let is_hurried = is_hurried(current) || scope.is_job();
    let tally = Tally::of(&current.task.value);
    let because = || [scope.unchanged(), vec![current.eviction_unchanged()]].concat();
    let stop = || Stop::new(current, DesiredState::Shutdown, because());
    if is_hurried || scope.is_global() {
        let origin = Origin::after(Cause::Evict, Some(current), tally);
        plan.write(if may_make {
            Change::Replace(stop(), create(scope, &slot.slot, revision, origin))
        } else {
            Change::Stop(stop())
        });
    } else if may_make && budget.take_move() {
        let mut successor =
            create(scope, &slot.slot, revision, in_order(scope, Cause::Evict, current, tally));
        successor.because.push(current.eviction_unchanged());
        plan.write(Change::Create(successor));
    } else if !scope.rollout.may_make(revision) && budget.take() {
        // No task is made any more of what it runs, so nothing can be prepared: the slot is filled when it has ended.
        plan.write(Change::Stop(stop()));
    }
}

/// The next step for `next`, which is alive, has not run yet, and has to leave. Its successor waits for what it waited for.
pub(crate) fn turn_away(scope: &Scope<'_>, slot: &SlotView<'_>, next: &Run<'_>, plan: &mut Plan<Change>) {
    let because = [scope.unchanged(), vec![next.eviction_unchanged()]].concat();
    let stop = Stop::new(next, DesiredState::Shutdown, because);
    let is_alone = slot.alive_besides(Some(next)).is_empty();
    let may_make = scope.rollout.may_make(next.task.revision) && !scope.is_global();
    plan.write(if is_alone && may_make {
        let origin = Origin {
            start_after: next.task.start_after,
            ..Origin::after(Cause::Evict, Some(next), Tally::of(&next.task.value))
        };
        Change::Replace(stop, create(scope, &slot.slot, next.task.revision, origin))
    } else {
        Change::Stop(stop)
    });
}
