//! How many slots may be without a task that serves, or on their way to another node, at once.

use skep_api::task::Cause;
use skep_runtime::tasks::Run;

use crate::evict;
use crate::scope::Scope;
use crate::slots::SlotView;

/// What the parallelism of the service leaves. Slots that are down by failure or node loss do not count.
#[derive(Debug)]
pub(crate) struct Budget {
    /// How many more slots may go down by a stop of ours.
    down: u32,
    /// How many more slots may begin to leave their node.
    moves: u32,
    /// Whether a slot has to leave its node: those that only would be better elsewhere wait.
    is_needed: bool,
}

impl Budget {
    /// What is left when `slots` are as they are.
    pub(crate) fn new<'a: 'b, 'b>(scope: &Scope<'_>, slots: impl Iterator<Item = &'b SlotView<'a>>) -> Self {
        let parallelism = scope.policy().parallelism;
        let limit = if parallelism == 0 { u32::MAX } else { parallelism };
        let (mut down, mut moving, mut is_needed) = (0_u32, 0_u32, false);
        for slot in slots {
            let is_down = is_down_by_us(slot);
            down = down.saturating_add(is_down.into());
            moving = moving.saturating_add((is_down || is_leaving(scope, slot)).into());
            is_needed |= slot.wanted().any(|run| run.is_alive() && evict::must_leave(run));
        }
        Self { down: limit.saturating_sub(down), moves: limit.saturating_sub(moving), is_needed }
    }

    /// Takes one stop.
    pub(crate) fn take(&mut self) -> bool {
        take(&mut self.down)
    }

    /// Takes the beginning of one move.
    pub(crate) fn take_move(&mut self) -> bool {
        take(&mut self.moves)
    }

    /// Takes the beginning of a move that nobody needs.
    pub(crate) fn take_better_place(&mut self) -> bool {
        !self.is_needed && self.take_move()
    }
}

fn take(left: &mut u32) -> bool {
    let may = *left > 0;
    *left = left.saturating_sub(1);
    may
}

/// Whether the slot does not serve because its task had to go. It counts until the new one runs, even if that one
/// cannot be placed, or is not made before the old one has ended.
fn is_down_by_us(slot: &SlotView<'_>) -> bool {
    let is_ours = |run: &Run<'_>| run.is_alive() && matches!(run.task.cause, Cause::Update | Cause::Evict);
    let is_stopping = slot.wanted().next().is_none() && !slot.alive_besides(None).is_empty();
    slot.serving().is_none() && (is_stopping || slot.wanted().any(is_ours))
}

/// Whether the slot has begun to leave its node: it counts until the old task is told to stop. A move that nobody needs has failed
/// with its task, and holds nothing up.
fn is_leaving(scope: &Scope<'_>, slot: &SlotView<'_>) -> bool {
    let cast = slot.cast(scope.rollout.revision_of(&slot.slot, &slot.revisions()));
    let goes_on = |next: &Run<'_>, current: &Run<'_>| {
        evict::must_leave(current) || evict::may_move(current) && next.is_alive()
    };
    cast.next.zip(cast.current).is_some_and(|(next, current)| goes_on(next, current))
}
