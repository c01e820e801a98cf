//! What must be true, by number; ARCHITECTURE.md explains each.

use std::fmt;

/// One invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariant {
    /// Its number in ARCHITECTURE.md.
    pub number: u8,
    /// What it says.
    pub words: &'static str,
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant: Invariant { number, words }, detail } = self;
        write!(f, "invariant {number} ({words}): {detail}")
    }
}

impl Invariant {
    const fn new(number: u8, words: &'static str) -> Self {
        Self { number, words }
    }

    /// Fails with `detail` unless `holds`.
    pub fn check(self, holds: bool, detail: impl FnOnce() -> String) -> Result<(), Violation> {
        if holds { Ok(()) } else { Err(self.broken(detail())) }
    }

    /// That it does not hold.
    pub fn broken(self, detail: impl Into<String>) -> Violation {
        Violation { invariant: self, detail: detail.into() }
    }
}

/// An observed state never goes back.
pub(crate) const STATE_MONOTONE: Invariant =
    Invariant::new(1, "the observed state of a task only moves forward");
/// A task lies under one node from its placement on.
pub(crate) const NODE_FIXED: Invariant =
    Invariant::new(2, "a task stays on the node where it was placed, and lies there only");
/// A desired state never goes back.
pub(crate) const DESIRED_MONOTONE: Invariant =
    Invariant::new(3, "the desired state of a task only moves forward");
/// Nothing else of a task changes, nor anything of a revision.
pub(crate) const TASK_IMMUTABLE: Invariant = Invariant::new(4, "a task and a revision never change");
/// Only what has ended, or never began, is forgotten.
pub(crate) const NO_LIVE_REMOVED: Invariant = Invariant::new(5, "no live task is removed");
/// Two tasks of a slot are never meant to run.
pub(crate) const ONE_PER_SLOT: Invariant = Invariant::new(6, "one runnable task per slot");
/// No task of a service that is gone is meant to run.
pub(crate) const OWNED: Invariant = Invariant::new(8, "every task has its service, or is to be removed");
/// No node gives away more than it has.
pub(crate) const NO_OVERCOMMIT: Invariant = Invariant::new(9, "no node is given more than its capacity");
/// A task is placed where it may be.
pub(crate) const CONSTRAINED: Invariant =
    Invariant::new(10, "a task is placed on a node that lives, is active and meets its constraints");
/// A port of a host belongs to one task.
pub(crate) const HOST_PORT: Invariant = Invariant::new(11, "a host port is held by one task");
/// A task has one successor.
pub(crate) const ONE_SUCCESSOR: Invariant = Invariant::new(12, "a task is replaced once");
/// Updates take down only so many slots.
pub(crate) const PARALLELISM: Invariant =
    Invariant::new(19, "an update has no more slots down than its parallelism says");
/// A failed update does not go on.
pub(crate) const FAILURE_ACTS: Invariant =
    Invariant::new(21, "an update that has failed admits no further slot, unless it is to continue");
/// A rollback goes to what was stable.
pub(crate) const ROLLBACK_RESTORES: Invariant =
    Invariant::new(22, "a rollback goes to the stable revision, and then every task runs it");
/// No task is made of what was given up.
pub(crate) const SUPERSEDED: Invariant =
    Invariant::new(23, "a task is made of the revision that slots move to, or of the stable one");
/// A drained node becomes empty.
pub(crate) const DRAINED: Invariant =
    Invariant::new(24, "a drained node becomes empty, as far as there is room elsewhere");
/// What was on a lost node goes on elsewhere.
pub(crate) const LOST_REPLACED: Invariant =
    Invariant::new(25, "what a lost node ran soon runs elsewhere, as far as there is room");
/// A container starts only after a claim.
pub(crate) const CLAIMED: Invariant = Invariant::new(
    26,
    "a container starts only after its agent moved the task to STARTING under its own session",
);
/// Containers are those of the tasks.
pub(crate) const NO_ORPHANS: Invariant =
    Invariant::new(27, "the containers of a node are those of its tasks");
/// Containers are not stopped without reason.
pub(crate) const NO_EARLY_STOP: Invariant =
    Invariant::new(28, "the container of a wanted task is not stopped");
/// With a service goes what was made for it.
pub(crate) const DELETES_CASCADE: Invariant = Invariant::new(29, "nothing is left of a service that is gone");
/// An agent without a session starts nothing.
pub(crate) const NO_START_WITHOUT_SESSION: Invariant =
    Invariant::new(31, "an agent whose session is over starts nothing");
/// A leader that was replaced writes nothing.
pub(crate) const FENCED: Invariant = Invariant::new(32, "only the leader of a controller commits");
/// A cache does not go back; no process panics, and none gives up.
pub(crate) const NO_PANIC: Invariant =
    Invariant::new(33, "no process panics or gives up; what a cache has seen never goes back");
/// One object that does not decode harms no other.
pub(crate) const POISON_ISOLATED: Invariant =
    Invariant::new(34, "a value that does not decode moves nothing that it owns, and is told of");
/// At rest nothing is written, and history is bounded.
pub(crate) const QUIET: Invariant = Invariant::new(35, "history is bounded, and at rest nothing is written");
/// What is wanted becomes so, and stays so.
pub(crate) const CONVERGES: Invariant =
    Invariant::new(36, "when faults and edits end, the cluster becomes what is wanted");
/// A key has one writer in each phase.
pub(crate) const ONE_WRITER: Invariant = Invariant::new(37, "a key is written only by those who may");
/// A process that has ended leaves nothing behind.
pub(crate) const NO_DETACHED: Invariant =
    Invariant::new(38, "a process that has ended leaves no task of its own running");
/// How it came to what is wanted does not matter.
pub(crate) const LAST_SPECS_DECIDE: Invariant =
    Invariant::new(39, "the end depends on the last specs alone: a fresh cluster with them becomes the same");
/// Spread services are even.
pub(crate) const SPREAD_EVENLY: Invariant =
    Invariant::new(40, "a service that is spread over a level is even there, as far as there is room");
