//! Invariants of tasks, at every commit: states move forward, nothing changes in place, one runs in a slot.

use std::collections::BTreeSet;

use skep_api::ident::Uid;
use skep_api::task::{DesiredState, Slot, Task, TaskState};

use super::invariant::{
    DESIRED_MONOTONE, NO_LIVE_REMOVED, NODE_FIXED, ONE_PER_SLOT, ONE_SUCCESSOR, STATE_MONOTONE,
    TASK_IMMUTABLE, Violation,
};
use super::view::{Seen, Step, View};

/// Checks what one commit did to tasks. `start_first` are the services that were ever updated start-first.
pub(crate) fn check(view: &View, steps: &[Step], start_first: &BTreeSet<Uid>) -> Result<(), Violation> {
    let mut slots = BTreeSet::new();
    for step in steps {
        check_step(view, step)?;
        slots.extend(step.after.iter().map(Seen::slot));
    }
    if slots.is_empty() {
        return Ok(());
    }
    let tasks: Vec<Seen> = view.tasks().filter(|task| slots.contains(&task.slot())).collect();
    slots.iter().try_for_each(|slot| check_slot(slot, &tasks, start_first.contains(&slot.0)))
}

fn check_step(view: &View, step: &Step) -> Result<(), Violation> {
    match (&step.before, &step.after) {
        (Some(before), Some(after)) => {
            check_move(before, after)?;
            let id = (after.key.stack.clone(), after.key.name.clone());
            NODE_FIXED.check(view.places_of(&id) == 1, || format!("{} lies at two places", after.key.name))
        }
        (Some(before), None) => {
            let was_placed = before.key.place.node().is_some();
            NO_LIVE_REMOVED.check(!was_placed || !before.is_live(), || {
                format!("{} was removed while it was {}", before.key, before.state)
            })
        }
        (None, Some(_) | None) => Ok(()),
    }
}

fn check_move(before: &Seen, after: &Seen) -> Result<(), Violation> {
    let task = &after.key;
    NODE_FIXED.check(before.key.place.node().is_none() || before.key.place == after.key.place, || {
        format!("{} was at {} and is at {}", task.name, before.key.place, task.place)
    })?;
    STATE_MONOTONE.check(before.state <= after.state, || {
        format!("{task} was {} and is {}", before.state, after.state)
    })?;
    let (old, new) = (before.task.desired, after.task.desired);
    DESIRED_MONOTONE.check(old <= new, || format!("{task} was wanted {old:?} and is wanted {new:?}"))?;
    // The scheduler says which named resources it has when it places it.
    let is_placed = before.key.place.node().is_none() && after.key.place.node().is_some();
    let given = if is_placed { &before.task } else { &after.task };
    let as_before = Task { desired: old, generic: given.generic.clone(), ..(*after.task).clone() };
    TASK_IMMUTABLE
        .check(as_before == *before.task, || format!("{task} was {:?} and is {:?}", before.task, after.task))
}

fn check_slot((uid, slot): &(Uid, Slot), tasks: &[Seen], is_start_first: bool) -> Result<(), Violation> {
    let tasks =
        || tasks.iter().filter(|task| task.task.uid == *uid && task.task.slot == *slot && task.is_live());
    let runnable: Vec<&Seen> = tasks().filter(|task| task.task.desired == DesiredState::Running).collect();
    let most = if is_start_first { 2 } else { 1 };
    ONE_PER_SLOT.check(runnable.len() <= most, || format!("slot {slot} runs {}", names(&runnable)))?;
    let staged: Vec<&Seen> = tasks().filter(|task| task.task.desired == DesiredState::Ready).collect();
    ONE_PER_SLOT.check(staged.len() <= 1, || format!("slot {slot} has staged {}", names(&staged)))?;
    let mut replaced = BTreeSet::new();
    for task in tasks().filter(|task| task.is_wanted()) {
        let is_first = task.task.replaces.as_ref().is_none_or(|old| replaced.insert(old.clone()));
        ONE_SUCCESSOR.check(is_first, || {
            format!("{} is not the only one that replaces {:?}", task.key, task.task.replaces)
        })?;
    }
    Ok(())
}

fn names(tasks: &[&Seen]) -> String {
    let names: Vec<String> = tasks.iter().map(|task| format!("{} ({})", task.key, task.state)).collect();
    names.join(" and ")
}

/// Whether the commit moved the task to STARTING: a claim.
pub(crate) fn is_claim(step: &Step) -> bool {
    let is_starting =
        |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.state == TaskState::Starting);
    is_starting(&step.after) && !is_starting(&step.before)
}
