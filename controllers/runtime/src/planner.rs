//! A controller on a keyspace in memory: its world, and what of it waits to be planned, as the core would have it.

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
    queue: Queue<<C::World as World>::Key>,
}

impl<C: Controller> Planner<C> {
    /// A planner that knows nothing yet, of the cluster with this id.
    pub fn new(cluster: &str) -> Self {
        Self { world: C::World::new(cluster), queue: Queue::default() }
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
        if let Some(again) = again {
            self.queue.push_at(key.clone(), again.max(at.now.after(Span::from_millis(1))));
        }
        if !changes.is_empty() {
            self.queue.push(key);
        }
        Some(changes.iter().map(Change::transaction).collect())
    }
}
