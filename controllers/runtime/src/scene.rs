//! A small etcd in memory for tests of planners: put objects, plan, commit the plan, plan again.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::time::Timestamp;

use crate::controller::{Controller, Moment, World};
use crate::plan::{Change, Expect, Plan, Transaction, Write};
use crate::table::{Entry, Stamp};

/// The id of every scene's cluster.
pub const CLUSTER: &str = "scene";
/// How many rounds of planning a scene may need to come to rest.
const ROUNDS_MAX: usize = 200;

/// A world with the keys that it was made of.
pub struct Scene<C: Controller> {
    /// The controller's world.
    pub world: C::World,
    /// The instant at which plans are made.
    pub now: Timestamp,
    entries: BTreeMap<Key, Entry>,
    revision: i64,
}

impl<C: Controller> Default for Scene<C> {
    fn default() -> Self {
        Self {
            world: C::World::new(CLUSTER),
            now: Timestamp::from_millis(1_700_000_000_000),
            entries: BTreeMap::new(),
            revision: 100,
        }
    }
}

impl<C: Controller> Scene<C> {
    /// Puts an object, as somebody else than the controller would.
    pub fn put(&mut self, key: Key, object: impl Into<Object>) -> &mut Self {
        self.revision += 1;
        self.write(key, Some(object.into()));
        self
    }

    /// Puts the text of a value, which may not decode.
    pub fn put_text(&mut self, key: Key, text: &str) -> &mut Self {
        self.revision += 1;
        let created = self.entries.get(&key).map_or(self.revision, |old| old.stamp.created);
        let value = Object::decode(&key, text.as_bytes()).map_err(std::sync::Arc::new);
        self.set(key, Some(Entry { value, stamp: Stamp { created, modified: self.revision } }));
        self
    }

    /// Deletes a key, as somebody else than the controller would.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.revision += 1;
        self.write(key, None);
        self
    }

    /// What is at `key`, if it decodes.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.entries.get(key).and_then(|entry| entry.value.as_ref().ok())
    }

    /// Every key with its value and revisions, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }

    /// The uid of the object at `key`, if there is one.
    pub fn uid(&self, key: &Key) -> Option<Uid> {
        let entry = self.entries.get(key)?;
        Some(Uid::derive(CLUSTER, &key.to_string(), entry.stamp.created))
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Plans one key.
    pub fn plan(&self, key: &<C::World as World>::Key) -> Plan<C::Change> {
        C::plan(&self.world, key, Moment { now: self.now, cut: self.revision })
    }

    /// Commits what a plan says, each change as a revision of its own.
    ///
    /// # Panics
    /// If a guard does not hold: the plan stands on something that is not so.
    #[allow(clippy::panic)] // It is a test's assertion.
    pub fn commit(&mut self, plan: &Plan<C::Change>) {
        for change in &plan.changes {
            let transaction = change.transaction();
            if let Some(guard) = transaction.guards.iter().find(|guard| !self.holds(&guard.key, guard.expect))
            {
                panic!("{change:?} stands on {guard:?}, but there is {:?}", self.entries.get(&guard.key));
            }
            self.revision += 1;
            self.write_all(transaction);
        }
    }

    /// Plans and commits everything until nothing changes any more; returns every change that was made.
    ///
    /// # Panics
    /// If it does not come to rest.
    #[allow(clippy::panic)] // It is a test's assertion.
    pub fn settle(&mut self) -> Vec<C::Change> {
        let mut made = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let before = made.len();
            for key in self.world.all() {
                let plan = self.plan(&key);
                self.commit(&plan);
                made.extend(plan.changes);
            }
            if made.len() == before {
                return made;
            }
        }
        panic!("planning does not come to rest: {:#?}", made.iter().rev().take(5).collect::<Vec<_>>());
    }

    fn holds(&self, key: &Key, expect: Expect) -> bool {
        let stamp = self.entries.get(key).map(|entry| entry.stamp);
        match expect {
            Expect::Modified(revision) => stamp.is_some_and(|stamp| stamp.modified == revision),
            Expect::Created(revision) => stamp.is_some_and(|stamp| stamp.created == revision),
            Expect::Absent => stamp.is_none(),
        }
    }

    fn write_all(&mut self, transaction: Transaction) {
        for write in transaction.writes {
            match write {
                Write::Put(key, object) => self.write(key, Some(object)),
                Write::Delete(key) => self.write(key, None),
            }
        }
    }

    fn write(&mut self, key: Key, object: Option<Object>) {
        let created = self.entries.get(&key).map_or(self.revision, |old| old.stamp.created);
        let stamp = Stamp { created, modified: self.revision };
        self.set(key, object.map(|object| Entry { value: Ok(object), stamp }));
    }

    fn set(&mut self, key: Key, entry: Option<Entry>) {
        self.world.apply(&key, entry.as_ref());
        match entry {
            Some(entry) => self.entries.insert(key, entry),
            None => self.entries.remove(&key),
        };
    }
}
