//! The way to etcd: the production driver with the real client, over an etcd in this process. All of it on one thread, as
//! SwarmKit's figures are of one core: decisions, encoding, packing, the client, the server, and the watch that tells of them.
//!
//! SwarmKit's store lies in the process that schedules. So the scheduler here is a standby that has read the cluster, and
//! the clock starts when it leads; how long reading takes is another bench's matter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use skep_api::ident::Uid;
use skep_api::key::{Key, Place, prefix};
use skep_api::node::Session;
use skep_runtime::clock::Env;
use skep_runtime::controller::Controller as _;
use skep_runtime::driver::{self, DriverConfig};
use skep_runtime::metrics::Metrics;
use skep_scheduler::Scheduler;
use skep_store::fake::{FakeEtcd, Fault, Network};
use skep_store::{Config, Put, Range, Store, Txn};
use tokio_util::sync::CancellationToken;

use super::field::{Field, Item, at};
use super::shape::{Shape, Variant};
use crate::bench::measure::{clock, per_second};

/// How long a controller may be silent: longer than any plan takes.
const LEADER_TTL: Duration = Duration::from_secs(60);
/// How often it is asked how far it is.
const EVERY: Duration = Duration::from_millis(5);
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Random numbers are the same in each run.
const SEED: u64 = 7;

/// Notes when the scheduler could lead, how many transactions were answered since, and when the last.
#[derive(Default)]
struct Meter {
    transactions: AtomicU64,
    begin: Mutex<Option<Instant>>,
    last: Mutex<Option<Instant>>,
}

impl Meter {
    fn begin(&self) {
        self.transactions.store(0, Ordering::Relaxed);
        note(&self.begin);
    }
}

/// The network of the driver: without fault, with a meter.
struct Metered(Arc<Meter>);

impl Network for Metered {
    fn reply(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        if method == "/etcdserverpb.KV/Txn" {
            self.0.transactions.fetch_add(1, Ordering::Relaxed);
            note(&self.0.last);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn note(instant: &Mutex<Option<Instant>>) {
    *instant.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock());
}

/// Places the tasks of `shape`, from leadership to the last commit; tells each figure by its name.
pub(super) fn measure(
    shape: Shape,
    variant: Variant,
    mut tell: impl FnMut(String, f64),
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let etcd = FakeEtcd::new();
        fill(&etcd, shape, variant).await?;
        let meter = Arc::new(Meter::default());
        place(&etcd, shape, &meter).await?;
        let at = |instant: &Mutex<Option<Instant>>| *instant.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(begin), Some(last)) = (at(&meter.begin), at(&meter.last)) else {
            return Err("nothing was written".to_owned());
        };
        tell("committed".to_owned(), per_second(shape.tasks, last - begin));
        let transactions = meter.transactions.load(Ordering::Relaxed);
        tell("transactions".to_owned(), u32::try_from(transactions).unwrap_or(u32::MAX).into());
        Ok(())
    })
}

/// Runs the scheduler until every task is placed: first as a standby, then as the leader.
async fn place(etcd: &FakeEtcd, shape: Shape, meter: &Arc<Meter>) -> Result<(), String> {
    let other = connect(etcd).await?;
    let leader = Key::Leader(Scheduler::NAME.parse().map_err(|_| "not a name")?);
    put(&other, std::iter::once((leader.clone(), session().into()))).await?;
    let channel = etcd.channel(Arc::new(Metered(Arc::clone(meter))));
    let store = Store::over(channel, config()).await.map_err(|error| error.to_string())?;
    let metrics = Metrics::default();
    let shutdown = CancellationToken::new();
    let driver = driver::run::<Scheduler>(
        Env::system(),
        store,
        DriverConfig { holder: "bench:1".to_owned(), leader_ttl: LEADER_TTL, metrics: metrics.clone() },
        shutdown.clone(),
    );
    let tasks = u64::try_from(shape.tasks).unwrap_or(u64::MAX);
    let done = async {
        until(|| metrics.is_synced()).await.ok_or("the cluster was not read")?;
        meter.begin();
        other.commit(&Txn::new().delete(leader)).await.map_err(|error| error.to_string())?;
        let placed = until(|| metrics.committed() >= tasks).await;
        shutdown.cancel();
        placed.ok_or_else(|| format!("only {} of {tasks} tasks were placed", metrics.committed()))
    };
    let (ended, done) = futures::future::join(driver, done).await;
    done?;
    ended.map_err(|error| error.to_string())?;
    let left = list(&other, &prefix::tasks_at(&Place::Pending)).await?;
    if left.is_empty() { Ok(()) } else { Err(format!("{} tasks were not placed", left.len())) }
}

/// Waits until `holds`; nothing if that takes too long.
async fn until(holds: impl Fn() -> bool) -> Option<()> {
    let begin = clock();
    while !holds() {
        if begin.elapsed() > LIMIT {
            return None;
        }
        tokio::time::sleep(EVERY).await;
    }
    Some(())
}

/// Of the leader that is there first.
fn session() -> Session {
    Session { holder: "other:1".to_owned(), since: at() }
}

/// Puts a cluster with pending tasks into `etcd`.
async fn fill(etcd: &FakeEtcd, shape: Shape, variant: Variant) -> Result<(), String> {
    let store = connect(etcd).await?;
    let identity = store.bootstrap().await.map_err(|error| error.to_string())?;
    let field = Field::new(shape, variant, "svc")?;
    put(&store, field.nodes()).await?;
    put(&store, field.services()?.into_iter()).await?;
    let created: std::collections::BTreeMap<String, i64> =
        list(&store, prefix::SERVICES).await?.into_iter().collect();
    let uid_of = |key: &Key| {
        let text = key.to_string();
        created.get(&text).map(|created| Uid::derive(&identity.cluster, &text, *created))
    };
    let owners = field.owners(uid_of)?;
    put(&store, field.revisions(&owners)?.into_iter()).await?;
    put(&store, field.tasks(&owners)).await
}

/// The keys below `prefix`, and where they were created.
async fn list(store: &Store, prefix: &str) -> Result<Vec<(String, i64)>, String> {
    let listing = store.list_all(&[Range::prefix(prefix)]).await.map_err(|error| error.to_string())?;
    Ok(listing.entries.into_iter().map(|kv| (kv.key, kv.created)).collect())
}

async fn put(store: &Store, items: impl Iterator<Item = Item>) -> Result<(), String> {
    let mut items = items.peekable();
    while items.peek().is_some() {
        let mut txns = Vec::new();
        for (key, object) in items.by_ref().take(10_000) {
            let value = object.encode(&key).map_err(|invalid| invalid.reason)?;
            txns.push(Txn::new().put(Put::new(key, value)));
        }
        for answer in store.commit_all(&[], txns).await {
            answer.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

async fn connect(etcd: &FakeEtcd) -> Result<Store, String> {
    Store::over(etcd.perfect_channel(), config()).await.map_err(|error| error.to_string())
}

/// A request may take as long as it takes: client and server share one thread here.
fn config() -> Config {
    Config { request_timeout: LIMIT, silence_limit: LIMIT, ..Config::new(Vec::new(), SEED) }
}
