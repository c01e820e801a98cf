//! What a planner returns: what to write, on what each write stands, when to look again, and why.

use skep_api::key::Key;
use skep_api::object::{Invalid, Object};
use skep_api::record::Severity;
use skep_api::time::Timestamp;

pub use skep_store::{Expect, Guard};
use skep_store::{Put, Txn};

/// What a planner decided for one of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<C> {
    /// What to write. Each change is one transaction: all of it, or nothing.
    pub changes: Vec<C>,
    /// When to plan again even if nothing moves.
    pub again: Option<Timestamp>,
    /// Why: what people are told when the changes have been written.
    pub notes: Vec<Note>,
}

/// Something worth telling people; it becomes an Event once the plan's changes are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object it is about, such as `Service/shop/web`.
    pub regarding: String,
    /// What, in one word in PascalCase.
    pub reason: &'static str,
    /// What, in a sentence.
    pub message: String,
    /// How much it matters.
    pub severity: Severity,
}

/// One decision: what to write, and what must still hold for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// What the decision stands on.
    pub guards: Vec<Guard>,
    /// What it writes; each key at most once.
    pub writes: Vec<Write>,
}

/// A write to one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Puts a value.
    Put(Key, Object),
    /// Deletes the key.
    Delete(Key),
}

/// What a controller may write is a type: a closed list of changes.
pub trait Change: Clone + std::fmt::Debug + PartialEq {
    /// What the change writes, and on what it stands. The fence of the controller is added by the driver.
    fn transaction(&self) -> Transaction;
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Self { changes: Vec::new(), again: None, notes: Vec::new() }
    }
}

impl<C> Plan<C> {
    /// Adds a change.
    pub fn write(&mut self, change: C) {
        self.changes.push(change);
    }

    /// Plans again at `instant` at the latest.
    pub fn look_again_at(&mut self, instant: Timestamp) {
        self.again = Some(self.again.map_or(instant, |earlier| earlier.min(instant)));
    }

    /// Tells people something in the ordinary course.
    pub fn note(&mut self, regarding: impl Into<String>, reason: &'static str, message: impl Into<String>) {
        self.notes.push(Note {
            regarding: regarding.into(),
            reason,
            message: message.into(),
            severity: Severity::Normal,
        });
    }

    /// Tells people that something is wrong.
    pub fn warn(&mut self, regarding: impl Into<String>, reason: &'static str, message: impl Into<String>) {
        self.notes.push(Note {
            regarding: regarding.into(),
            reason,
            message: message.into(),
            severity: Severity::Warning,
        });
    }
}

impl Transaction {
    /// A transaction that writes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stands on `key` as it was last written at `revision`.
    #[must_use]
    pub fn modified(self, key: Key, revision: i64) -> Self {
        self.guard(key, Expect::Modified(revision))
    }

    /// Stands on `key` being the one created at `revision`.
    #[must_use]
    pub fn created(self, key: Key, revision: i64) -> Self {
        self.guard(key, Expect::Created(revision))
    }

    /// Stands on `key` not being there.
    #[must_use]
    pub fn absent(self, key: Key) -> Self {
        self.guard(key, Expect::Absent)
    }

    /// Adds a guard.
    #[must_use]
    pub fn guard(mut self, key: Key, expect: Expect) -> Self {
        self.guards.push(Guard { key, expect });
        self
    }

    /// Writes `object` to `key`.
    #[must_use]
    pub fn put(mut self, key: Key, object: impl Into<Object>) -> Self {
        self.writes.push(Write::Put(key, object.into()));
        self
    }

    /// Deletes `key`.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// The same as etcd takes it: all of it, or nothing.
    ///
    /// # Errors
    /// If an object does not belong under its key.
    pub fn encode(self) -> Result<Txn, Invalid> {
        let mut txn = Txn { guards: self.guards, ..Txn::default() };
        for write in self.writes {
            match write {
                Write::Put(key, object) => {
                    let value = object.encode(&key)?;
                    txn.puts.push(Put::new(key, value));
                }
                Write::Delete(key) => txn.deletes.push(key),
            }
        }
        Ok(txn)
    }
}

impl Write {
    /// The key that is written.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}
