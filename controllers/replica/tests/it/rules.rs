//! What holds of the tasks of a service, whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::defaults::TASK_HISTORY_LIMIT;
use skep_api::ident::{TaskName, Uid};
use skep_api::key::Key;
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState};
use skep_runtime::plan::{Expect, Transaction, Write};

use crate::shop::{Seen, Shop};

/// Remembers what there was, to see what only moves forward.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Whether two tasks of a slot may run at once while one takes over from the other.
    is_start_first: bool,
    /// The most attempts in a slot, if there is a limit that no window lifts.
    attempts: Option<u32>,
    before: BTreeMap<TaskName, Seen>,
    gone: BTreeSet<TaskName>,
    followed: BTreeMap<TaskName, TaskName>,
    /// Slots whose task served when it was stopped for an update or an eviction, and whose new one does not serve yet.
    taken_down: BTreeSet<Slot>,
    /// Slots with a task that would have been better elsewhere: two may run in them at once.
    moved: BTreeSet<Slot>,
    /// Slots of jobs in which a task of this revision ran to its end.
    done: BTreeSet<(Uid, Slot, u64)>,
}

impl Rules {
    pub(crate) fn new(is_start_first: bool, attempts: Option<u32>) -> Self {
        Self { is_start_first, attempts, ..Self::default() }
    }

    /// Checks every rule on the world as it is now.
    pub(crate) fn check(&mut self, shop: &Shop) {
        let tasks = shop.tasks();
        let moved = tasks.iter().filter(|seen| shop.is_rebalanced(seen));
        self.moved.extend(moved.map(|seen| seen.task.slot.clone()));
        self.check_moves(&tasks);
        self.check_jobs(shop, &tasks);
        if shop.mode() == "replicated" {
            self.check_parallelism(shop, &tasks);
            self.check_order(shop, &tasks);
            self.check_better_places(shop, &tasks);
        }
        for (slot, tasks) in by_slot(&tasks) {
            self.check_slot(&slot, &tasks);
        }
        self.remember(tasks);
    }

    /// Invariants 1 to 5 and 12 of the design.
    fn check_moves(&mut self, tasks: &[Seen]) {
        for seen in tasks {
            let name = &seen.at.name;
            assert!(!self.gone.contains(name), "{name} came back");
            if let Some(old) = self.before.get(name) {
                assert!(old.task.desired <= seen.task.desired, "{name} is wanted less than before");
                let same = Task { desired: old.task.desired, ..seen.task.clone() };
                assert_eq!(same, old.task, "{name} was changed");
            } else {
                self.check_new(seen);
            }
        }
        for (name, old) in &self.before {
            let is_there = tasks.iter().any(|seen| seen.at.name == *name);
            let may_go =
                old.state.is_terminal() || old.state < TaskState::Assigned || old.at.place.node().is_none();
            assert!(is_there || may_go, "{name} was forgotten while it was {}", old.state);
        }
    }

    fn check_new(&mut self, new: &Seen) {
        if let Some(attempts) = self.attempts {
            assert!(new.task.restarts <= attempts, "{} is one attempt too many", new.at.name);
        }
        let old = new.task.replaces.as_ref().and_then(|old| self.before.get(old));
        match new.task.cause {
            Cause::Restart => {
                let Some(name) = &new.task.replaces else { panic!("{} replaces nothing", new.at.name) };
                if old.is_some_and(|old| old.state.is_terminal()) {
                    let other = self.followed.insert(name.clone(), new.at.name.clone());
                    assert_eq!(other, None, "{name} has two successors");
                }
            }
            Cause::Evict => {
                let told = |task: &Task| (task.restarts, task.attempts.clone(), task.streak);
                let is_same = old.is_none_or(|old| told(&old.task) == told(&new.task));
                assert!(is_same, "the eviction of {old:?} used up an attempt: {new:?}");
            }
            Cause::New | Cause::Update => {}
        }
    }

    /// What has run to its end is not run again for the same revision.
    fn check_jobs(&mut self, shop: &Shop, tasks: &[Seen]) {
        if !shop.is_job() {
            return;
        }
        let run = |seen: &Seen| (seen.task.uid.clone(), seen.task.slot.clone(), seen.task.revision);
        for seen in tasks.iter().filter(|seen| !self.before.contains_key(&seen.at.name)) {
            assert!(!self.done.contains(&run(seen)), "{} was done already", seen.at.name);
        }
        let done = tasks.iter().filter(|seen| seen.state == TaskState::Complete);
        self.done.extend(done.filter(|seen| seen.task.desired < DesiredState::Remove).map(run));
    }

    /// Invariant 19: a task that serves is stopped for an update or an eviction only while no other slot is down by such
    /// a stop: the parallelism is 1.
    fn check_parallelism(&mut self, shop: &Shop, tasks: &[Seen]) {
        let slots = by_slot(tasks);
        self.taken_down.retain(|slot| slots.get(slot).is_some_and(|tasks| is_down_by_us(tasks)));
        let stopped = self.stopped(shop, tasks).filter(|seen| {
            slots.get(&seen.task.slot).is_some_and(|others| !others.iter().any(|seen| seen.is_serving()))
        });
        let stopped: BTreeSet<Slot> = stopped.map(|seen| seen.task.slot.clone()).collect();
        if !stopped.is_empty() {
            self.taken_down.extend(stopped);
            assert_eq!(self.taken_down.len(), 1, "more than one slot is down by us: {tasks:#?}");
        }
    }

    /// Invariant 20: start-first, a task that serves is stopped only when another one of its slot serves, or when one is
    /// prepared that fits nowhere else.
    fn check_order(&self, shop: &Shop, tasks: &[Seen]) {
        let slots = by_slot(tasks);
        for seen in self.stopped(shop, tasks).filter(|_| self.is_start_first) {
            let may_stop = |other: &&&Seen| {
                let is_prepared = other.task.desired == DesiredState::Ready
                    && other.task.replaces.as_ref() == Some(&seen.at.name);
                other.is_serving() || is_prepared
            };
            let is_unmakeable =
                ![Some(shop.rollout.target), shop.rollout.stable].contains(&Some(seen.task.revision));
            let is_followed =
                slots.get(&seen.task.slot).is_some_and(|others| others.iter().any(|other| may_stop(&other)));
            assert!(is_followed || is_unmakeable, "{} was stopped first: {tasks:#?}", seen.at.name);
        }
    }

    /// A task that only would be better elsewhere is stopped when another one of its slot serves, whatever the order, unless it
    /// makes way for another revision.
    fn check_better_places(&self, shop: &Shop, tasks: &[Seen]) {
        let slots = by_slot(tasks);
        for seen in self.stopped(shop, tasks).filter(|seen| shop.is_rebalanced(seen)) {
            let others =
                || slots.get(&seen.task.slot).into_iter().flatten().filter(|other| other.at != seen.at);
            let is_followed = others().any(|other| other.is_serving());
            let is_updated =
                others().any(|other| other.is_wanted() && other.task.revision != seen.task.revision);
            assert!(is_followed || is_updated, "{} was stopped to be moved: {tasks:#?}", seen.at.name);
        }
    }

    /// The tasks that served, and that are told to stop although people did not ask for it at once.
    fn stopped<'t>(&'t self, shop: &'t Shop, tasks: &'t [Seen]) -> impl Iterator<Item = &'t Seen> {
        let was_serving = |seen: &&Seen| self.before.get(&seen.at.name).is_some_and(Seen::is_serving);
        let stopped = tasks.iter().filter(was_serving);
        let stopped = stopped.filter(|seen| seen.is_alive() && seen.task.desired == DesiredState::Shutdown);
        stopped.filter(|seen| shop.is_evicted(seen) != Some(true))
    }

    /// Invariants 6, 7 and 35.
    fn check_slot(&self, slot: &Slot, tasks: &[&Seen]) {
        let is_live = |seen: &&&Seen| !seen.state.is_terminal();
        let running: Vec<&Seen> = tasks.iter().filter(is_live).filter(|seen| runs(seen)).copied().collect();
        let staged = tasks.iter().filter(is_live).filter(|seen| seen.task.desired == DesiredState::Ready);
        let is_take_over = |newer: &&Seen| {
            running.iter().any(|older| older.task.revision != newer.task.revision)
                || matches!(newer.task.cause, Cause::Evict | Cause::Restart)
        };
        let may_be_two =
            (self.is_start_first || self.moved.contains(slot)) && running.last().is_some_and(is_take_over);
        let limit = if may_be_two { 2 } else { 1 };
        assert!(running.len() <= limit, "slot {slot} runs {} times: {tasks:#?}", running.len());
        assert!(staged.count() <= 1, "slot {slot} has two staged tasks: {tasks:#?}");
        let ended = tasks.iter().filter(|seen| seen.state.is_terminal()).count();
        assert!(ended <= TASK_HISTORY_LIMIT + 2, "slot {slot} remembers {ended} tasks");
    }

    fn remember(&mut self, tasks: Vec<Seen>) {
        let now: BTreeMap<TaskName, Seen> =
            tasks.into_iter().map(|seen| (seen.at.name.clone(), seen)).collect();
        self.gone.extend(self.before.keys().filter(|name| !now.contains_key(*name)).cloned());
        self.before = now;
    }
}

fn runs(seen: &Seen) -> bool {
    matches!(seen.task.desired, DesiredState::Running | DesiredState::Complete)
}

fn by_slot(tasks: &[Seen]) -> BTreeMap<Slot, Vec<&Seen>> {
    let mut slots: BTreeMap<Slot, Vec<&Seen>> = BTreeMap::new();
    for seen in tasks {
        slots.entry(seen.task.slot.clone()).or_default().push(seen);
    }
    slots
}

/// Whether the slot is down because its task had to make way.
fn is_down_by_us(tasks: &[&Seen]) -> bool {
    let is_cause = |seen: &Seen| matches!(seen.task.cause, Cause::Update | Cause::Evict);
    let is_ours = |seen: &&&Seen| is_cause(seen) && seen.is_wanted() && seen.is_alive();
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
