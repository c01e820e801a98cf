//! The agent's session: a leased key that says that the node lives.
//!
//! It is renewed only while its owner polls it (A12), so an agent whose loop hangs loses it. A clean end of the agent leaves it to
//! expire: an agent that is back within its TTL, after an upgrade, was never away for the cluster.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use skep_api::key::Key;
use skep_api::node::Session;
use skep_api::object::Object;
use skep_runtime::clock::Env;
use skep_store::{Error as StoreError, Guard, KeyValue, Lease, Outcome, Put, Store, Txn};
use tokio::time::Instant;

use crate::AgentConfig;
use crate::error::AgentError;
use crate::retry::Retry;

/// How long the cluster waits for a sign of life. Swarm's dispatcher takes three heartbeats of 5 s for the same.
pub const SESSION_TTL: Duration = Duration::from_secs(15);
/// Renewals within one TTL: two may be lost.
const RENEWALS_PER_TTL: u32 = 3;
/// Tells this part's randomness from others'.
const RANDOM: u64 = 2;

/// The session while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Where its key was last written.
    pub(crate) modified: i64,
    /// Its lease.
    pub(crate) lease: i64,
    /// Until when it certainly lives.
    pub(crate) deadline: Instant,
}

/// Takes the session and keeps it for as long as it is polled.
pub(crate) struct SessionKeeper {
    machine: Keeping,
    states: BoxStream<'static, Result<Option<Held>, AgentError>>,
    held: Option<Held>,
}

/// What the keeping of a session begins with.
#[derive(Clone)]
struct Keeping {
    store: Store,
    env: Env,
    config: AgentConfig,
}

/// A session on its way: the lease, and where its key was last written.
struct Machine {
    keeping: Keeping,
    retry: Retry,
    taken: Option<(Lease, i64)>,
}

impl SessionKeeper {
    pub(crate) fn new(store: Store, env: Env, config: AgentConfig) -> Self {
        let machine = Keeping { store, env, config };
        Self { states: machine.clone().states(), machine, held: None }
    }

    /// Follows the session; returns whenever it was taken, renewed or lost. Cancel-safe.
    ///
    /// Errors: another machine has the node's id, or etcd refuses a session for good.
    pub(crate) async fn next(&mut self) -> Result<(), AgentError> {
        if let Some(state) = self.states.next().await {
            self.held = state?;
        }
        Ok(())
    }

    /// The session, while its lease certainly lives.
    pub(crate) fn held(&self) -> Option<Held> {
        self.held.filter(|held| Instant::now() < held.deadline)
    }

    /// Takes a new session: somebody deleted the key of this one.
    pub(crate) fn start_again(&mut self) {
        self.held = None;
        self.states = self.machine.clone().states();
    }
}

impl Keeping {
    fn states(self) -> BoxStream<'static, Result<Option<Held>, AgentError>> {
        let retry = Retry::new(self.env.random(RANDOM));
        let machine = Machine { keeping: self, retry, taken: None };
        stream::unfold(machine, |mut machine| async move {
            let state = machine.step().await;
            Some((state, machine))
        })
        .boxed()
    }

    /// Writes the session's key with `lease`; an older session of this machine is replaced at once.
    ///
    /// Every attempt is guarded with the key as it was read just before, so one whose answer was lost can only have come true or
    /// have no effect, and the next reading tells which.
    async fn take(&self, lease: &Lease) -> Result<i64, AgentError> {
        let key = Key::NodeSession(self.config.node.clone());
        loop {
            let found = self.store.get(&key).await?.entries.into_iter().next();
            let guard = match found {
                Some(kv) if kv.lease == lease.id() => return Ok(kv.modified),
                Some(kv) => self.take_over(&key, &kv)?,
                None => Guard::absent(key.clone()),
            };
            let session = Session { holder: self.holder(), since: self.env.now() };
            let value = Object::from(session)
                .encode(&key)
                .map_err(|error| StoreError::Invalid { reason: error.reason })?;
            let txn = Txn::new().guard(guard).put(Put::leased(key.clone(), value, lease.id()));
            match self.store.commit(&txn).await {
                Ok(Outcome::Committed { revision }) => return Ok(revision),
                Ok(Outcome::Refused { .. }) | Err(StoreError::Ambiguous { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The guard for replacing a session: this machine's own, or one that cannot be read.
    fn take_over(&self, key: &Key, found: &KeyValue) -> Result<Guard, AgentError> {
        match holder_of(key, found) {
            Some(holder) if host_of(&holder) != self.config.hostname => {
                Err(AgentError::Taken { node: self.config.node.clone(), holder })
            }
            _ => Ok(Guard::modified(key.clone(), found.modified)),
        }
    }

    fn holder(&self) -> String {
        format!("{}:{}", self.config.hostname, self.config.pid)
    }
}

impl Machine {
    async fn step(&mut self) -> Result<Option<Held>, AgentError> {
        let (lease, modified) = match self.taken.take() {
            None => self.establish().await?,
            Some((mut lease, modified)) => {
                if let Err(error) = self.renew(&mut lease).await {
                    tracing::warn!(%error, "session lost");
                    return Ok(None);
                }
                (lease, modified)
            }
        };
        let held = Held { modified, lease: lease.id(), deadline: lease.deadline() };
        self.taken = Some((lease, modified));
        Ok(Some(held))
    }

    /// A new session, as soon as etcd gives one.
    async fn establish(&mut self) -> Result<(Lease, i64), AgentError> {
        loop {
            let error = match self.try_once().await {
                Ok(session) => {
                    self.retry.reset();
                    return Ok(session);
                }
                Err(error) => error,
            };
            if !error.is_passing() {
                return Err(error);
            }
            tracing::warn!(%error, "no session yet");
            tokio::time::sleep(self.retry.after_failure()).await;
        }
    }

    async fn try_once(&self) -> Result<(Lease, i64), AgentError> {
        let lease = self.keeping.store.grant(SESSION_TTL).await?;
        let modified = self.keeping.take(&lease).await?;
        Ok((lease, modified))
    }

    /// Renews the lease when a third of its TTL is over, and as long as it may live.
    async fn renew(&mut self, lease: &mut Lease) -> Result<(), StoreError> {
        let mut next = lease.deadline() - lease.ttl() + lease.ttl() / RENEWALS_PER_TTL;
        loop {
            tokio::time::sleep_until(next.min(lease.deadline())).await;
            match tokio::time::timeout_at(lease.deadline(), lease.keep_alive_once()).await {
                Err(_) => return Err(StoreError::LeaseGone),
                Ok(Err(error)) if error.is_retryable() => next = Instant::now() + self.retry.after_failure(),
                Ok(answer) => {
                    self.retry.reset();
                    return answer;
                }
            }
        }
    }
}

/// Who holds the session `found`, if it can be read.
pub(crate) fn holder_of(key: &Key, found: &KeyValue) -> Option<String> {
    match Object::decode(key, &found.value) {
        Ok(Object::Session(session)) => Some(session.holder.clone()),
        _ => None,
    }
}

/// The machine in `<host>:<pid>`.
fn host_of(holder: &str) -> &str {
    holder.rsplit_once(':').map_or(holder, |(host, _)| host)
}
