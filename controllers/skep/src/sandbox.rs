//! A copy of a cluster in memory, on which the real planners run until nothing changes any more: with agents that obey at
//! once, and a clock that jumps to the next instant for which something waits. Nothing is written anywhere.

mod agents;
pub(crate) mod compare;
pub(crate) mod picture;
pub(crate) mod show;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::time::{Span, Timestamp};
use skep_node::NodeController;
use skep_replica::Replica;
use skep_runtime::controller::{Controller, Moment};
use skep_runtime::keyspace::Keyspace;
use skep_runtime::plan::{Guard, Transaction};
use skep_runtime::planner::Planner;
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::Scheduler;
use skep_updater::Updater;

use crate::cut::Cut;
use agents::Agents;

/// How much simulated time may go by.
const HORIZON: Span = Span::from_secs(2 * 60 * 60);
/// When nothing was written for so long, what is still looked at again from time to time will not move anything.
const QUIET: Span = Span::from_secs(60 * 60);
/// How often everybody may have a turn: a step of a rollout takes a handful.
const TURNS_MAX: u32 = 200_000;

/// A planner made a decision that stands on something that is not so: a bug, and no answer can be trusted.
#[derive(Debug, thiserror::Error)]
#[error("the {controller} planned on something that is not so ({}): please report this", guard.key)]
pub(crate) struct Broken {
    /// Whose planner.
    controller: &'static str,
    /// What it stood on.
    guard: Guard,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Whether nothing moves any more.
    pub(crate) is_at_rest: bool,
    /// How much simulated time went by until the last change.
    pub(crate) took: Span,
}

/// A cluster in memory.
pub(crate) struct Sandbox {
    keys: Keyspace,
    players: Players,
    now: Timestamp,
    last_write: Timestamp,
}

/// Everybody who writes.
struct Players {
    updater: Planner<Updater>,
    replica: Planner<Replica>,
    scheduler: Planner<Scheduler>,
    node: Planner<NodeController>,
    agents: Planner<Agents>,
}

impl Sandbox {
    /// An empty cluster.
    pub(crate) fn empty(cluster: &str, now: Timestamp) -> Self {
        Self { keys: Keyspace::default(), players: Players::new(cluster), now, last_write: now }
    }

    /// A copy of what was read.
    pub(crate) fn of(cut: &Cut, now: Timestamp) -> Self {
        let mut sandbox = Self { keys: Keyspace::at(cut.revision()), ..Self::empty(cut.cluster(), now) };
        for (key, found) in cut.iter() {
            let stamp = Stamp { created: found.created, modified: found.modified };
            let value = found.value.clone().map_err(Arc::new);
            sandbox.keys.load(key.clone(), Entry { value, stamp });
            sandbox.players.observe(key, sandbox.keys.entry(key));
        }
        sandbox
    }

    /// The instant that its clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// What is at `key`, if it decodes.
    pub(crate) fn object(&self, key: &Key) -> Option<&Object> {
        self.keys.object(key)
    }

    /// Whether there is something at `key`, valid or not.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.keys.entry(key).is_some()
    }

    /// Every key with its value, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.keys.entries()
    }

    /// Writes an object, as people or an agent would.
    pub(crate) fn put(&mut self, key: &Key, object: impl Into<Object>) {
        self.keys.put(key.clone(), Ok(object.into()));
        self.players.observe(key, self.keys.entry(key));
    }

    /// Deletes a key, as people would, or a lease that ends.
    pub(crate) fn delete(&mut self, key: &Key) {
        self.keys.delete(key);
        self.players.observe(key, None);
    }

    /// From here on the runs of jobs end well, a moment after they have begun. Before that they go on for ever.
    pub(crate) fn let_jobs_end(&mut self) {
        self.players.agents.world.runs_end_from = Some(self.now);
        self.players.agents.wake_all();
    }

    /// Lets everybody work until nothing changes any more.
    ///
    /// # Errors
    /// [`Broken`] if a guard does not hold: everybody sees every write at once, so all of them must.
    pub(crate) fn run(&mut self) -> Result<Rest, Broken> {
        let began = self.now;
        self.last_write = began;
        self.players.wake_all();
        for _ in 0..TURNS_MAX {
            if self.players.backlog() == 0 {
                let end = began.after(HORIZON).min(self.last_write.after(QUIET));
                match self.players.wake_at() {
                    Some(instant) if instant <= end => self.now = self.now.max(instant),
                    Some(_) => return Ok(self.rest(began, end < began.after(HORIZON))),
                    None => return Ok(self.rest(began, true)),
                }
            }
            self.players.wake(self.now);
            self.turn(|players| &mut players.updater)?;
            self.turn(|players| &mut players.replica)?;
            self.turn(|players| &mut players.scheduler)?;
            self.turn(|players| &mut players.node)?;
            self.turn(|players| &mut players.agents)?;
        }
        Ok(self.rest(began, false))
    }

    fn rest(&self, began: Timestamp, is_at_rest: bool) -> Rest {
        Rest { is_at_rest, took: self.last_write.since(began) }
    }

    /// Lets one of them plan everything that waits now. What it wakes itself comes in its next turn, so that many writes of
    /// others are taken in before a service is looked at again.
    fn turn<C: Controller>(&mut self, one: impl Fn(&mut Players) -> &mut Planner<C>) -> Result<(), Broken> {
        for _ in 0..one(&mut self.players).backlog() {
            let at = Moment { now: self.now, cut: self.keys.revision() };
            let planned = one(&mut self.players).next(at);
            for transaction in planned.into_iter().flatten() {
                self.commit(C::NAME, transaction)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, controller: &'static str, transaction: Transaction) -> Result<(), Broken> {
        let written = self.keys.commit(transaction).map_err(|guard| Broken { controller, guard })?;
        for key in &written {
            self.players.observe(key, self.keys.entry(key));
        }
        self.last_write = self.now;
        Ok(())
    }
}

impl Players {
    fn new(cluster: &str) -> Self {
        Self {
            updater: Planner::new(cluster),
            replica: Planner::new(cluster),
            scheduler: Planner::new(cluster),
            node: Planner::new(cluster),
            agents: Planner::new(cluster),
        }
    }

    fn observe(&mut self, key: &Key, entry: Option<&Entry>) {
        self.updater.observe(key, entry);
        self.replica.observe(key, entry);
        self.scheduler.observe(key, entry);
        self.node.observe(key, entry);
        self.agents.observe(key, entry);
    }

    fn wake_all(&mut self) {
        self.updater.wake_all();
        self.replica.wake_all();
        self.scheduler.wake_all();
        self.node.wake_all();
        self.agents.wake_all();
    }

    fn wake(&mut self, now: Timestamp) {
        self.updater.wake(now);
        self.replica.wake(now);
        self.scheduler.wake(now);
        self.node.wake(now);
        self.agents.wake(now);
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let instants = [
            self.updater.wake_at(),
            self.replica.wake_at(),
            self.scheduler.wake_at(),
            self.node.wake_at(),
            self.agents.wake_at(),
        ];
        instants.into_iter().flatten().min()
    }

    fn backlog(&self) -> usize {
        [
            self.updater.backlog(),
            self.replica.backlog(),
            self.scheduler.backlog(),
            self.node.backlog(),
            self.agents.backlog(),
        ]
        .into_iter()
        .sum()
    }
}
