//! What etcd itself does to its clients.

use std::time::Duration;

use skep_store::fake::FakeEtcd;
use skep_store::{Config, Error, Put, Store, Txn, Update};
use tokio::time::Instant;

use super::{Act, scripted};
use crate::server::{committed, delete, key, keys, put};

#[tokio::test(start_paused = true)]
async fn a_full_etcd_still_takes_deletions() {
    let (etcd, _script, store) = scripted().await;
    put(&store, key(1), "a").await;
    etcd.set_full(true);
    assert_eq!(store.commit(&Txn::new().put(Put::new(key(2), "b"))).await, Err(Error::NoSpace));
    delete(&store, key(1)).await;
    etcd.set_full(false);
    put(&store, key(2), "b").await;
}

#[tokio::test(start_paused = true)]
async fn an_etcd_that_is_too_old_is_refused() {
    let etcd = FakeEtcd::new();
    etcd.set_version("3.3.27");
    let refused = Store::over(etcd.perfect_channel(), Config::new(Vec::new(), 1)).await;
    assert!(matches!(refused, Err(Error::UnsupportedVersion { .. })));
}

/// A restart gives every lease its full time again: expiry is no timer.
#[tokio::test(start_paused = true)]
async fn a_restart_prolongs_every_lease() {
    let (etcd, _script, store) = scripted().await;
    let lease = store.grant(Duration::from_secs(10)).await.unwrap();
    committed(store.commit(&Txn::new().put(Put::leased(key(1), "x", lease.id()))).await);
    tokio::time::sleep(Duration::from_secs(7)).await;
    etcd.restart();
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 1);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 0);
}

/// What bounds the life of an event that etcd itself lost.
#[tokio::test(start_paused = true)]
async fn a_follower_lists_everything_again_now_and_then() {
    let (_etcd, _script, store) = scripted().await;
    let mut follow = store.follow(vec![keys()]);
    let mut times = Vec::new();
    for _ in 0..5 {
        assert!(matches!(follow.next().await.unwrap(), Update::Resync(_)));
        times.push(Instant::now());
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.iter().all(|gap| (480..=720).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "jittered: {gaps:?}");
}

/// etcd 3.4 takes a watch from exactly the compacted revision, but without its deletions.
#[tokio::test(start_paused = true)]
async fn a_compaction_while_a_watch_is_opened_loses_no_deletion() {
    let (etcd, script, store) = scripted().await;
    put(&store, key(1), "a").await;
    let gone = delete(&store, key(1)).await;
    script.requests("Watch", [Act::Delay(Duration::from_secs(1))]);
    let mut watch = store.watch(vec![keys()], gone);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        etcd.compact();
        put(&store, key(2), "b").await;
    };
    let (next, ()) = tokio::join!(watch.next(), meanwhile);
    assert!(matches!(next, Err(Error::Compacted(_))), "{next:?}");
}

/// A newer etcd says how far a quiet range is known to be quiet, so a compaction does not cost a relist.
#[tokio::test(start_paused = true)]
async fn a_quiet_range_outlives_a_compaction_where_progress_can_be_trusted() {
    for (version, resyncs) in [("3.5.22", 1), ("3.4.23", 2)] {
        let etcd = FakeEtcd::new();
        etcd.set_version(version);
        let store = Store::over(etcd.perfect_channel(), Config::new(Vec::new(), 1)).await.unwrap();
        let mut follow = store.follow(vec![skep_store::Range::key(&key(1))]);
        let mut seen = 0;
        let mut next = async || match follow.next().await.unwrap() {
            Update::Resync(_) => seen += 1,
            Update::Changed(_) => {}
        };
        next().await;
        put(&store, key(2), "elsewhere").await;
        let waited = tokio::time::timeout(Duration::from_secs(60), next()).await;
        assert!(waited.is_err());
        etcd.compact();
        put(&store, key(2), "elsewhere").await;
        etcd.restart();
        let _ = tokio::time::timeout(Duration::from_secs(60), next()).await;
        assert_eq!(seen, resyncs, "{version}");
    }
}
