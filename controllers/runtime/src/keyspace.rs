//! A small etcd in memory: keys with their revisions, and transactions that are all or nothing. Nothing of it is written
//! anywhere, so planners can be tried on it, in tests and on a copy of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::key::Key;
use skep_api::object::{Invalid, Object};

use crate::plan::{Expect, Guard, Transaction, Write};
use crate::table::{Entry, Stamp};

/// Keys at one revision.
#[derive(Debug, Default)]
pub struct Keyspace {
    entries: BTreeMap<Key, Entry>,
    revision: i64,
}

impl Keyspace {
    /// No key yet, at `revision`.
    pub fn at(revision: i64) -> Self {
        Self { entries: BTreeMap::new(), revision }
    }

    /// Takes over a key as it was read, with the revisions that it has there.
    pub fn load(&mut self, key: Key, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// What is at `key`.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What is at `key`, if it decodes.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.entries.get(key).and_then(|entry| entry.value.as_ref().ok())
    }

    /// Every key with its value and revisions, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Writes a value, which may be one that does not decode, at a revision of its own.
    pub fn put(&mut self, key: Key, value: Result<Object, Arc<Invalid>>) {
        self.revision += 1;
        self.write(key, Some(value));
    }

    /// Deletes a key, at a revision of its own.
    pub fn delete(&mut self, key: &Key) {
        self.revision += 1;
        self.entries.remove(key);
    }

    /// Does what `transaction` says, at one revision; returns the keys that it wrote.
    ///
    /// # Errors
    /// The first guard that does not hold; then nothing is written.
    pub fn commit(&mut self, transaction: Transaction) -> Result<Vec<Key>, Guard> {
        if let Some(guard) = transaction.guards.iter().find(|guard| !self.holds(guard)) {
            return Err(guard.clone());
        }
        self.revision += 1;
        let mut written = Vec::with_capacity(transaction.writes.len());
        for write in transaction.writes {
            written.push(write.key().clone());
            match write {
                Write::Put(key, object) => self.write(key, Some(Ok(object))),
                Write::Delete(key) => self.write(key, None),
            }
        }
        Ok(written)
    }

    fn holds(&self, guard: &Guard) -> bool {
        let stamp = self.entries.get(&guard.key).map(|entry| entry.stamp);
        match guard.expect {
            Expect::Modified(revision) => stamp.is_some_and(|stamp| stamp.modified == revision),
            Expect::Created(revision) => stamp.is_some_and(|stamp| stamp.created == revision),
            Expect::Absent => stamp.is_none(),
        }
    }

    fn write(&mut self, key: Key, value: Option<Result<Object, Arc<Invalid>>>) {
        let Some(value) = value else {
            self.entries.remove(&key);
            return;
        };
        let created = self.entries.get(&key).map_or(self.revision, |old| old.stamp.created);
        let stamp = Stamp { created, modified: self.revision };
        self.entries.insert(key, Entry { value, stamp });
    }
}

#[cfg(test)]
mod tests {
    use skep_api::node::Session;
    use skep_api::time::Timestamp;

    use super::*;

    fn key(number: u64) -> Key {
        Key::NodeSession(skep_api::ident::NodeId::from_random(number))
    }

    fn session(holder: &str) -> Object {
        Session { holder: holder.to_owned(), since: Timestamp::default() }.into()
    }

    #[test]
    fn a_transaction_whose_guard_does_not_hold_writes_nothing() {
        let mut keys = Keyspace::at(7);
        keys.put(key(1), Ok(session("a")));
        let change = |expect| {
            let guarded = Transaction::new().guard(key(1), expect);
            guarded.put(key(1), session("b")).put(key(2), session("c"))
        };
        for wrong in [Expect::Absent, Expect::Modified(7), Expect::Created(9)] {
            let refused = keys.commit(change(wrong)).unwrap_err();
            assert_eq!((refused.key, refused.expect), (key(1), wrong));
        }
        assert_eq!((keys.revision(), keys.entries().count()), (8, 1));
        assert_eq!(keys.commit(change(Expect::Created(8))).unwrap(), [key(1), key(2)]);
        let stamp = |number| keys.entry(&key(number)).unwrap().stamp;
        assert_eq!(stamp(1), Stamp { created: 8, modified: 9 });
        assert_eq!(stamp(2), Stamp { created: 9, modified: 9 });
        assert_eq!(keys.object(&key(1)), Some(&session("b")));
    }

    #[test]
    fn a_key_that_was_deleted_is_created_anew() {
        let mut keys = Keyspace::at(0);
        keys.put(key(1), Ok(session("a")));
        keys.delete(&key(1));
        keys.put(key(1), Err(Arc::new(Invalid { reason: "cut off".to_owned() })));
        assert_eq!(keys.entry(&key(1)).unwrap().stamp, Stamp { created: 3, modified: 3 });
        assert_eq!(keys.object(&key(1)), None);
    }
}
