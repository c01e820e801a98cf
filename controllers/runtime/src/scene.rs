//! A small etcd in memory for tests of planners: put objects, plan, commit the plan, plan again.

use skep_api::ident::Uid;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::time::Timestamp;

use crate::controller::{Controller, Moment, World};
use crate::keyspace::Keyspace;
use crate::plan::{Change, Plan};
use crate::table::Entry;

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
    keys: Keyspace,
}

impl<C: Controller> Default for Scene<C> {
    fn default() -> Self {
        Self {
            world: C::World::new(CLUSTER),
            now: Timestamp::from_millis(1_700_000_000_000),
            keys: Keyspace::at(100),
        }
    }
}

impl<C: Controller> Scene<C> {
    /// Puts an object, as somebody else than the controller would.
    pub fn put(&mut self, key: Key, object: impl Into<Object>) -> &mut Self {
        let observed = key.clone();
        self.keys.put(key, Ok(object.into()));
        self.observe(&observed)
    }

    /// Puts the text of a value, which may not decode.
    pub fn put_text(&mut self, key: Key, text: &str) -> &mut Self {
        let value = Object::decode(&key, text.as_bytes()).map_err(std::sync::Arc::new);
        let observed = key.clone();
        self.keys.put(key, value);
        self.observe(&observed)
    }

    /// Deletes a key, as somebody else than the controller would.
    #[allow(clippy::needless_pass_by_value)] // As `put` takes it.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.keys.delete(&key);
        self.observe(&key)
    }

    /// What is at `key`, if it decodes.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.keys.object(key)
    }

    /// Every key with its value and revisions, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.keys.entries()
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.entries().map(|(key, _)| key)
    }

    /// The uid of the object at `key`, if there is one.
    pub fn uid(&self, key: &Key) -> Option<Uid> {
        let entry = self.keys.entry(key)?;
        Some(Uid::derive(CLUSTER, &key.to_string(), entry.stamp.created))
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.keys.revision()
    }

    /// Plans one key.
    pub fn plan(&self, key: &<C::World as World>::Key) -> Plan<C::Change> {
        C::plan(&self.world, key, Moment { now: self.now, cut: self.keys.revision() })
    }

    /// Commits what a plan says, each change as a revision of its own.
    ///
    /// # Panics
    /// If a guard does not hold: the plan stands on something that is not so.
    #[allow(clippy::panic)] // It is a test's assertion.
    pub fn commit(&mut self, plan: &Plan<C::Change>) {
        for change in &plan.changes {
            match self.keys.commit(change.transaction()) {
                Ok(written) => written.iter().for_each(|key| {
                    self.observe(key);
                }),
                Err(guard) => {
                    panic!("{change:?} stands on {guard:?}, but there is {:?}", self.keys.entry(&guard.key))
                }
            }
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

    fn observe(&mut self, key: &Key) -> &mut Self {
        self.world.apply(key, self.keys.entry(key));
        self
    }
}
