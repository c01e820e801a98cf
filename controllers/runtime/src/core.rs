//! The sans-IO core of a controller: inputs are what was observed and answered, outputs are what to commit and when to
//! wake up. It never reads a clock, draws from the system's randomness or does I/O, so a test drives it step by step.
//!
//! What it guarantees to a planner:
//! - nothing is planned before the first full list, nor by a leader whose cut does not contain its own leader key;
//! - a key whose own write is not visible yet rests, and so does a plan that compares a write without a revision;
//! - a refused write waits until the cut contains the revision that refused it, then backs off with full jitter;
//!   a change to what the key is planned from clears the back-off;
//! - what was observed is planned before what only a resync brought up.

mod board;
pub(crate) mod queue;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use skep_api::key::{Key, Place};
use skep_api::time::{Span, Timestamp};

pub use board::Observation;
use board::{Board, CellId};
use queue::Queue;
use state::KeyState;

use crate::controller::{Controller, Moment, World};
use crate::plan::{Change, Note, Plan, Transaction};

/// How many keys are planned before the outside is listened to again.
const PLANS_PER_PASS: usize = 512;

/// Names a transaction between the core and its driver.
pub type TxnId = u64;

type PlanKey<C> = <<C as Controller>::World as World>::Key;

/// What the core is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Everything there is in the watched range at one revision.
    Resync {
        /// That revision.
        revision: i64,
        /// The keys.
        entries: Vec<Observation>,
    },
    /// What changed since, in order.
    Changed {
        /// The revision up to which nothing is missing now.
        revision: i64,
        /// The keys.
        entries: Vec<Observation>,
    },
    /// What became of transactions.
    Answered(Vec<(TxnId, Answer)>),
    /// Leadership was won, or its fence renewed, by a write of the leader key at this revision. Transactions
    /// that were not answered by then never will be applied.
    Leading {
        /// The last write of the leader key.
        fence: i64,
    },
    /// Leadership is over: nothing more is planned.
    Standby,
    /// Time has passed.
    Tick,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was applied.
    Committed {
        /// The revision of its writes.
        revision: i64,
    },
    /// A guard did not hold.
    Refused {
        /// The last write of what was compared, as far as it is watched; 0 if that is not known.
        revision: i64,
    },
    /// It was certainly not applied, for a reason that may pass.
    Failed,
}

/// What the core wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Commit these, each with the fence added, in any order.
    Commit(Vec<(TxnId, Transaction)>),
    /// Tell people: the changes that these notes explain are written.
    Tell(Vec<Note>),
}

/// A transaction without an answer.
struct InFlight<K> {
    plan: K,
    writes: Vec<CellId>,
}

/// A controller without its surroundings.
pub struct Core<C: Controller> {
    world: C::World,
    board: Board,
    queue: Queue<PlanKey<C>>,
    states: BTreeMap<PlanKey<C>, KeyState>,
    /// Plans that rest until the cut contains a revision.
    resting: BTreeSet<(i64, PlanKey<C>)>,
    /// Plans that compared a write without a revision.
    blocked: BTreeSet<PlanKey<C>>,
    in_flight: BTreeMap<TxnId, InFlight<PlanKey<C>>>,
    /// While leading: the last write of the leader key. Nothing is planned before the cut contains it.
    fence: Option<i64>,
    next_id: TxnId,
    random: fastrand::Rng,
}

impl<C: Controller> Core<C> {
    /// A core that has seen nothing yet, of the cluster with this id.
    pub fn new(cluster: &str, random: fastrand::Rng) -> Self {
        Self {
            world: C::World::new(cluster),
            board: Board::default(),
            queue: Queue::default(),
            states: BTreeMap::new(),
            resting: BTreeSet::new(),
            blocked: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            fence: None,
            next_id: 0,
            random,
        }
    }

    /// The world as it is planned from.
    pub fn world(&self) -> &C::World {
        &self.world
    }

    /// The revision of the cut: 0 before the first list.
    pub fn revision(&self) -> i64 {
        self.board.revision()
    }

    /// Whether the cut holds `key`.
    pub fn has(&self, key: &Key) -> bool {
        self.board.has_seen(key)
    }

    /// How many keys wait to be planned.
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// Takes in what happened, and says what to do about it.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        let mut notes = Vec::new();
        match input {
            Input::Resync { revision, entries } => self.resync(revision, entries),
            Input::Changed { revision, entries } => self.changed(revision, entries),
            Input::Answered(answers) => notes = self.answered(now, answers),
            Input::Leading { fence } => self.lead(fence),
            Input::Standby => self.stand_by(),
            Input::Tick => {}
        }
        self.queue.wake(now);
        let mut outputs = Vec::new();
        if !notes.is_empty() {
            outputs.push(Output::Tell(notes));
        }
        let transactions = self.plan_all(now);
        if !transactions.is_empty() {
            outputs.push(Output::Commit(transactions));
        }
        outputs
    }

    /// When the core wants to be called even if nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.may_plan() { self.queue.wake_at() } else { None }
    }

    fn resync(&mut self, revision: i64, entries: Vec<Observation>) {
        // Tasks without a node come last: until then nobody waits for the thousand nodes that are told of before.
        let moved = self.board.replace(revision, entries);
        let waits = |key: &Key| matches!(key, Key::Task(task) if task.place == Place::Pending);
        let (waiting, rest): (Vec<CellId>, Vec<CellId>) =
            moved.into_iter().partition(|id| self.board.key(*id).is_some_and(waits));
        for id in rest.into_iter().chain(waiting) {
            self.observe(id, false);
        }
        self.forget_visible();
        for key in self.world.all() {
            self.queue.push_late(key);
        }
    }

    fn changed(&mut self, revision: i64, entries: Vec<Observation>) {
        for id in self.board.extend(revision, entries) {
            self.observe(id, true);
        }
        self.forget_visible();
    }

    /// Brings the world in line with the cut, unless an own write lies over it.
    fn observe(&mut self, id: CellId, is_news: bool) {
        let Some((key, entry)) = self.board.seen(id) else { return };
        for plan in self.world.apply(key, entry) {
            if is_news {
                if let Some(state) = self.states.get_mut(&plan) {
                    state.clear_backoff();
                }
                self.queue.push(plan);
            } else {
                self.queue.push_late(plan);
            }
        }
        self.board.leave(id);
    }

    /// Takes away own writes that the cut contains by now, and wakes the plans that rested for them.
    fn forget_visible(&mut self) {
        // The world has them already, but for those where somebody else has written since.
        for id in self.board.take_visible() {
            self.observe(id, true);
        }
        let revision = self.board.revision();
        while self.resting.first().is_some_and(|(wanted, _)| *wanted <= revision) {
            let Some((_, plan)) = self.resting.pop_first() else { break };
            if let Some(state) = self.states.get_mut(&plan) {
                state.becomes_visible(revision);
            }
            self.queue.push(plan);
        }
    }

    fn answered(&mut self, now: Timestamp, answers: Vec<(TxnId, Answer)>) -> Vec<Note> {
        let notes = answers.into_iter().flat_map(|(id, answer)| self.answered_one(now, id, answer)).collect();
        for plan in std::mem::take(&mut self.blocked) {
            self.queue.push(plan);
        }
        self.forget_visible();
        notes
    }

    fn answered_one(&mut self, now: Timestamp, id: TxnId, answer: Answer) -> Vec<Note> {
        let Some(InFlight { plan, writes }) = self.in_flight.remove(&id) else { return Vec::new() };
        match answer {
            Answer::Committed { revision } => {
                for id in self.board.confirm(&writes, id, revision) {
                    self.lay_over(id);
                }
            }
            Answer::Refused { .. } | Answer::Failed => {
                for id in self.board.withdraw(&writes, id) {
                    self.observe(id, false);
                }
            }
        }
        let state = self.states.entry(plan.clone()).or_default();
        if let Some(again) = state.answered(now, answer, &mut self.random) {
            self.queue.push_at(plan.clone(), again);
        }
        let notes = state.take_notes();
        match state.waits_for() {
            Some(revision) => drop(self.resting.insert((revision, plan))),
            None => self.queue.push(plan),
        }
        notes
    }

    /// Applies an own write to the world.
    fn lay_over(&mut self, id: CellId) {
        let Some((key, entry)) = self.board.shown(id) else { return };
        for plan in self.world.apply(key, entry) {
            self.queue.push(plan);
        }
    }

    fn lead(&mut self, fence: i64) {
        self.abandon_in_flight();
        self.fence = Some(fence);
        for key in self.world.all() {
            self.queue.push(key);
        }
    }

    fn stand_by(&mut self) {
        self.abandon_in_flight();
        self.fence = None;
        self.queue = Queue::default();
        self.states.clear();
        self.resting.clear();
        self.blocked.clear();
    }

    /// Forgets transactions that were not answered: from here on the cut alone tells what became of them.
    fn abandon_in_flight(&mut self) {
        for (id, InFlight { plan, writes }) in std::mem::take(&mut self.in_flight) {
            for id in self.board.withdraw(&writes, id) {
                self.observe(id, false);
            }
            self.states.remove(&plan);
            self.queue.push(plan);
        }
    }

    fn may_plan(&self) -> bool {
        self.board.revision() > 0 && self.fence.is_some_and(|fence| self.board.revision() >= fence)
    }

    fn plan_all(&mut self, now: Timestamp) -> Vec<(TxnId, Transaction)> {
        let mut transactions = Vec::new();
        if !self.may_plan() {
            return transactions;
        }
        for _ in 0..PLANS_PER_PASS {
            let Some(key) = self.queue.pop() else { break };
            if let Some(state) = self.states.get(&key).filter(|state| state.must_rest(now)) {
                // Another refusal may have moved the end of the back-off behind the timer that woke this key.
                if let Some(instant) = state.not_before().filter(|instant| *instant > now) {
                    self.queue.push_at(key, instant);
                }
                continue;
            }
            let plan = C::plan(&self.world, &key, Moment { now, cut: self.board.revision() });
            tracing::trace!(controller = C::NAME, cut = self.board.revision(), ?key, ?plan, "planned");
            self.start(now, key, plan, &mut transactions);
        }
        if self.queue.has_ready() {
            self.queue.wake_me_at(now);
        }
        transactions
    }

    fn start(
        &mut self,
        now: Timestamp,
        key: PlanKey<C>,
        plan: Plan<C::Change>,
        transactions: &mut Vec<(TxnId, Transaction)>,
    ) {
        if let Some(again) = plan.again {
            self.queue.push_at(key.clone(), again.max(now.after(Span::from_millis(1))));
        }
        let wanted: Vec<Transaction> = plan.changes.iter().map(Change::transaction).collect();
        let state = self.states.entry(key.clone()).or_default();
        if wanted.iter().any(|transaction| self.board.leaves_open(transaction)) {
            self.blocked.insert(key);
            return;
        }
        if wanted.is_empty() {
            if state.is_idle() {
                self.states.remove(&key);
            }
            return;
        }
        state.started(wanted.len(), plan.notes);
        for transaction in wanted {
            self.next_id += 1;
            let id = self.next_id;
            let writes = self.board.put(&transaction, id);
            for written in &writes {
                self.lay_over(*written);
            }
            self.in_flight.insert(id, InFlight { plan: key.clone(), writes });
            transactions.push((id, transaction));
        }
    }
}
