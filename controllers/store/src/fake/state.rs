//! The fake server: its state, and the controls that a test or a simulator pulls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use etcd_client::Channel;
use etcd_client::proto::PbResponseHeader;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tonic::Status;

use super::lease::Leases;
use super::mvcc::{Mvcc, Span, Writes};
use super::net::{self, Client, Network, PerfectNetwork};
use super::status;
use crate::watch::Event;

/// Above this size of its events, a watch response is sent in fragments: etcd's request limit and 512 KiB.
const FRAGMENT_BYTES: usize = 2 * 1024 * 1024;
/// The version that a fake claims to be: Debian 12's.
const VERSION: &str = "3.4.23";

/// An etcd in this process. Clones are the same server.
#[derive(Clone)]
pub struct FakeEtcd {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Tells every stream that there may be something new, always in the same order; tokio's `watch` draws lots.
    news: broadcast::Sender<()>,
    /// Requests on their way; they end with the server.
    requests: Mutex<JoinSet<()>>,
}

/// A server that may be gone when a request reaches it.
pub(crate) struct WeakEtcd(Weak<Shared>);

/// One commit, as an observer sees it.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Its revision.
    pub revision: i64,
    /// What it wrote.
    pub events: &'a [Event],
    /// The client that asked for it ([`Network::client`]); empty if etcd did it by itself, at the end of a lease.
    pub client: &'a str,
}

/// Told of every commit.
type Observer = Box<dyn FnMut(&Commit<'_>) + Send>;

pub(crate) struct State {
    pub(crate) mvcc: Mvcc,
    pub(crate) leases: Leases,
    pub(crate) version: String,
    pub(crate) fragment_bytes: usize,
    pub(crate) is_full: bool,
    /// How often the server was started: streams of an earlier life end.
    pub(crate) life: u64,
    /// Who asked for what is applied now.
    client: Option<Client>,
    observer: Option<Observer>,
}

/// All that a server holds at one revision, for [`FakeEtcd::restore`].
#[derive(Clone)]
pub struct Snapshot {
    mvcc: Mvcc,
    leases: Leases,
}

impl Default for FakeEtcd {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeEtcd {
    /// An empty server at revision 1.
    pub fn new() -> Self {
        let state = State {
            mvcc: Mvcc::default(),
            leases: Leases::default(),
            version: VERSION.to_owned(),
            fragment_bytes: FRAGMENT_BYTES,
            is_full: false,
            life: 0,
            client: None,
            observer: None,
        };
        let shared = Shared {
            state: Mutex::new(state),
            news: broadcast::Sender::new(1),
            requests: Mutex::new(JoinSet::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A channel for [`Store::over`](crate::Store::over) that loses and delays nothing.
    pub fn perfect_channel(&self) -> Channel {
        self.channel(Arc::new(PerfectNetwork))
    }

    /// A channel through `network`, which decides what happens to each request, reply and stream.
    pub fn channel(&self, network: Arc<dyn Network>) -> Channel {
        net::channel(self.clone(), network)
    }

    /// Claims to be another version of etcd.
    pub fn set_version(&self, version: &str) {
        version.clone_into(&mut self.lock().version);
    }

    /// Sends watch responses above `bytes` in fragments, if the watcher asked for it.
    pub fn set_fragment_bytes(&self, bytes: usize) {
        self.lock().fragment_bytes = bytes;
    }

    /// Whether the disk quota is used up: writes and grants fail then, deletions and renewals do not.
    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// Calls `observer` with every later commit, in order, before anybody else sees it.
    pub fn on_commit(&self, observer: impl FnMut(&Commit<'_>) + Send + 'static) {
        self.lock().observer = Some(Box::new(observer));
    }

    /// The last revision.
    pub fn revision(&self) -> i64 {
        self.lock().mvcc.revision()
    }

    /// Compacts all history before the last revision away, as etcd's own compactor does.
    pub fn compact(&self) {
        let mut state = self.lock();
        let revision = state.mvcc.revision();
        // Already compacted there: nothing happened since.
        let _ = state.mvcc.compact(revision);
        drop(state);
        self.announce();
    }

    /// Ends all streams and gives every lease its full TTL again, as a restart or a change of leader does.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.leases.renew_all();
        drop(state);
        self.announce();
    }

    /// A backup.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot { mvcc: state.mvcc.clone(), leases: state.leases.clone() }
    }

    /// Starts again from a backup.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut state = self.lock();
        state.mvcc = snapshot.mvcc.clone();
        state.leases = snapshot.leases.clone();
        drop(state);
        self.restart();
    }

    /// The state, with every lease that has expired by now gone.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.client = None;
        if state.expire_leases() {
            self.announce();
        }
        state
    }

    /// The state, for a request of `client`.
    pub(crate) fn lock_for(&self, client: Option<Client>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.client = client;
        state
    }

    /// Wakes the streams.
    pub(crate) fn announce(&self) {
        // Without a stream there is nobody to wake.
        let _ = self.shared.news.send(());
    }

    /// Runs a request to its end, whoever waits for it.
    pub(crate) fn spawn(&self, request: impl Future<Output = ()> + Send + 'static) {
        let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while requests.try_join_next().is_some() {}
        requests.spawn(request);
    }

    pub(crate) fn downgrade(&self) -> WeakEtcd {
        WeakEtcd(Arc::downgrade(&self.shared))
    }

    pub(crate) fn news(&self) -> broadcast::Receiver<()> {
        self.shared.news.subscribe()
    }
}

impl WeakEtcd {
    pub(crate) fn upgrade(&self) -> Option<FakeEtcd> {
        self.0.upgrade().map(|shared| FakeEtcd { shared })
    }
}

impl State {
    /// Applies the writes of one request, and tells the observer.
    pub(crate) fn apply(&mut self, writes: Writes) {
        let events = self.mvcc.apply(writes);
        if events.is_empty() {
            return;
        }
        for kv in events.iter().filter_map(|event| event.kv.as_ref()) {
            self.leases.attach(&kv.key, kv.lease);
        }
        if let Some(observer) = &mut self.observer {
            let events: Vec<Event> = events.iter().cloned().filter_map(Event::from_pb).collect();
            let client = self.client.as_ref().map_or("", |client| client.0.client());
            observer(&Commit { revision: self.mvcc.revision(), events: &events, client });
        }
    }

    pub(crate) fn header(&self) -> PbResponseHeader {
        self.header_at(self.mvcc.revision())
    }

    pub(crate) fn header_at(&self, revision: i64) -> PbResponseHeader {
        PbResponseHeader { cluster_id: 1, member_id: 1, revision, raft_term: 2 + self.life }
    }

    /// Refuses what needs space when there is none.
    pub(crate) fn check_space(&self) -> Result<(), Status> {
        if self.is_full { Err(status::no_space()) } else { Ok(()) }
    }

    /// Whether any lease had expired.
    fn expire_leases(&mut self) -> bool {
        let mut any = false;
        while let Some(keys) = self.leases.take_expired() {
            any = true;
            let mut writes = Writes::default();
            for key in keys {
                writes.delete(&self.mvcc, &Span::new(&key, &[]));
            }
            self.apply(writes);
        }
        any
    }
}

impl std::fmt::Debug for FakeEtcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeEtcd").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("revision", &self.mvcc.revision()).finish_non_exhaustive()
    }
}
