//! The overlay: the controller's own writes that its cut does not contain yet.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use skep_api::key::Key;

use super::TxnId;
use super::cut::Cut;
use crate::plan::{Transaction, Write};
use crate::table::{Entry, Stamp};

/// One own write.
#[derive(Debug)]
struct OwnWrite {
    by: TxnId,
    /// The state that it leads to; nothing if it deletes.
    entry: Option<Entry>,
    /// Where it was applied, once that is known.
    revision: Option<i64>,
}

/// Own writes by key. A key has at most one that is not confirmed: a plan that would add another rests.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Looked up and never walked: the order of a hash table reaches nothing.
    writes: HashMap<Key, OwnWrite>,
    /// The keys whose writes were applied, by the revision of that. One that was written again since is here too.
    applied: BTreeMap<i64, Vec<Key>>,
}

impl Overlay {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.writes.contains_key(key)
    }

    /// What an own write leaves at `key`; nothing if it deletes it.
    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.writes.get(key).and_then(|write| write.entry.as_ref())
    }

    /// What an own write left at `key`, if that is what etcd holds there at `stamp`.
    pub(super) fn applied(&self, key: &Key, stamp: Stamp) -> Option<&Entry> {
        let write = self.writes.get(key).filter(|write| write.revision == Some(stamp.modified))?;
        write.entry.as_ref().filter(|entry| entry.stamp == stamp)
    }

    /// Whether `transaction` compares or writes a key whose revision is not known yet.
    pub(super) fn leaves_open(&self, transaction: &Transaction) -> bool {
        let compared = transaction.guards.iter().map(|guard| &guard.key);
        let written = transaction.writes.iter().map(Write::key);
        compared.chain(written).any(|key| self.writes.get(key).is_some_and(|write| write.revision.is_none()))
    }

    /// Lays the writes of `transaction` over the cut; returns their keys. Keys outside the watched range are left
    /// out: the cut would never show them.
    pub(super) fn put(&mut self, transaction: &Transaction, by: TxnId, cut: &Cut) -> Vec<Key> {
        let mut keys = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            let key = write.key();
            if !key.is_in_controller_range() {
                continue;
            }
            let entry = match write {
                Write::Put(_, object) => {
                    let stamp = Stamp { created: self.created(key, cut), modified: 0 };
                    Some(Entry { value: Ok(object.clone()), stamp })
                }
                Write::Delete(_) => None,
            };
            self.writes.insert(key.clone(), OwnWrite { by, entry, revision: None });
            keys.push(key.clone());
        }
        keys
    }

    /// The revision at which `key` was created, 0 if it is not there.
    fn created(&self, key: &Key, cut: &Cut) -> i64 {
        let entry = match self.writes.get(key) {
            Some(own) => own.entry.as_ref(),
            None => cut.get(key),
        };
        entry.map_or(0, |entry| entry.stamp.created)
    }

    /// The writes of transaction `by` were applied at `revision`; returns those keys whose state is still this write.
    pub(super) fn confirm(&mut self, keys: &[Key], by: TxnId, revision: i64) -> Vec<Key> {
        let mut confirmed = Vec::new();
        for key in keys {
            let Some(write) = self.writes.get_mut(key).filter(|write| write.by == by) else { continue };
            write.revision = Some(revision);
            if let Some(entry) = &mut write.entry {
                entry.stamp.modified = revision;
                if entry.stamp.created == 0 {
                    entry.stamp.created = revision;
                }
            }
            confirmed.push(key.clone());
        }
        self.applied.entry(revision).or_default().extend(confirmed.iter().cloned());
        confirmed
    }

    /// The writes of transaction `by` were not applied; returns the keys whose state is the cut's again.
    pub(super) fn withdraw(&mut self, keys: &[Key], by: TxnId) -> Vec<Key> {
        keys.iter()
            .filter(|key| self.writes.get(*key).is_some_and(|write| write.by == by))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
            .inspect(|key| drop(self.writes.remove(key)))
            .collect()
    }

    /// Takes out what the cut at `revision` contains; returns the keys, and what the writes left there.
    pub(super) fn take_visible(&mut self, revision: i64) -> Vec<(Key, Option<Entry>)> {
        let later = self.applied.split_off(&revision.saturating_add(1));
        let mut taken = Vec::new();
        for key in std::mem::replace(&mut self.applied, later).into_values().flatten() {
            let is_visible = |write: &OwnWrite| write.revision.is_some_and(|own| own <= revision);
            if self.writes.get(&key).is_some_and(is_visible)
                && let Some(write) = self.writes.remove(&key)
            {
                taken.push((key, write.entry));
            }
        }
        taken
    }
}
