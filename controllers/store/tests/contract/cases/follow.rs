//! Followers: the present, then every change, across compactions and restarts, and never back.

use std::collections::BTreeMap;

use skep_api::key::Key;
use skep_store::{Error, Event, Follow, Update};

use crate::server::{Server, delete, key, keys, put, soon};

/// A cache as every user of a follower has one.
#[derive(Default)]
struct Cache {
    revision: i64,
    resyncs: usize,
    values: BTreeMap<String, String>,
}

impl Cache {
    /// Follows until `revision` is reached.
    async fn follow(&mut self, follow: &mut Follow, revision: i64) -> Result<(), Error> {
        while self.revision < revision {
            let update = soon(follow.next()).await?;
            self.apply(update);
        }
        Ok(())
    }

    fn apply(&mut self, update: Update) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let before = self.revision;
        match update {
            Update::Resync(listing) => {
                self.resyncs += 1;
                self.revision = listing.revision;
                self.values = listing.entries.into_iter().map(|kv| (kv.key, text(&kv.value))).collect();
            }
            Update::Changed(batch) => {
                self.revision = batch.revision;
                for event in batch.events {
                    match event {
                        Event::Put(kv) => drop(self.values.insert(kv.key, text(&kv.value))),
                        Event::Delete { key, .. } => drop(self.values.remove(&key)),
                    }
                }
            }
        }
        assert!(self.revision >= before, "revisions never go back");
    }
}

fn values(expected: &[(u64, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(number, value)| (key(*number).to_string(), (*value).to_owned())).collect()
}

pub(crate) async fn a_follower_sees_the_present_and_then_every_change(server: Server) {
    let store = server.store().await;
    put(&store, key(1), "a").await;
    let mut follow = store.follow(vec![keys()]);
    let mut cache = Cache::default();
    cache.follow(&mut follow, 1).await.unwrap();
    assert_eq!(cache.values, values(&[(1, "a")]));
    put(&store, key(2), "b").await;
    let last = delete(&store, key(1)).await;
    cache.follow(&mut follow, last).await.unwrap();
    assert_eq!((cache.values, cache.resyncs), (values(&[(2, "b")]), 1));
}

/// What happens while the connection is down and is compacted before it returns is seen by a list.
pub(crate) async fn a_follower_lists_again_after_a_compaction(mut server: Server) {
    let store = server.store().await;
    put(&store, key(1), "a").await;
    let mut follow = store.follow(vec![keys()]);
    let mut cache = Cache::default();
    cache.follow(&mut follow, 1).await.unwrap();
    server.restart().await;
    let other = server.store().await;
    delete(&other, key(1)).await;
    let last = put(&other, key(2), "b").await;
    server.compact(last).await;
    cache.follow(&mut follow, last).await.unwrap();
    assert_eq!(cache.values, values(&[(2, "b")]));
    let last = put(&other, key(2), "c").await;
    cache.follow(&mut follow, last).await.unwrap();
    assert_eq!(cache.values, values(&[(2, "c")]));
}

/// etcd itself says nothing: the ids on the wire are the same, and a watch from the future is just silent.
pub(crate) async fn a_restored_store_is_noticed(mut server: Server) {
    let store = server.store().await;
    store.bootstrap().await.unwrap();
    put(&store, key(1), "a").await;
    let backup = server.backup().await;
    let mut follow = store.follow(vec![keys()]);
    let mut cache = Cache::default();
    put(&store, key(1), "b").await;
    let last = put(&store, key(1), "c").await;
    cache.follow(&mut follow, last).await.unwrap();
    server.restore(backup).await;
    let error = loop {
        match soon(follow.next()).await {
            Ok(update) => cache.apply(update),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Restored { .. }), "{error}");
    assert!(matches!(soon(store.list(&keys())).await, Err(Error::Restored { .. })));
}

/// Its revision says nothing any more; only the incarnation, which a restore changes, does.
pub(crate) async fn a_restored_store_that_went_on_is_noticed(mut server: Server) {
    let store = server.store().await;
    store.bootstrap().await.unwrap();
    put(&store, key(1), "a").await;
    let backup = server.backup().await;
    let mut follow = store.follow(vec![keys()]);
    let mut cache = Cache::default();
    let last = put(&store, key(1), "b").await;
    cache.follow(&mut follow, last).await.unwrap();
    server.restore(backup).await;
    let other = server.store().await;
    put(&other, Key::Incarnation, "another").await;
    while put(&other, key(2), "x").await < last + 5 {}
    let error = loop {
        match soon(follow.next()).await {
            Ok(update) => cache.apply(update),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Restored { .. }), "{error}");
    assert!(!cache.values.contains_key(&key(2).to_string()), "nothing of the other history is told");
}
