//! How a new task is made, and how a slot without a wanted task gets one.

use skep_api::ident::TaskName;
use skep_api::key::{Place, TaskRef};
use skep_api::task::{Cause, DesiredState, Slot, Task};
use skep_api::time::Timestamp;
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Create};
use crate::scope::Scope;
use crate::slots::SlotView;

/// What is special about a new task.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) cause: Cause,
    /// The task that must have ended before this one starts.
    pub(crate) replaces: Option<TaskName>,
    /// Whether there is something to wait for before it starts.
    pub(crate) waits: bool,
    pub(crate) start_after: Option<Timestamp>,
    pub(crate) restarts: u32,
    pub(crate) streak: u32,
}

impl Origin {
    /// A task that starts when `predecessor`, if there is one, has ended.
    pub(crate) fn after(cause: Cause, predecessor: Option<&Run<'_>>) -> Self {
        let replaces = predecessor.map(|run| run.at.name.clone());
        let waits = predecessor.is_some_and(Run::is_alive);
        Self { cause, replaces, waits, start_after: None, restarts: 0, streak: 0 }
    }
}

/// Makes a task of `revision` for `slot`. It is prepared only, if there is something to wait for.
pub(crate) fn create(scope: &Scope<'_>, slot: &Slot, revision: u64, origin: Origin) -> Create {
    let name = TaskName::new(&scope.name.name, &slot.to_string(), scope.at.cut);
    let waits = origin.waits || origin.start_after.is_some();
    Create {
        at: TaskRef { place: Place::Pending, stack: scope.name.stack.clone(), name },
        task: Task {
            attempts: Vec::new(),
            created: Timestamp::default(),
            uid: scope.uid.clone(),
            service: scope.name.clone(),
            slot: slot.clone(),
            revision,
            desired: if waits { DesiredState::Ready } else { DesiredState::Running },
            cause: origin.cause,
            replaces: origin.replaces,
            start_after: origin.start_after,
            restarts: origin.restarts,
            streak: origin.streak,
        }
        .into(),
        because: scope.unchanged(),
    }
}

/// Gives a slot that wants nothing a task, once the rollout speaks of the spec as it is. A task that still stops in
/// the slot is waited for by the new one; while several stop, none is made.
pub(crate) fn fill(scope: &Scope<'_>, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    let revision = scope.rollout.revision_of(&slot.slot, &slot.revisions());
    let alive = slot.alive_besides(None);
    if !scope.is_rollout_current() || !scope.rollout.may_make(revision) || alive.len() > 1 {
        return;
    }
    let cause = if slot.kept().next().is_none() { Cause::New } else { Cause::Update };
    let origin = Origin::after(cause, alive.first().copied());
    plan.write(Change::Create(create(scope, &slot.slot, revision, origin)));
}
