//! Leases and the leadership that rests on them.

use std::time::Duration;

use bytes::Bytes;
use skep_api::key::Key;
use skep_store::{Campaign, Error, Event, Guard, Put, Settlement, Store, Txn};

use crate::server::{Server, committed, key, keys, put, refused, soon};

const TTL: Duration = Duration::from_secs(2);

fn leader() -> Key {
    Key::Leader("replica".parse().unwrap())
}

async fn campaign(store: &Store, lease: i64) -> Campaign {
    store.campaign(&leader(), Bytes::from_static(b"me"), lease).await.unwrap()
}

async fn settle(store: &Store, modified: i64, lease: i64) -> Settlement {
    store.settle(&leader(), modified, Bytes::from_static(b"me"), lease).await.unwrap()
}

async fn put_leased(store: &Store, lease: i64) -> i64 {
    committed(store.commit(&Txn::new().put(Put::leased(key(1), "x", lease))).await)
}

pub(crate) async fn keys_vanish_when_their_lease_is_revoked(server: Server) {
    let store = server.store().await;
    let lease = store.grant(TTL).await.unwrap();
    let revision = put_leased(&store, lease.id()).await;
    assert_eq!(store.get(&key(1)).await.unwrap().entries[0].lease, lease.id());
    lease.revoke().await.unwrap();
    let listing = store.get(&key(1)).await.unwrap();
    assert_eq!((listing.revision, listing.entries.len()), (revision + 1, 0));
}

pub(crate) async fn keys_vanish_when_nobody_renews_their_lease(server: Server) {
    let store = server.store().await;
    let lease = store.grant(TTL).await.unwrap();
    let revision = put_leased(&store, lease.id()).await;
    let batch = soon(store.watch(vec![keys()], revision + 1).next()).await.unwrap();
    let gone = Event::Delete { key: key(1).to_string(), revision: revision + 1 };
    assert_eq!(batch.events, [gone]);
    assert!(
        tokio::time::Instant::now() >= lease.deadline(),
        "etcd never takes it before its holder's own clock does"
    );
}

pub(crate) async fn a_lease_that_is_renewed_lives_on(server: Server) {
    let store = server.store().await;
    let mut lease = store.grant(TTL).await.unwrap();
    put_leased(&store, lease.id()).await;
    tokio::select! {
        biased;
        error = lease.keep_alive() => panic!("lost: {error}"),
        () = tokio::time::sleep(3 * TTL) => {}
    }
    assert_eq!(store.get(&key(1)).await.unwrap().entries.len(), 1);
}

pub(crate) async fn a_renewal_of_a_lost_lease_says_so(server: Server) {
    let store = server.store().await;
    let mut lease = store.grant(TTL).await.unwrap();
    lease.keep_alive_once().await.unwrap();
    server.client().await.lease_revoke(lease.id()).await.unwrap();
    assert_eq!(lease.keep_alive_once().await, Err(Error::LeaseGone));
    assert_eq!(soon(lease.keep_alive()).await, Error::LeaseGone);
    assert_eq!(lease.revoke().await, Ok(()), "giving back what is gone is no error");
}

pub(crate) async fn one_contender_wins_and_the_next_takes_over(server: Server) {
    let store = server.store().await;
    let (one, two) = (store.grant(TTL).await.unwrap(), store.grant(TTL).await.unwrap());
    assert!(
        matches!(campaign(&store, one.id()).await, Campaign::Won { modified, created } if modified == created)
    );
    assert!(matches!(campaign(&store, two.id()).await, Campaign::Held { by } if by.lease == one.id()));
    one.revoke().await.unwrap();
    assert!(matches!(campaign(&store, two.id()).await, Campaign::Won { .. }));
}

pub(crate) async fn a_win_whose_answer_was_lost_is_recognized(server: Server) {
    let store = server.store().await;
    let lease = store.grant(TTL).await.unwrap();
    let first = campaign(&store, lease.id()).await;
    assert_eq!(campaign(&store, lease.id()).await, first);
}

pub(crate) async fn settling_refuses_what_is_still_on_its_way(server: Server) {
    let store = server.store().await;
    let lease = store.grant(TTL).await.unwrap();
    let Campaign::Won { modified, .. } = campaign(&store, lease.id()).await else { panic!("not won") };
    let late = Txn::new().guard(Guard::modified(leader(), modified)).put(Put::new(key(1), "late"));
    let settled = settle(&store, modified, lease.id()).await;
    assert_eq!(settled, Settlement::Settled { modified: modified + 1 });
    assert_eq!(refused(store.commit(&late).await), [leader()]);
    assert_eq!(settle(&store, modified, lease.id()).await, settled, "a settling whose answer was lost");
}

pub(crate) async fn a_leader_that_was_replaced_cannot_settle(server: Server) {
    let store = server.store().await;
    let (one, two) = (store.grant(TTL).await.unwrap(), store.grant(TTL).await.unwrap());
    let Campaign::Won { modified, .. } = campaign(&store, one.id()).await else { panic!("not won") };
    let id = one.id();
    one.revoke().await.unwrap();
    put(&store, key(1), "x").await;
    assert_eq!(settle_refused(&store, modified, id).await, Settlement::Lost { by: None });
    campaign(&store, two.id()).await;
    let lost = settle_refused(&store, modified, id).await;
    assert!(matches!(lost, Settlement::Lost { by: Some(by) } if by.lease == two.id()));
}

async fn settle_refused(store: &Store, modified: i64, lease: i64) -> Settlement {
    settle(store, modified, lease).await
}
