//! A controller on a keyspace in memory: its world, and what of it waits to be planned, as the core would have it.

use std::collections::BTreeMap;

use skep_api::key::Key;
use skep_api::time::{Span, Timestamp};

use crate::controller::{Controller, Moment, World};
use crate::core::queue::Queue;
use crate::plan::{Change, Plan, Transaction};
use crate::table::Entry;

/// A controller's world and what waits to be planned in it.
pub struct Planner<C: Controller> {
    /// The world.
    pub world: C::World,
    queue: Queue<PlanKey<C>>,
    /// What asked to be looked at again, when, and how often in a row that came to nothing.
    asked: BTreeMap<PlanKey<C>, (Timestamp, u32)>,
}

type PlanKey<C> = <<C as Controller>::World as World>::Key;

/// How often in a row a key may be looked at again for nothing before it is looked at ever more rarely. What only keeps
/// words up to date asks every few seconds, and would hold up a clock that jumps.
const IDLE_LOOKS: u32 = 8;

impl<C: Controller> Planner<C> {
    /// A planner that knows nothing yet, of the cluster with this id.
    pub fn new(cluster: &str) -> Self {
        Self { world: C::World::new(cluster), queue: Queue::default(), asked: BTreeMap::new() }
    }

    /// Takes in the state of a key, which wakes whatever is planned from it.
    pub fn observe(&mut self, key: &Key, entry: Option<&Entry>) {
        for plan in self.world.apply(key, entry) {
            self.queue.push(plan);
        }
    }

    /// Wakes everything, as a new leader does.
    pub fn wake_all(&mut self) {
        for key in self.world.all() {
            self.queue.push(key);
        }
    }

    /// Wakes what waited for an instant that has come.
    pub fn wake(&mut self, now: Timestamp) {
        self.queue.wake(now);
    }

    /// When something is to be planned again though nothing moves.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.queue.wake_at()
    }

    /// How many keys wait to be planned.
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// Plans the next key that waits, if there is one; returns what to write. A key that writes is planned again, as by
    /// the core once its write is visible.
    pub fn next(&mut self, at: Moment) -> Option<Vec<Transaction>> {
        let key = self.queue.pop()?;
        let Plan { changes, again, .. } = C::plan(&self.world, &key, at);
        if !changes.is_empty() {
            self.asked.remove(&key);
        }
        if let Some(again) = again {
            let again = again.max(at.now.after(Span::from_millis(1)));
            let looks = self.looks(&key, at.now);
            let delay = again.since(at.now).as_millis() << looks.saturating_sub(IDLE_LOOKS).min(16);
            self.asked.insert(key.clone(), (again, looks));
            self.queue.push_at(key.clone(), at.now.after(Span::from_millis(delay)));
        }
        if !changes.is_empty() {
            self.queue.push(key);
        }
        Some(changes.iter().map(Change::transaction).collect())
    }

    /// How often in a row `key` was looked at again for nothing, this time included.
    fn looks(&self, key: &PlanKey<C>, now: Timestamp) -> u32 {
        self.asked.get(key).map_or(0, |(instant, looks)| looks.saturating_add(u32::from(*instant <= now)))
    }
}
