//! What people are shown, and what is waited for, comes from one revision: the keys that were read, decoded once, and
//! followed from there.

use std::collections::BTreeMap;

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, Place};
use skep_api::object::{Invalid, Object};
use skep_store::{Event, KeyValue, Update};

/// A key's value with its revisions.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The value, or why it has none.
    pub(crate) value: Result<Object, Invalid>,
    /// Where it was created.
    pub(crate) created: i64,
    /// Where it was last written.
    pub(crate) modified: i64,
}

/// Some keys at one revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    cluster: String,
    revision: i64,
    entries: BTreeMap<Key, Entry>,
}

impl Cut {
    /// Nothing yet, of the cluster with this id.
    pub(crate) fn new(cluster: String) -> Self {
        Self { cluster, ..Self::default() }
    }

    /// Takes news in.
    pub(crate) fn take(&mut self, update: Update) {
        match update {
            Update::Resync(listing) => {
                self.entries.clear();
                self.revision = listing.revision;
                listing.entries.iter().for_each(|kv| self.put(kv));
            }
            Update::Changed(batch) => {
                self.revision = batch.revision;
                for event in &batch.events {
                    match event {
                        Event::Put(kv) => self.put(kv),
                        Event::Delete { key, .. } => {
                            Key::parse(key).and_then(|key| self.entries.remove(&key));
                        }
                    }
                }
            }
        }
    }

    fn put(&mut self, kv: &KeyValue) {
        if let Some(key) = Key::parse(&kv.key) {
            let value = Object::decode(&key, &kv.value);
            self.entries.insert(key, Entry { value, created: kv.created, modified: kv.modified });
        }
    }

    /// The id of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The revision.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Every key, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// What lies under `key`.
    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The value of `key`, if it decodes.
    pub(crate) fn object(&self, key: &Key) -> Option<&Object> {
        self.entries.get(key)?.value.as_ref().ok()
    }

    /// The identity of the object at `key`.
    pub(crate) fn uid(&self, key: &Key, entry: &Entry) -> Uid {
        Uid::derive(&self.cluster, &key.to_string(), entry.created)
    }

    /// What people call a node.
    pub(crate) fn node_name(&self, node: &NodeId) -> String {
        match self.object(&Key::Node(node.clone())) {
            Some(Object::Node(spec)) => spec.name.clone(),
            _ => node.to_string(),
        }
    }

    /// What people call a place; nothing for no node.
    pub(crate) fn place_name(&self, place: &Place) -> String {
        place.node().map_or(String::new(), |node| self.node_name(node))
    }
}

#[cfg(test)]
impl Cut {
    /// Everything in a scene.
    pub(crate) fn of_scene<C: skep_runtime::controller::Controller>(
        scene: &skep_runtime::scene::Scene<C>,
    ) -> Self {
        Self::of_entries(skep_runtime::scene::CLUSTER, scene.revision(), scene.entries())
    }

    /// All of these, of the cluster with this id at this revision.
    pub(crate) fn of_entries<'a>(
        cluster: &str,
        revision: i64,
        entries: impl Iterator<Item = (&'a Key, &'a skep_runtime::table::Entry)>,
    ) -> Self {
        let mut cut = Self { cluster: cluster.to_owned(), revision, ..Self::default() };
        for (key, entry) in entries {
            let value = entry.value.clone().map_err(|invalid| (*invalid).clone());
            let entry = Entry { value, created: entry.stamp.created, modified: entry.stamp.modified };
            cut.entries.insert(key.clone(), entry);
        }
        cut
    }

    /// A cut of what is given, the first of it written at revision 1, the second at 2, and so on.
    pub(crate) fn of(values: &[(Key, &str)]) -> Self {
        let mut cut = Self::new("c".to_owned());
        for (revision, (key, value)) in (1..).zip(values) {
            let value = value.as_bytes().to_vec().into();
            cut.put(&KeyValue {
                key: key.to_string(),
                value,
                created: revision,
                modified: revision,
                lease: 0,
            });
        }
        cut
    }
}
