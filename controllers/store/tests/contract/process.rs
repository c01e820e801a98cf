//! What only a real etcd can do: be frozen, be killed, be one of several endpoints.

use std::process::Command;
use std::time::Duration;

use skep_store::rig::Etcd;
use skep_store::{Config, Error, Guard, Put, Store, Txn, Update};
use tokio::time::Instant;

use crate::server::{committed, key, keys, put, soon};

fn signal(etcd: &Etcd, name: &str) {
    let pid = etcd.pid().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// A5: a frozen server keeps its connections open and says nothing.
#[tokio::test]
async fn a_frozen_etcd_makes_writes_ambiguous_and_is_there_again_when_it_wakes() {
    let etcd = Etcd::start().await.unwrap();
    let store = etcd.store(1).await.unwrap();
    let revision = put(&store, key(1), "a").await;
    let mut watch = store.watch(vec![keys()], revision);
    soon(watch.next()).await.unwrap();
    signal(&etcd, "-STOP");
    let start = Instant::now();
    let late = Txn::new().guard(Guard::modified(key(1), revision)).put(Put::new(key(1), "late"));
    assert!(store.commit(&late).await.unwrap_err().is_ambiguous());
    assert!(matches!(store.list(&keys()).await, Err(Error::Unavailable { .. })));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    signal(&etcd, "-CONT");
    let last = soon(async {
        loop {
            // Until the connection is back, and whether or not the late write arrived.
            let outcome = store.commit(&Txn::new().put(Put::new(key(1), "b"))).await;
            if outcome.is_ok() {
                return committed(outcome);
            }
        }
    });
    let last = last.await;
    while soon(watch.next()).await.unwrap().revision < last {}
}

#[tokio::test]
async fn a_follower_outlives_the_death_of_etcd() {
    let mut etcd = Etcd::start().await.unwrap();
    let store = etcd.store(1).await.unwrap();
    put(&store, key(1), "a").await;
    let mut follow = store.follow(vec![keys()]);
    soon(follow.next()).await.unwrap();
    etcd.kill().unwrap();
    assert!(store.commit(&Txn::new().put(Put::new(key(1), "x"))).await.is_err());
    etcd.run().await.unwrap();
    let last = put(&etcd.store(2).await.unwrap(), key(1), "b").await;
    loop {
        match soon(follow.next()).await.unwrap() {
            Update::Changed(batch) if batch.revision >= last => break,
            Update::Resync(listing) if listing.revision >= last => break,
            Update::Changed(_) | Update::Resync(_) => {}
        }
    }
}

/// A23: the client's balancer gives a dead member its share of the requests.
#[tokio::test]
async fn a_dead_endpoint_among_others_is_not_noticed() {
    let (mut dead, alive) = (Etcd::start().await.unwrap(), Etcd::start().await.unwrap());
    dead.kill().unwrap();
    let store = Store::connect(Config::new(vec![dead.endpoint(), alive.endpoint()], 1)).await.unwrap();
    for number in 0..100 {
        put(&store, key(number), "x").await;
    }
    let mut lease = store.grant(Duration::from_secs(10)).await.unwrap();
    for _ in 0..20 {
        assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 100);
        lease.keep_alive_once().await.unwrap();
    }
    let mut watch = store.watch(vec![keys()], 2);
    soon(watch.next()).await.unwrap();
}
