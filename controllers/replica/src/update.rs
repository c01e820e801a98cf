//! How a slot comes from one revision to another: prepare the new task, stop the old one, start the new one.

use skep_api::task::{Cause, DesiredState, Obstacle, TaskState};
use skep_runtime::plan::Plan;
use skep_runtime::tasks::Run;

use crate::change::{Change, Stop};
use crate::create::{Origin, create};
use crate::scope::Scope;
use crate::slots::SlotView;

/// The filters of the scheduler that may let a node through once a task there has stopped. No stop helps against others.
const FREED_BY_A_STOP: [&str; 4] = ["cpus", "memory", "host-port", "max-replicas"];

/// How many more slots may go down by a stop of ours. Slots that are down by failure or node loss do not count.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
}

impl Budget {
    /// What `parallelism` (0: no limit) leaves when `slots` are as they are.
    pub(crate) fn new<'a: 'b, 'b>(parallelism: u32, slots: impl Iterator<Item = &'b SlotView<'a>>) -> Self {
        let limit = if parallelism == 0 { u32::MAX } else { parallelism };
        let down = slots.filter(|slot| is_down_by_us(slot)).count();
        Self { left: limit.saturating_sub(u32::try_from(down).unwrap_or(u32::MAX)) }
    }

    fn take(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Whether the slot does not serve because its task had to go. It counts until the new one runs, even if that one
/// cannot be placed.
fn is_down_by_us(slot: &SlotView<'_>) -> bool {
    let is_ours = |run: &Run<'_>| run.is_alive() && matches!(run.task.cause, Cause::Update | Cause::Evict);
    slot.serving().is_none() && slot.wanted().any(is_ours)
}

/// Makes the successor of `current`, which is alive, has another revision than the slot should. It is only prepared
/// while `current` goes on; a task that nobody has placed yet makes way at once.
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
    let predecessor = if is_placed { Some(current) } else { others.first().copied() };
    let successor = create(scope, &slot.slot, revision, Origin::after(Cause::Update, predecessor));
    plan.write(if is_placed {
        Change::Create(successor)
    } else {
        Change::Replace(Stop::new(current, DesiredState::Shutdown, scope.unchanged()), successor)
    });
}

/// Whether the prepared task `staged` is no longer needed.
pub(crate) fn is_obsolete(staged: &Run<'_>, current: Option<&Run<'_>>, revision: u64) -> bool {
    let is_settled = current.is_some_and(|current| current.is_alive() && current.task.revision == revision);
    staged.task.revision != revision || is_settled
}

/// Stops `current`, so that `staged` can take over: when `staged` is ready, or when nothing fits while `current` lives.
/// A task that does not run is not missed by anybody.
pub(crate) fn hand_over(
    scope: &Scope<'_>,
    current: &Run<'_>,
    staged: &Run<'_>,
    budget: &mut Budget,
    plan: &mut Plan<Change>,
) {
    if let Some(earliest) = staged.task.start_after.filter(|at| current.is_alive() && *at > scope.at.now) {
        plan.look_again_at(earliest);
        return;
    }
    let is_needless = !current.is_alive() || current.state != TaskState::Running;
    let is_stuck = staged.status.is_some_and(|status| status.obstacles.iter().any(may_go_with_a_task));
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
    plan.write(Change::Stop(Stop::new(current, DesiredState::Shutdown, because)));
}

fn may_go_with_a_task(obstacle: &Obstacle) -> bool {
    FREED_BY_A_STOP.contains(&obstacle.filter.as_str())
}
