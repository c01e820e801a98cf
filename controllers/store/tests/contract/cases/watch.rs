//! Watches: nothing lost, nothing twice, nothing torn.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use skep_store::{Error, Event, Put, Range, Txn, Watch};

use crate::server::{Server, delete, key, keys, put, soon};

/// Revision, key and value (`None` for a deletion) of the changes up to `last`.
async fn changes(watch: &mut Watch, last: i64) -> Vec<(i64, String, Option<String>)> {
    let mut changes = Vec::new();
    let mut revision = 0;
    while revision < last {
        let batch = soon(watch.next()).await.unwrap();
        assert!(batch.revision > revision, "revisions go up");
        assert_eq!(batch.events.last().unwrap().revision(), batch.revision);
        revision = batch.revision;
        changes.extend(batch.events.into_iter().map(|event| match event {
            Event::Put(kv) => (kv.modified, kv.key, Some(String::from_utf8(kv.value.to_vec()).unwrap())),
            Event::Delete { key, revision } => (revision, key, None),
        }));
    }
    changes
}

pub(crate) async fn a_watch_tells_every_change_once_in_order(server: Server) {
    let store = server.store().await;
    put(&store, key(1), "before").await;
    let first = put(&store, key(1), "a").await;
    let mut watch = store.watch(vec![keys()], first);
    put(&store, key(2), "b").await;
    delete(&store, key(1)).await;
    delete(&store, key(9)).await;
    let last = put(&store, key(1), "c").await;
    let expected =
        [(first, 1, Some("a")), (first + 1, 2, Some("b")), (first + 2, 1, None), (last, 1, Some("c"))]
            .map(|(revision, number, value)| (revision, key(number).to_string(), value.map(str::to_owned)));
    assert_eq!(changes(&mut watch, last).await, expected);
}

pub(crate) async fn a_next_that_is_dropped_loses_nothing(server: Server) {
    let store = server.store().await;
    let first = put(&store, key(0), "0").await;
    let mut watch = store.watch(vec![keys()], first);
    let writer = async {
        for number in 1..200 {
            put(&store, key(0), &number.to_string()).await;
        }
    };
    let reader = async {
        let mut seen = Vec::new();
        while seen.len() < 200 {
            // Most of these give up before anything has come.
            if let Ok(batch) = tokio::time::timeout(Duration::from_micros(50), watch.next()).await {
                seen.extend(batch.unwrap().events.iter().map(Event::revision));
            }
        }
        seen
    };
    let ((), seen) = soon(futures::future::join(writer, reader)).await;
    assert_eq!(seen, (first..first + 200).collect::<Vec<_>>());
}

pub(crate) async fn a_transaction_arrives_whole(server: Server) {
    if let Server::Fake(etcd) = &server {
        etcd.set_fragment_bytes(1000);
    }
    let store = server.store().await;
    let start = put(&store, key(0), "0").await;
    let mut watch = store.watch(vec![keys()], start + 1);
    let puts = (0..128).map(|number| Put::new(key(number), "x".repeat(10_000))).collect();
    store.commit(&Txn { puts, ..Txn::new() }).await.unwrap();
    let batch = soon(watch.next()).await.unwrap();
    assert_eq!((batch.revision, batch.events.len()), (start + 1, 128));
}

/// More revisions than etcd sends in one response.
pub(crate) async fn many_revisions_arrive_whole(server: Server) {
    let store = server.store().await;
    let first = put(&store, key(0), "x").await;
    let puts = stream::iter(1..2500).map(|number| put(&store, key(number % 7), "x")).buffer_unordered(32);
    let last = puts.fold(first, async |last, revision| last.max(revision)).await;
    let mut watch = store.watch(vec![keys()], first);
    let seen: Vec<i64> = changes(&mut watch, last).await.into_iter().map(|(revision, ..)| revision).collect();
    assert_eq!(seen, (first..first + 2500).collect::<Vec<_>>());
}

/// 9 MB of history: above what gRPC decodes by default, and sent in fragments.
pub(crate) async fn a_long_history_arrives_whole(server: Server) {
    let store = server.store().await;
    let first = put(&store, key(0), "x").await;
    for number in 1..30 {
        put(&store, key(number), &"x".repeat(300_000)).await;
    }
    let mut watch = store.watch(vec![keys()], first);
    let seen: Vec<i64> =
        changes(&mut watch, first + 29).await.into_iter().map(|(revision, ..)| revision).collect();
    assert_eq!(seen, (first..first + 30).collect::<Vec<_>>());
}

pub(crate) async fn a_watch_of_several_ranges_sees_only_them(server: Server) {
    let store = server.store().await;
    let start = put(&store, key(0), "0").await;
    let ranges = [1, 3].map(|number| Range::key(&key(number)));
    let mut watch = store.watch(ranges.to_vec(), start + 1);
    for number in [1, 2, 3, 4, 1] {
        put(&store, key(number), "x").await;
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(
            soon(watch.next()).await.unwrap().events.into_iter().map(|event| event.revision() - start),
        );
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 3, 5]);
}

pub(crate) async fn a_watch_survives_a_restart_of_etcd(mut server: Server) {
    let store = server.store().await;
    let first = put(&store, key(0), "0").await;
    let mut watch = store.watch(vec![keys()], first);
    changes(&mut watch, first).await;
    server.restart().await;
    let again = server.store().await;
    let last = put(&again, key(0), "1").await;
    delete(&again, key(0)).await;
    let expected =
        [(last, Some("1".to_owned())), (last + 1, None)].map(|(r, value)| (r, key(0).to_string(), value));
    assert_eq!(changes(&mut watch, last + 1).await, expected);
}

pub(crate) async fn a_watch_from_compacted_history_ends(server: Server) {
    let store = server.store().await;
    let first = put(&store, key(0), "0").await;
    put(&store, key(0), "1").await;
    let last = put(&store, key(0), "2").await;
    server.compact(last).await;
    let mut watch = store.watch(vec![keys()], first);
    assert!(matches!(soon(watch.next()).await, Err(Error::Compacted(_))));
    assert!(matches!(soon(watch.next()).await, Err(Error::Compacted(_))), "and does not come back");
}

/// etcd takes a watch from exactly the compacted revision, but has forgotten the deletions of it.
pub(crate) async fn a_deletion_at_the_compacted_revision_is_not_lost(server: Server) {
    let store = server.store().await;
    put(&store, key(0), "0").await;
    let deleted = delete(&store, key(0)).await;
    server.compact(deleted).await;
    let mut watch = store.watch(vec![keys()], deleted);
    assert!(matches!(soon(watch.next()).await, Err(Error::Compacted(_))));
}
