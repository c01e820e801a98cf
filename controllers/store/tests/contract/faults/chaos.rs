//! Many faults at once: whatever the network does, a follower's cache is what etcd committed, and no write is
//! counted twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{self, BoxFuture};
use skep_store::fake::{FakeEtcd, Fault, Network};
use skep_store::{Config, Event, Guard, Outcome, Put, Store, Txn, Update};
use tokio::time::{Instant, sleep, timeout_at};

use crate::server::{key, keys};

/// Seeds of one test run.
const SEEDS: u64 = 60;
/// How long the faults last, in virtual time.
const STORM: Duration = Duration::from_secs(120);
/// How long everybody has afterwards to find the truth.
const CALM: Duration = Duration::from_secs(60);
/// Keys that all writers fight for.
const COUNTERS: u64 = 3;

/// Loses, delays and breaks at random, until the storm is over.
struct Storm {
    random: Mutex<fastrand::Rng>,
    end: Instant,
}

impl Storm {
    /// A delay, and in the storm with some probability one of `faults`; `None` is lost without a word.
    fn act(&self, probability: f64, faults: &[Option<Fault>]) -> BoxFuture<'static, Result<(), Fault>> {
        let mut random = self.random.lock().unwrap();
        let delay = Duration::from_millis(random.u64(0..20));
        let stall = Duration::from_secs(random.u64(1..20));
        let is_hit = random.f64() < probability && Instant::now() < self.end;
        let fault = faults.get(random.usize(0..=faults.len())).copied();
        Box::pin(async move {
            sleep(delay).await;
            match fault {
                _ if !is_hit => Ok(()),
                Some(Some(fault)) => Err(fault),
                Some(None) => future::pending().await,
                None => {
                    sleep(stall).await;
                    Ok(())
                }
            }
        })
    }
}

impl Network for Storm {
    fn request(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.act(0.1, &[Some(Fault::Refused), Some(Fault::Reset), None])
    }

    fn reply(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.act(0.1, &[Some(Fault::Reset), None])
    }

    fn message(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.act(0.02, &[Some(Fault::Reset), None])
    }

    fn broken(&self, _: &str) -> BoxFuture<'static, ()> {
        let life = Duration::from_secs(self.random.lock().unwrap().u64(1..60));
        let end = self.end;
        Box::pin(async move {
            sleep(life).await;
            if Instant::now() >= end {
                future::pending::<()>().await;
            }
        })
    }
}

type Log = Arc<Mutex<Vec<(i64, Vec<Event>)>>>;
type State = BTreeMap<String, Vec<u8>>;

fn apply(state: &mut State, events: &[Event]) {
    for event in events {
        match event {
            Event::Put(kv) => drop(state.insert(kv.key.clone(), kv.value.to_vec())),
            Event::Delete { key, .. } => drop(state.remove(key)),
        }
    }
}

/// What etcd committed up to `revision`.
fn committed(log: &Log, revision: i64) -> State {
    let mut state = State::new();
    for (_, events) in log.lock().unwrap().iter().take_while(|(at, _)| *at <= revision) {
        apply(&mut state, events);
    }
    state
}

async fn connect(etcd: &FakeEtcd, storm: &Arc<Storm>, seed: u64) -> Store {
    loop {
        if let Ok(store) = Store::over(etcd.channel(storm.clone()), Config::new(Vec::new(), seed)).await {
            return store;
        }
    }
}

/// Increments the counters; returns how many increments were committed, and how many may have been.
async fn write(store: Store, mut random: fastrand::Rng, end: Instant) -> (u64, u64) {
    let (mut sure, mut unsure) = (0, 0);
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(0..300))).await;
        let Ok(listing) = store.list(&keys()).await else { continue };
        let increments = listing.entries.iter().filter(|_| random.bool()).map(|kv| {
            let counter = key((0..COUNTERS).find(|number| key(*number).to_string() == kv.key).unwrap());
            let value: u64 = std::str::from_utf8(&kv.value).unwrap().parse().unwrap();
            let guard = Guard::modified(counter.clone(), kv.modified);
            Txn::new().guard(guard).put(Put::new(counter, (value + 1).to_string()))
        });
        for outcome in store.commit_all(&[], increments.collect()).await {
            match outcome {
                Ok(Outcome::Committed { .. }) => sure += 1,
                Err(error) if error.is_ambiguous() => unsure += 1,
                Ok(Outcome::Refused { .. }) | Err(_) => {}
            }
        }
    }
    (sure, unsure)
}

/// Follows until `end`, comparing the cache with the truth after every update; returns the cache and its resyncs.
async fn follow(store: Store, log: Log, end: Instant) -> (State, usize) {
    let mut follow = store.follow(vec![keys()]);
    let (mut state, mut revision, mut resyncs) = (State::new(), 0, 0);
    while let Ok(update) = timeout_at(end, follow.next()).await {
        let before = revision;
        match update.unwrap() {
            Update::Resync(listing) => {
                revision = listing.revision;
                resyncs += 1;
                state = listing.entries.into_iter().map(|kv| (kv.key, kv.value.to_vec())).collect();
            }
            Update::Changed(batch) => {
                revision = batch.revision;
                apply(&mut state, &batch.events);
                assert!(revision > before);
            }
        }
        assert!(revision >= before, "revisions never go back");
        assert_eq!(state, committed(&log, revision), "the cache at {revision} is what was committed by then");
    }
    (state, resyncs)
}

async fn disturb(etcd: FakeEtcd, mut random: fastrand::Rng, end: Instant) {
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(100..10_000))).await;
        if random.bool() { etcd.restart() } else { etcd.compact() }
    }
}

/// What is compared between two runs of the same seed.
#[derive(Debug, PartialEq)]
struct Trace {
    log: Vec<(i64, Vec<Event>)>,
    writes: Vec<(u64, u64)>,
    resyncs: Vec<usize>,
}

async fn run(seed: u64) -> Trace {
    let etcd = FakeEtcd::new();
    let log = Log::default();
    let sink = log.clone();
    etcd.on_commit(move |commit| sink.lock().unwrap().push((commit.revision, commit.events.to_vec())));
    let end = Instant::now() + STORM;
    let mut random = fastrand::Rng::with_seed(seed);
    let storm = Arc::new(Storm { random: Mutex::new(random.fork()), end });
    let puts = (0..COUNTERS).map(|number| Put::new(key(number), "0")).collect();
    let setup = Store::over(etcd.perfect_channel(), Config::new(Vec::new(), seed)).await.unwrap();
    setup.commit(&Txn { puts, ..Txn::new() }).await.unwrap();
    let mut stores = Vec::new();
    for _ in 0..5 {
        stores.push(connect(&etcd, &storm, random.u64(..)).await);
    }
    let followers: Vec<_> = stores.drain(..2).map(|store| follow(store, log.clone(), end + CALM)).collect();
    let writers: Vec<_> = stores.into_iter().map(|store| write(store, random.fork(), end)).collect();
    let disturber = disturb(etcd.clone(), random.fork(), end);
    let (counts, followed, ()) =
        future::join3(future::join_all(writers), future::join_all(followers), disturber).await;
    let truth = committed(&log, etcd.revision());
    assert!(followed.iter().all(|(state, _)| *state == truth), "after the storm everybody knows the truth");
    let total: u64 =
        truth.values().map(|value| std::str::from_utf8(value).unwrap().parse::<u64>().unwrap()).sum();
    let (sure, unsure) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!((sure..=sure + unsure).contains(&total), "{sure} sure, {unsure} unsure, {total} counted");
    let resyncs = followed.into_iter().map(|(_, resyncs)| resyncs).collect();
    let log = std::mem::take(&mut *log.lock().unwrap());
    Trace { log, writes: counts, resyncs }
}

/// Each seed in a world of its own, with its own virtual time.
fn run_alone(seed: u64) -> Trace {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed))
}

#[test]
fn a_follower_sees_exactly_what_was_committed_whatever_the_network_does() {
    let mut resyncs = 0;
    let mut unsure = 0;
    for seed in 0..SEEDS {
        let trace = run_alone(seed);
        resyncs += trace.resyncs.iter().sum::<usize>();
        unsure += trace.writes.iter().map(|(_, unsure)| unsure).sum::<u64>();
        assert!(trace.log.len() > 50, "seed {seed}: only {} commits", trace.log.len());
    }
    // Otherwise the storm was none.
    assert!(
        resyncs > 4 * usize::try_from(SEEDS).unwrap() && unsure > SEEDS,
        "{resyncs} resyncs, {unsure} unsure"
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..5 {
        assert_eq!(run_alone(seed), run_alone(seed), "seed {seed}");
    }
    assert_ne!(run_alone(1), run_alone(2));
}
