//! How far the slots are on their way to the target, and whose turn is next.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::rollout::{Batch, Rollout, RolloutState, Waiting};
use skep_api::service::RestartCondition;
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_api::time::Span;
use skep_runtime::tasks::Run;

use crate::failure;
use crate::scope::Scope;
use crate::world::World;

/// How far a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has no task of the target.
    Behind,
    /// It has one, or had one, which does not run.
    Moving,
    /// A task of the target runs in it, or did all that was asked of it.
    There,
}

/// The slots of a service on their way to one revision. Slots that are being removed do not count, nor do those of a global
/// service on nodes that are paused: nothing is updated there (Swarm 12.24).
#[derive(Debug)]
pub(crate) struct Slots {
    stages: BTreeMap<Slot, Stage>,
    /// How many slots the service shall have, if its spec says so.
    replicas: Option<u32>,
}

impl Slots {
    /// How far each slot is on its way to the revision `target`, in a rollout in `state`.
    pub(crate) fn of(world: &World, scope: &Scope<'_>, target: u64, state: RolloutState) -> Self {
        let monitor = scope.policy(state).monitor;
        let is_frozen = |slot: &Slot| matches!(slot, Slot::Node(node) if world.tasks.node(node).is_paused());
        let slots = world.tasks.slots(scope.uid).into_iter().filter(|(slot, _)| !is_frozen(slot));
        let is_done = |run: &Run<'_>| is_done(scope, run, monitor);
        let known =
            |(slot, runs): (&Slot, Vec<Run<'_>>)| Some((slot.clone(), stage(&runs, target, is_done)?));
        Self { stages: slots.filter_map(known).collect(), replicas: scope.replicas() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.stages.len()).unwrap_or(u32::MAX)
    }

    /// How many have no task of the target.
    pub(crate) fn count_behind(&self) -> u32 {
        let behind = self.stages.values().filter(|stage| **stage == Stage::Behind).count();
        u32::try_from(behind).unwrap_or(u32::MAX)
    }

    /// Whether some slot has run the target.
    pub(crate) fn has_run(&self) -> bool {
        self.stages.values().any(|stage| *stage == Stage::There)
    }

    /// Whether there are as many slots as there shall be. Replica decides which.
    pub(crate) fn is_whole(&self) -> bool {
        self.replicas.is_none_or(|replicas| self.count() == replicas)
    }

    /// Whether there are as many slots as there shall be, and all run the target.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_whole() && self.stages.values().all(|stage| *stage == Stage::There)
    }

    /// The slots that may not take the target yet.
    fn waiting<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a Slot> {
        let behind = self.stages.iter().filter(|(_, stage)| **stage == Stage::Behind);
        behind.map(|(slot, _)| slot).filter(|slot| !batch.has(slot))
    }

    /// Whether slots are left that may not take the target yet.
    pub(crate) fn has_waiting(&self, batch: &Batch) -> bool {
        self.waiting(batch).next().is_some()
    }

    /// How many more slots may take the target. A partition is a bound for updates; a rollback knows none.
    pub(crate) fn room(&self, scope: &Scope<'_>, rollout: &Rollout) -> usize {
        let partition = match rollout.state {
            RolloutState::RollbackStarted
            | RolloutState::RollbackPaused
            | RolloutState::RollbackCompleted => None,
            RolloutState::Updating | RolloutState::Paused | RolloutState::Completed => {
                scope.policy(rollout.state).partition
            }
        };
        let admitted = self.stages.len().saturating_sub(self.waiting(&rollout.batch).count());
        partition.map_or(usize::MAX, |most| (most as usize).saturating_sub(admitted))
    }

    /// What the next step waits for: the slots of the batch that do not run the target yet; after the last batch, every
    /// slot of which that is so. What has failed is counted, and not waited for.
    pub(crate) fn missing(&self, rollout: &Rollout) -> Vec<Slot> {
        let has_waiting = self.has_waiting(&rollout.batch);
        let is_asked = |slot: &Slot| !has_waiting || rollout.batch.has(slot);
        let moving = self.stages.iter().filter(|(slot, stage)| **stage != Stage::There && is_asked(slot));
        let moving = moving.map(|(slot, _)| slot.clone());
        let unmade = if has_waiting { Vec::new() } else { self.unmade() };
        moving.chain(unmade).filter(|slot| !rollout.failed.contains(slot)).collect()
    }

    /// The slots that replica has still to make: it takes the lowest free numbers.
    fn unmade(&self) -> Vec<Slot> {
        let missing = self.replicas.unwrap_or_default().saturating_sub(self.count());
        let free = (1..).map(Slot::Number).filter(|slot| !self.stages.contains_key(slot));
        free.take(missing as usize).collect()
    }

    /// Lets the next slots take the target, if there are any: as many as `parallelism` (0: all) and a partition allow.
    /// Slots that have failed stay admitted beside them.
    pub(crate) fn admit(&self, scope: &Scope<'_>, rollout: &mut Rollout) {
        let policy = scope.policy(rollout.state);
        let limit = if policy.parallelism == 0 { usize::MAX } else { policy.parallelism as usize };
        let limit = limit.min(self.room(scope, rollout));
        let next: BTreeSet<Slot> = self.waiting(&rollout.batch).take(limit).cloned().collect();
        if next.is_empty() {
            return;
        }
        rollout.batch = Batch::Slots(self.unfinished(rollout).chain(next).collect());
        rollout.batch_number = rollout.batch_number.saturating_add(1);
        let since = scope.at.now;
        let until = (policy.deadline > Span::default()).then(|| since.after(policy.deadline));
        rollout.waiting = Some(Waiting { reason: Waiting::BATCH.to_owned(), since, until });
    }

    /// The slots of the batch that are left behind because they have failed.
    fn unfinished(&self, rollout: &Rollout) -> impl Iterator<Item = Slot> {
        let batch = match &rollout.batch {
            Batch::All => BTreeSet::new(),
            Batch::Slots(slots) => slots.clone(),
        };
        let is_unfinished = |slot: &Slot| self.stages.get(slot).is_some_and(|stage| *stage != Stage::There);
        batch.into_iter().filter(is_unfinished)
    }
}

fn stage(runs: &[Run<'_>], target: u64, is_done: impl Fn(&Run<'_>) -> bool) -> Option<Stage> {
    let kept = || runs.iter().filter(|run| run.task.desired < DesiredState::Remove);
    let newest = kept().next_back()?;
    // A global service has left the node, which is drained, lost or no longer fits: its history is no slot.
    if matches!(newest.task.slot, Slot::Node(_)) && !kept().any(Run::is_wanted) {
        return None;
    }
    let is_newest = newest.task.revision == target;
    let mut of_target = kept().filter(|run| run.task.revision == target);
    Some(if of_target.clone().any(Run::is_serving) || is_newest && is_done(newest) {
        Stage::There
    } else if is_newest || of_target.any(Run::is_wanted) {
        Stage::Moving
    } else {
        Stage::Behind
    })
}

/// Whether a task that ended need not be waited for: it is not to be started again, or it ran for longer than it is
/// watched.
fn is_done(scope: &Scope<'_>, run: &Run<'_>, monitor: Span) -> bool {
    let is_last = scope.is_job() || scope.service.spec.restart.condition != RestartCondition::Any;
    run.state == TaskState::Complete && is_last || failure::has_outlived(run, monitor)
}
