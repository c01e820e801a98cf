//! Lost, late, refused and silent: one fault at a time.

use std::time::Duration;

use bytes::Bytes;
use skep_api::key::Key;
use skep_store::fake::Fault;
use skep_store::{Campaign, Error, Guard, Put, Settlement, Txn, Update};
use tokio::time::Instant;

use super::{Act, scripted};
use crate::server::{committed, key, keys, put, refused, soon};

const RESET: Act = Act::Fail(Fault::Reset);
const REFUSED: Act = Act::Fail(Fault::Refused);

fn leader() -> Key {
    Key::Leader("replica".parse().unwrap())
}

fn create(number: u64) -> Txn {
    Txn::new().guard(Guard::absent(key(number))).put(Put::new(key(number), "new"))
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_left_is_sent_again() {
    let (_etcd, script, store) = scripted().await;
    script.requests("Txn", [REFUSED, REFUSED]);
    committed(store.commit(&create(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_ambiguous_and_not_sent_again() {
    let (etcd, script, store) = scripted().await;
    script.replies("Txn", [RESET]);
    script.take_sent("");
    assert!(store.commit(&create(1)).await.unwrap_err().is_ambiguous());
    assert_eq!((script.take_sent("Txn"), etcd.revision()), (1, 2), "it was applied");
    script.requests("Txn", [RESET]);
    assert!(store.commit(&create(2)).await.unwrap_err().is_ambiguous());
    assert_eq!((script.take_sent("Txn"), etcd.revision()), (1, 2), "it was not applied");
}

/// A6: what was in flight when its sender gave up arrives after the leader key was put again, and fails.
#[tokio::test(start_paused = true)]
async fn a_late_write_fails_once_its_sender_has_settled() {
    let (etcd, script, store) = scripted().await;
    let lease = store.grant(Duration::from_secs(300)).await.unwrap();
    let won = store.campaign(&leader(), Bytes::new(), lease.id()).await.unwrap();
    let Campaign::Won { modified, .. } = won else { panic!("{won:?}") };
    let late = create(1).guard(Guard::modified(leader(), modified));
    script.requests("Txn", [Act::Delay(Duration::from_secs(20))]);
    let start = Instant::now();
    assert!(store.commit(&late).await.unwrap_err().is_ambiguous());
    assert_eq!(start.elapsed(), Duration::from_secs(5), "the request timeout");
    let settled = store.settle(&leader(), modified, Bytes::new(), lease.id()).await.unwrap();
    let revision = etcd.revision();
    assert_eq!(settled, Settlement::Settled { modified: revision });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(etcd.revision(), revision, "the late write has arrived by now, and was refused");
    committed(store.commit(&create(1).guard(Guard::modified(leader(), revision))).await);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_arrives_even_if_its_sender_is_gone() {
    let (etcd, script, store) = scripted().await;
    script.requests("Txn", [Act::Delay(Duration::from_secs(20))]);
    store.commit(&create(1)).await.unwrap_err();
    drop((store, script));
    let revision = etcd.revision();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(etcd.revision(), revision + 1);
}

#[tokio::test(start_paused = true)]
async fn reads_are_sent_again_whatever_broke() {
    let (_etcd, script, store) = scripted().await;
    put(&store, key(1), "a").await;
    script.requests("Range", [REFUSED, RESET]);
    script.replies("Range", [RESET]);
    assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_gives_up_after_its_time() {
    let (_etcd, script, store) = scripted().await;
    script.down(Some(REFUSED));
    let start = Instant::now();
    assert!(matches!(store.list(&keys()).await, Err(Error::Unavailable { .. })));
    assert!(matches!(store.commit(&create(1)).await, Err(Error::NotApplied { .. })));
    script.down(Some(Act::Lose));
    assert!(matches!(store.list(&keys()).await, Err(Error::Unavailable { .. })));
    assert!(store.commit(&create(1)).await.unwrap_err().is_ambiguous());
    assert!(start.elapsed() <= Duration::from_secs(20));
}

/// A5: a stream that says nothing any more is opened again.
#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_opened_again() {
    let (_etcd, script, store) = scripted().await;
    let mut watch = store.watch(vec![keys()], 1);
    put(&store, key(1), "a").await;
    soon(watch.next()).await.unwrap();
    script.messages("Watch", [Act::Lose]);
    let last = put(&store, key(1), "b").await;
    let start = Instant::now();
    assert_eq!(watch.next().await.unwrap().revision, last);
    assert!(start.elapsed() <= Duration::from_secs(31), "{:?}", start.elapsed());
}

/// A watch on which nothing happens is told that it lives, and is not opened again.
#[tokio::test(start_paused = true)]
async fn a_quiet_watch_stays_open() {
    let (_etcd, script, store) = scripted().await;
    let mut watch = store.watch(vec![keys()], 1);
    script.take_sent("");
    tokio::time::timeout(Duration::from_secs(3600), watch.next()).await.unwrap_err();
    assert_eq!(script.take_sent("/Watch"), 1);
}

/// A11: otherwise nobody leads, because the winner does not know that it has won.
#[tokio::test(start_paused = true)]
async fn an_election_whose_answer_is_lost_is_won() {
    let (_etcd, script, store) = scripted().await;
    let lease = store.grant(Duration::from_secs(10)).await.unwrap();
    script.replies("Txn", [RESET]);
    let won = store.campaign(&leader(), Bytes::new(), lease.id()).await.unwrap();
    let modified = store.get(&leader()).await.unwrap().entries[0].modified;
    assert_eq!(won, Campaign::Won { modified, created: modified });
    script.replies("Txn", [RESET, RESET]);
    let settled = store.settle(&leader(), modified, Bytes::new(), lease.id()).await.unwrap();
    assert_eq!(settled, Settlement::Settled { modified: modified + 1 });
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_lost_by_its_holders_own_clock() {
    let (_etcd, script, store) = scripted().await;
    let mut lease = store.grant(Duration::from_secs(10)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), lease.keep_alive()).await.unwrap_err();
    let deadline = lease.deadline();
    script.down(Some(Act::Lose));
    assert_eq!(lease.keep_alive().await, Error::LeaseGone);
    assert_eq!(Instant::now(), deadline);
}

#[tokio::test(start_paused = true)]
async fn a_lease_survives_a_short_outage() {
    let (_etcd, script, store) = scripted().await;
    let mut lease = store.grant(Duration::from_secs(10)).await.unwrap();
    let outage = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        script.down(Some(REFUSED));
        tokio::time::sleep(Duration::from_secs(6)).await;
        script.down(None);
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    tokio::select! {
        biased;
        error = lease.keep_alive() => panic!("{error}"),
        () = outage => {}
    }
}

/// A12: nothing renews a lease whose owner has stopped polling.
#[tokio::test(start_paused = true)]
async fn a_lease_ends_with_its_owners_work() {
    let (etcd, _script, store) = scripted().await;
    let mut lease = store.grant(Duration::from_secs(10)).await.unwrap();
    committed(store.commit(&Txn::new().put(Put::leased(key(1), "x", lease.id()))).await);
    tokio::time::timeout(Duration::from_secs(60), lease.keep_alive()).await.unwrap_err();
    assert_eq!(store.list(&keys()).await.unwrap().entries.len(), 1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(etcd.revision(), 3);
}

/// After a failure the rest would only wait for the same time-out.
#[tokio::test(start_paused = true)]
async fn a_pack_without_answer_is_ambiguous_and_stops_what_follows() {
    let (etcd, script, store) = scripted().await;
    script.replies("Txn", [RESET]);
    let same = |_| Txn::new().put(Put::new(key(1), "x"));
    let outcomes = store.commit_all(&[], (0..3).map(same).collect()).await;
    assert!(matches!(
        outcomes.as_slice(),
        [Err(Error::Ambiguous { .. }), Err(Error::NotApplied { .. }), Err(Error::NotApplied { .. })]
    ));
    assert_eq!(etcd.revision(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pack_that_was_partly_refused_is_sent_again_without_the_refused() {
    let (_etcd, script, store) = scripted().await;
    put(&store, key(2), "taken").await;
    script.take_sent("");
    let outcomes = store.commit_all(&[], (1..=100).map(create).collect()).await;
    assert_eq!(script.take_sent("Txn"), 3, "all of it, the question what failed, and the rest");
    assert_eq!(outcomes.into_iter().filter(|outcome| refused_at(outcome, 2)).count(), 1);
}

/// Nothing was written, so nobody has to settle what became of it.
#[tokio::test(start_paused = true)]
async fn a_refusal_whose_reason_gets_lost_is_not_ambiguous() {
    let (_etcd, script, store) = scripted().await;
    put(&store, key(2), "taken").await;
    script.replies("Txn", [Act::Pass, RESET, RESET]);
    assert_eq!(refused(store.commit(&create(2)).await), [key(2)], "it is asked for again");
    script.replies("Txn", [Act::Pass, Act::Lose]);
    let outcome = store.commit(&create(2)).await;
    assert!(matches!(outcome, Err(Error::NotApplied { .. })), "{outcome:?}");
}

fn refused_at(outcome: &Result<skep_store::Outcome, Error>, number: u64) -> bool {
    matches!(outcome, Ok(skep_store::Outcome::Refused { .. })) && refused(outcome.clone()) == [key(number)]
}

/// Nobody hammers an etcd that is down, and everybody is there when it returns.
#[tokio::test(start_paused = true)]
async fn a_follower_waits_out_an_outage() {
    let (_etcd, script, store) = scripted().await;
    let mut follow = store.follow(vec![keys()]);
    soon(follow.next()).await.unwrap();
    script.down(Some(REFUSED));
    let other = store.clone();
    script.take_sent("");
    tokio::time::timeout(Duration::from_secs(2000), follow.next()).await.unwrap_err();
    let tries = script.take_sent("");
    assert!((50..3000).contains(&tries), "{tries} requests in 2,000 s");
    script.down(None);
    let last = put(&other, key(1), "a").await;
    let start = Instant::now();
    loop {
        match follow.next().await.unwrap() {
            Update::Resync(listing) if listing.revision >= last => break,
            Update::Changed(batch) if batch.revision >= last => break,
            Update::Resync(_) | Update::Changed(_) => {}
        }
    }
    assert!(start.elapsed() <= Duration::from_secs(20), "{:?}", start.elapsed());
}
