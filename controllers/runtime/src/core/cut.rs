//! The cut: the watched range as it was at one revision.

use std::sync::Arc;

use hashbrown::HashMap;
use skep_api::key::Key;
use skep_api::object::Object;

use super::overlay::Overlay;
use crate::table::{Entry, Stamp};

/// What was seen of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The key as text.
    pub key: String,
    /// Its value and revisions; nothing if it is not there.
    pub value: Option<(bytes::Bytes, Stamp)>,
}

/// The watched range as it was at one revision. Keys that this version does not know are passed over.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// Looked up, and never walked but in [`Cut::replace`], which sorts.
    entries: HashMap<Key, Entry>,
    revision: i64,
}

impl Cut {
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Makes a full list the cut; returns the keys that moved, those that vanished among them.
    pub(super) fn replace(&mut self, revision: i64, entries: Vec<Observation>) -> Vec<Key> {
        let mut gone: HashMap<Key, Entry> = std::mem::take(&mut self.entries);
        let mut moved = Vec::new();
        for observation in entries {
            let Some(key) = Key::parse(&observation.key) else { continue };
            let Some((value, stamp)) = observation.value else { continue };
            match gone.remove(&key) {
                Some(old) if old.stamp == stamp => drop(self.entries.insert(key, old)),
                _ => {
                    self.entries.insert(key.clone(), decode(&key, &value, stamp));
                    moved.push(key);
                }
            }
        }
        let mut vanished: Vec<Key> = gone.into_keys().collect();
        vanished.sort();
        moved.extend(vanished);
        self.advance(revision);
        moved
    }

    /// Adds what changed; returns the keys that moved. What the controller wrote itself is not decoded again.
    pub(super) fn extend(&mut self, revision: i64, entries: Vec<Observation>, overlay: &Overlay) -> Vec<Key> {
        let mut moved = Vec::new();
        for observation in entries {
            let Some(key) = Key::parse(&observation.key) else { continue };
            match observation.value {
                Some((value, stamp)) => {
                    let own = overlay.applied(&key, stamp);
                    debug_assert!(
                        own.is_none_or(|own| *own == decode(&key, &value, stamp)),
                        "{key} does not read back as it was written"
                    );
                    let entry = own.cloned().unwrap_or_else(|| decode(&key, &value, stamp));
                    self.entries.insert(key.clone(), entry);
                }
                None => drop(self.entries.remove(&key)),
            }
            moved.push(key);
        }
        self.advance(revision);
        moved
    }

    /// The store never lets a revision go back (A2); this is where it would be noticed.
    fn advance(&mut self, revision: i64) {
        debug_assert!(revision >= self.revision, "the cut goes back from {} to {revision}", self.revision);
        self.revision = self.revision.max(revision);
    }
}

fn decode(key: &Key, value: &[u8], stamp: Stamp) -> Entry {
    Entry { value: Object::decode(key, value).map_err(Arc::new), stamp }
}
