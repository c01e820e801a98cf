//! Guarded transactions: what they compare and write, and the limits that are checked before they are sent.

use bytes::Bytes;
use skep_api::key::Key;

use crate::range::KeyValue;

/// etcd's default for the operations of one transaction, and for its comparisons.
pub const TXN_MAX_OPS: usize = 128;
/// etcd's default for one request, in bytes.
pub const REQUEST_MAX_BYTES: usize = 1_572_864;
/// The largest value of one key, in bytes.
pub const VALUE_MAX_BYTES: usize = 512 * 1024;
/// The largest transaction that is sent, in bytes; the rest of etcd's limit is left for its own framing.
pub const TXN_MAX_BYTES: usize = 1_500_000;

/// What a guard expects of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expect {
    /// The key was last written by this revision.
    Modified(i64),
    /// The key was created by this revision, whatever was written since.
    Created(i64),
    /// The key does not exist.
    Absent,
}

/// A condition of a transaction: one key, one expectation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard {
    /// The key that is compared.
    pub key: Key,
    /// What must hold.
    pub expect: Expect,
}

/// A value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Bytes,
    /// The lease that the key is to live with.
    pub lease: Option<i64>,
}

/// Writes that happen together if every guard holds, and not at all otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What is written.
    pub puts: Vec<Put>,
    /// What is deleted.
    pub deletes: Vec<Key>,
}

/// etcd's answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every guard held.
    Committed {
        /// The revision of the writes; if there was nothing to write or delete, the store's revision.
        revision: i64,
    },
    /// At least one guard did not hold, and nothing was written.
    Refused {
        /// The revision at which the guards were compared.
        revision: i64,
        /// The keys whose guards failed, with what lay there at that revision.
        failed: Vec<(Key, Option<KeyValue>)>,
    },
}

impl Guard {
    /// The key was last written by `revision`.
    pub fn modified(key: Key, revision: i64) -> Self {
        Self { key, expect: Expect::Modified(revision) }
    }

    /// The key was created by `revision`.
    pub fn created(key: Key, revision: i64) -> Self {
        Self { key, expect: Expect::Created(revision) }
    }

    /// The key does not exist.
    pub fn absent(key: Key) -> Self {
        Self { key, expect: Expect::Absent }
    }
}

impl Expect {
    /// Whether `found` is as expected.
    pub fn holds(self, found: Option<&KeyValue>) -> bool {
        match (self, found) {
            (Self::Modified(revision), Some(kv)) => kv.modified == revision,
            (Self::Created(revision), Some(kv)) => kv.created == revision,
            (Self::Absent, None) => true,
            (Self::Modified(_) | Self::Created(_), None) | (Self::Absent, Some(_)) => false,
        }
    }
}

impl Put {
    /// A value that stays until it is deleted.
    pub fn new(key: Key, value: impl Into<Bytes>) -> Self {
        Self { key, value: value.into(), lease: None }
    }

    /// A value that vanishes with `lease`.
    pub fn leased(key: Key, value: impl Into<Bytes>, lease: i64) -> Self {
        Self { key, value: value.into(), lease: Some(lease) }
    }
}

impl Txn {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more condition.
    #[must_use]
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// With one more value to write.
    #[must_use]
    pub fn put(mut self, put: Put) -> Self {
        self.puts.push(put);
        self
    }

    /// With one more key to delete.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.deletes.push(key);
        self
    }
}
