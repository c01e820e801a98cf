//! Who is planned again for what.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::key::{Key, ServiceRef};
use skep_api::rollout::Rollout;
use skep_api::task::{DesiredState, TaskState};
use skep_replica::world::World;
use skep_runtime::controller::World as _;
use skep_runtime::scene::CLUSTER;
use skep_runtime::services::Subject;
use skep_runtime::table::Entry;

use crate::shop::{Shop, web};

/// A second world that is told only what changes, to see who is planned again for it.
pub(crate) struct Watcher {
    world: World,
    known: BTreeMap<Key, Entry>,
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Self { world: World::new(CLUSTER), known: BTreeMap::new() }
    }

    /// What has to be planned again for all that changed since the last time.
    pub(crate) fn woken(&mut self, shop: &Shop) -> BTreeSet<Subject> {
        let now: BTreeMap<Key, Entry> =
            shop.scene.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let keys: BTreeSet<&Key> = now.keys().chain(self.known.keys()).collect();
        let changed = keys.into_iter().filter(|key| now.get(*key) != self.known.get(*key));
        let woken = changed.flat_map(|key| self.world.apply(key, now.get(key))).collect();
        self.known = now;
        woken
    }
}

#[test]
fn a_service_that_waits_for_another_one_is_woken_by_it_until_it_has_begun() {
    let mut shop = Shop::with(&[("dependsOn", "[{service: db}]")]);
    let mut watcher = Watcher::new();
    let db = ServiceRef { name: "db".parse().unwrap(), ..web() };
    let both = BTreeSet::from([Subject::Service(db.clone()), Subject::Service(web())]);
    watcher.woken(&shop);
    let spec = "{apiVersion: skep/v1, kind: Service, metadata: {name: db, stack: shop}, spec: {task: {image: demo}}}";
    shop.scene.put_text(Key::Service(db.clone()), spec);
    assert_eq!(watcher.woken(&shop), both, "it is there now");
    shop.settle();
    assert!(shop.tasks().is_empty());
    let uid = shop.scene.uid(&Key::Service(db.clone())).unwrap();
    let again = shop.scene.object(&Key::Service(db.clone())).unwrap().clone();
    shop.scene.put(Key::Service(db.clone()), again);
    let rollout = Rollout { observed_version: shop.scene.revision(), ..shop.rollout.clone() };
    shop.scene.put(Key::Rollout(uid), rollout);
    shop.settle();
    let seen = shop.tasks().pop().unwrap();
    assert_eq!(seen.at.name.service(), "db");
    let seen = shop.place(&seen, 1);
    watcher.woken(&shop);
    shop.say(&seen, TaskState::Starting);
    assert_eq!(watcher.woken(&shop), both, "a task of it has started");
    shop.settle();
    let mine = shop.tasks().into_iter().find(|seen| seen.at.name.service() == "web").unwrap();
    assert_eq!(mine.task.desired, DesiredState::Running);
    watcher.woken(&shop);
    shop.say(&seen, TaskState::Running);
    assert_eq!(watcher.woken(&shop), [Subject::Service(db)].into(), "it has begun, and waits for nobody");
}
