//! What holds of the tasks of a service, whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::defaults::TASK_HISTORY_LIMIT;
use skep_api::ident::TaskName;
use skep_api::key::Key;
use skep_api::task::{Cause, DesiredState, Slot, TaskState};
use skep_runtime::plan::{Expect, Transaction, Write};

use crate::shop::{Seen, Shop};

/// Remembers what there was, to see what only moves forward.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    before: BTreeMap<TaskName, Seen>,
    gone: BTreeSet<TaskName>,
    followed: BTreeMap<TaskName, TaskName>,
    /// Slots whose task served when it was stopped for an update, and whose new one does not serve yet.
    taken_down: BTreeSet<Slot>,
}

impl Rules {
    /// Checks every rule on the world as it is now.
    pub(crate) fn check(&mut self, shop: &Shop) {
        let tasks = shop.tasks();
        self.check_moves(&tasks);
        self.check_parallelism(&tasks);
        for (slot, tasks) in by_slot(&tasks) {
            check_slot(&slot, &tasks);
        }
        self.remember(tasks);
    }

    fn check_moves(&mut self, tasks: &[Seen]) {
        for seen in tasks {
            let name = &seen.at.name;
            assert!(!self.gone.contains(name), "{name} came back");
            if let Some(old) = self.before.get(name) {
                assert!(old.task.desired <= seen.task.desired, "{name} is wanted less than before");
                let same = skep_api::task::Task { desired: old.task.desired, ..seen.task.clone() };
                assert_eq!(same, old.task, "{name} was changed");
            } else if seen.task.cause == Cause::Restart {
                self.check_successor(seen);
            }
        }
        for (name, old) in &self.before {
            let is_there = tasks.iter().any(|seen| seen.at.name == *name);
            let may_go =
                old.state.is_terminal() || old.state < TaskState::Assigned || old.at.place.node().is_none();
            assert!(is_there || may_go, "{name} was forgotten while it was {}", old.state);
        }
    }

    fn check_successor(&mut self, new: &Seen) {
        let Some(old) = &new.task.replaces else { panic!("{} replaces nothing", new.at.name) };
        if self.before.get(old).is_some_and(|old| old.state.is_terminal()) {
            let other = self.followed.insert(old.clone(), new.at.name.clone());
            assert_eq!(other, None, "{old} has two successors");
        }
    }

    /// A task that serves is stopped for an update only while no other slot is down by such a stop: the parallelism is 1.
    fn check_parallelism(&mut self, tasks: &[Seen]) {
        let slots = by_slot(tasks);
        self.taken_down.retain(|slot| slots.get(slot).is_some_and(|tasks| is_down_by_update(tasks)));
        let was_serving = |seen: &&Seen| self.before.get(&seen.at.name).is_some_and(Seen::is_serving);
        let stopped = tasks.iter().filter(was_serving);
        let stopped = stopped.filter(|seen| seen.is_alive() && seen.task.desired == DesiredState::Shutdown);
        let stopped: BTreeSet<Slot> = stopped.map(|seen| seen.task.slot.clone()).collect();
        if !stopped.is_empty() {
            self.taken_down.extend(stopped);
            assert_eq!(self.taken_down.len(), 1, "more than one slot is down by updates: {tasks:#?}");
        }
    }

    fn remember(&mut self, tasks: Vec<Seen>) {
        let now: BTreeMap<TaskName, Seen> =
            tasks.into_iter().map(|seen| (seen.at.name.clone(), seen)).collect();
        self.gone.extend(self.before.keys().filter(|name| !now.contains_key(*name)).cloned());
        self.before = now;
    }
}

fn by_slot(tasks: &[Seen]) -> BTreeMap<Slot, Vec<&Seen>> {
    let mut slots: BTreeMap<Slot, Vec<&Seen>> = BTreeMap::new();
    for seen in tasks {
        slots.entry(seen.task.slot.clone()).or_default().push(seen);
    }
    slots
}

fn check_slot(slot: &Slot, tasks: &[&Seen]) {
    let wanted = |desired| {
        tasks.iter().filter(|seen| !seen.state.is_terminal() && seen.task.desired == desired).count()
    };
    assert!(wanted(DesiredState::Running) <= 1, "slot {slot} runs twice: {tasks:#?}");
    assert!(wanted(DesiredState::Ready) <= 1, "slot {slot} has two staged tasks: {tasks:#?}");
    let ended = tasks.iter().filter(|seen| seen.state.is_terminal()).count();
    assert!(ended <= TASK_HISTORY_LIMIT + 1, "slot {slot} remembers {ended} tasks");
}

/// Whether the slot is down because its task had to make way for another revision.
fn is_down_by_update(tasks: &[&Seen]) -> bool {
    let is_ours = |seen: &&&Seen| seen.task.cause == Cause::Update && seen.is_wanted() && seen.is_alive();
    !tasks.iter().any(|seen| seen.is_serving()) && tasks.iter().any(|seen| is_ours(&seen))
}

/// Every write of a task or of a summary stands on what ARCHITECTURE.md says: on the key itself, and on its reason.
pub(crate) fn check_guards(transaction: &Transaction) {
    let guard =
        |key: &Key| transaction.guards.iter().find(|guard| guard.key == *key).map(|guard| guard.expect);
    let has = |is_kind: fn(&Key) -> bool| transaction.guards.iter().any(|guard| is_kind(&guard.key));
    for write in &transaction.writes {
        let own = guard(write.key());
        assert!(own.is_some(), "{transaction:#?} does not stand on {}", write.key());
        match (write, write.key()) {
            (Write::Put(..), Key::Task(_)) if own == Some(Expect::Absent) => {
                assert!(
                    has(|key| matches!(key, Key::Service(_))) && has(|key| matches!(key, Key::Rollout(_)))
                );
            }
            (Write::Delete(_), Key::Task(at)) => {
                assert!(
                    guard(&Key::TaskStatus(at.clone())).is_some(),
                    "a status may be left without its task"
                );
            }
            (_, Key::ServiceStatus(service)) => assert!(guard(&Key::Service(service.clone())).is_some()),
            _ => {}
        }
    }
}
