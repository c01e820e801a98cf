//! How a new task is made, and how a slot without a wanted task gets one.

use std::collections::BTreeMap;

use skep_api::ident::TaskName;
use skep_api::key::{Place, TaskRef};
use skep_api::task::{Cause, DesiredState, Slot, Task};
use skep_api::time::Timestamp;
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Create};
use crate::policy::Tally;
use crate::scope::Scope;
use crate::slots::SlotView;

/// What is special about a new task.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) cause: Cause,
    /// The task that it takes over from.
    pub(crate) replaces: Option<TaskName>,
    /// Whether there is something to wait for before it starts.
    pub(crate) waits: bool,
    pub(crate) start_after: Option<Timestamp>,
    pub(crate) tally: Tally,
}

impl Origin {
    /// A task that starts when `predecessor`, if there is one, has ended.
    pub(crate) fn after(cause: Cause, predecessor: Option<&Run<'_>>, tally: Tally) -> Self {
        let replaces = predecessor.map(|run| run.at.name.clone());
        let waits = predecessor.is_some_and(Run::is_alive);
        Self { cause, replaces, waits, start_after: None, tally }
    }

    /// A task that starts beside `predecessor`, which goes on until this one runs.
    pub(crate) fn beside(cause: Cause, predecessor: &Run<'_>, tally: Tally) -> Self {
        Self { waits: false, ..Self::after(cause, Some(predecessor), tally) }
    }
}

/// Makes a task of `revision` for `slot`. It is prepared only, if there is something to wait for.
pub(crate) fn create(scope: &Scope<'_>, slot: &Slot, revision: u64, origin: Origin) -> Create {
    let name = TaskName::new(&scope.name.name, &slot.to_string(), scope.at.cut);
    let waits = origin.waits || origin.start_after.is_some();
    let mut because = scope.unchanged();
    because.extend(scope.dependencies.iter().cloned());
    Create {
        at: TaskRef { place: Place::Pending, stack: scope.name.stack.clone(), name },
        task: Task {
            uid: scope.uid.clone(),
            service: scope.name.clone(),
            slot: slot.clone(),
            revision,
            desired: if waits { DesiredState::Ready } else { scope.goal() },
            cause: origin.cause,
            replaces: origin.replaces,
            start_after: origin.start_after,
            created: scope.at.now,
            restarts: origin.tally.restarts,
            attempts: origin.tally.attempts,
            streak: origin.tally.streak,
            generic: BTreeMap::new(),
        }
        .into(),
        because,
    }
}

/// What a new task of `revision` is told of those before it that did not fail: what the newest one was told, if it has
/// the same revision. So neither an eviction nor a node that was away gives attempts back, and another revision has all.
pub(crate) fn carried(slot: &SlotView<'_>, revision: u64) -> Tally {
    let newest = slot.kept().next_back().filter(|run| run.task.revision == revision);
    newest.map(|run| Tally::of(&run.task.value)).unwrap_or_default()
}

/// Gives a slot that wants nothing a task, once the rollout speaks of the spec as it is. A task that still stops in
/// the slot is waited for by the new one; while several stop, none is made.
pub(crate) fn fill(scope: &Scope<'_>, slot: &SlotView<'_>, revision: u64, plan: &mut Plan<Change>) {
    let alive = slot.alive_besides(None);
    if !scope.is_rollout_current() || !scope.rollout.may_make(revision) || alive.len() > 1 {
        return;
    }
    let newest = slot.kept().next_back();
    let cause =
        if newest.is_none_or(|run| run.task.revision == revision) { Cause::New } else { Cause::Update };
    let origin = Origin::after(cause, alive.first().copied(), carried(slot, revision));
    plan.write(Change::Create(create(scope, &slot.slot, revision, origin)));
}
