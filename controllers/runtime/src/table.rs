//! Typed tables of which a controller's world is made.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use skep_api::object::{Invalid, Object, Typed};

use crate::plan::Expect;

/// The etcd revisions of a key. A key that this controller has written but not seen again has revision 0 there: a
/// plan that compares it rests until the revision is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Where it was created.
    pub created: i64,
    /// Where it was last written.
    pub modified: i64,
}

/// The state of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its value, or why it has none.
    pub value: Result<Object, Arc<Invalid>>,
    /// Its revisions.
    pub stamp: Stamp,
}

/// A typed value with its revisions.
#[derive(Debug, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: Arc<T>,
    /// Its revisions.
    pub stamp: Stamp,
}

/// Typed values by key. A value that does not decode is kept apart, so that it stands in nobody's way and yet is not absent.
#[derive(Debug)]
pub struct Table<K, T> {
    valid: BTreeMap<K, Versioned<T>>,
    invalid: BTreeMap<K, (Arc<Invalid>, Stamp)>,
}

impl<T> Versioned<T> {
    /// Expects the key as it was last written.
    pub fn modified(&self) -> Expect {
        Expect::Modified(self.stamp.modified)
    }

    /// Expects the key to be the same one, written since or not.
    pub fn created(&self) -> Expect {
        Expect::Created(self.stamp.created)
    }
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), stamp: self.stamp }
    }
}

impl<T> Deref for Versioned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { valid: BTreeMap::new(), invalid: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, T: Typed> Table<K, T> {
    /// Sets the value of `key` to what `entry` holds, or removes it; returns the valid value that was there.
    pub fn set(&mut self, key: &K, entry: Option<&Entry>) -> Option<Versioned<T>> {
        let old = self.valid.remove(key);
        self.invalid.remove(key);
        if let Some(entry) = entry {
            match &entry.value {
                Ok(object) => {
                    if let Some(value) = T::from_object(object) {
                        self.valid.insert(key.clone(), Versioned { value, stamp: entry.stamp });
                    }
                }
                Err(invalid) => {
                    self.invalid.insert(key.clone(), (Arc::clone(invalid), entry.stamp));
                }
            }
        }
        old
    }
}

impl<K: Ord, T> Table<K, T> {
    /// The valid value of `key`.
    pub fn get(&self, key: &K) -> Option<&Versioned<T>> {
        self.valid.get(key)
    }

    /// Why the value of `key` does not decode, and its revisions.
    pub fn invalid(&self, key: &K) -> Option<&(Arc<Invalid>, Stamp)> {
        self.invalid.get(key)
    }

    /// The revisions of `key`, if it is there, valid or not.
    pub fn stamp(&self, key: &K) -> Option<Stamp> {
        let valid = self.valid.get(key).map(|found| found.stamp);
        valid.or_else(|| self.invalid.get(key).map(|(_, stamp)| *stamp))
    }

    /// Whether `key` is there, valid or not.
    pub fn has(&self, key: &K) -> bool {
        self.valid.contains_key(key) || self.invalid.contains_key(key)
    }

    /// The valid values in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Versioned<T>)> {
        self.valid.iter()
    }

    /// The keys of values that do not decode.
    pub fn invalid_keys(&self) -> impl Iterator<Item = &K> {
        self.invalid.keys()
    }

    /// How many valid values there are.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there is no valid value.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }
}
