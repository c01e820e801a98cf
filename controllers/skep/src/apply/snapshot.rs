//! What some keys hold at one revision: what a plan stands on, and what guards it.

use std::collections::BTreeMap;

use skep_api::key::Key;
use skep_api::object::{Invalid, Object};
use skep_store::{Guard, KeyValue, Range, Store};

use crate::failure::Failure;

/// What some keys hold at one revision.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    entries: BTreeMap<String, KeyValue>,
}

impl Snapshot {
    /// Reads `keys`.
    pub(crate) async fn read(store: &Store, keys: impl IntoIterator<Item = Key>) -> Result<Self, Failure> {
        let ranges: Vec<Range> = keys.into_iter().map(|key| Range::key(&key)).collect();
        let listing = store.list_all(&ranges).await?;
        Ok(Self { entries: listing.entries.into_iter().map(|kv| (kv.key.clone(), kv)).collect() })
    }

    /// What lies under `key`.
    pub(crate) fn get(&self, key: &Key) -> Option<&KeyValue> {
        self.entries.get(&key.to_string())
    }

    /// What lies under `key`, decoded.
    pub(crate) fn object(&self, key: &Key) -> Option<Result<Object, Invalid>> {
        self.get(key).map(|kv| Object::decode(key, &kv.value))
    }

    /// That `key` is still as it was read.
    pub(crate) fn guard(&self, key: &Key) -> Guard {
        match self.get(key) {
            Some(kv) => Guard::modified(key.clone(), kv.modified),
            None => Guard::absent(key.clone()),
        }
    }
}

#[cfg(test)]
impl Snapshot {
    /// A snapshot of what is given, all of it written at `revision`.
    pub(crate) fn of<'a>(revision: i64, entries: impl IntoIterator<Item = (&'a Key, Vec<u8>)>) -> Self {
        let entry = |(key, value): (&Key, Vec<u8>)| {
            let kv = KeyValue {
                key: key.to_string(),
                value: value.into(),
                created: revision,
                modified: revision,
                lease: 0,
            };
            (kv.key.clone(), kv)
        };
        Self { entries: entries.into_iter().map(entry).collect() }
    }
}
