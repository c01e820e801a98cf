//! The connection to etcd that everything else works through: deadlines, retries, and the highest revision seen.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use etcd_client::{Channel, Client, Error as ClientError};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::classify;
use crate::config::Config;
use crate::error::Error;
use crate::identity::Identity;
use crate::version::Version;

/// The longest answer that is decoded: a page, or a burst of watch events.
pub(crate) const DECODE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A connection to etcd; cheap to clone, and all clones share what they have seen.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    config: Config,
    /// The highest revision in any answer: no later list may lie below it.
    seen: AtomicI64,
    identity: OnceLock<Identity>,
    version: OnceLock<Version>,
    random: Mutex<fastrand::Rng>,
}

impl Store {
    /// Connects to a real etcd, checks its version and reads which cluster it holds.
    ///
    /// Errors: [`Error::Unavailable`] when there is no answer within the request timeout,
    /// [`Error::UnsupportedVersion`], [`Error::Denied`]. An etcd without a Skep cluster is no error: see
    /// [`Store::bootstrap`].
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let client = Client::connect(&config.endpoints, Some(config.connect_options())).await;
        Self::open(client.map_err(|error| classify::of_read(&error))?, config).await
    }

    /// The same over a channel that the caller has made: a fake etcd, a simulated network.
    pub async fn over(channel: Channel, config: Config) -> Result<Self, Error> {
        let client = Client::from_channel(channel, None).await;
        Self::open(client.map_err(|error| classify::of_read(&error))?, config).await
    }

    async fn open(client: Client, config: Config) -> Result<Self, Error> {
        let random = Mutex::new(fastrand::Rng::with_seed(config.seed));
        let store = Self {
            shared: Arc::new(Shared {
                client,
                config,
                seen: AtomicI64::new(0),
                identity: OnceLock::new(),
                version: OnceLock::new(),
                random,
            }),
        };
        store.check_version().await?;
        store.check_identity().await?;
        Ok(store)
    }

    /// The version of the server that answered first; `None` if this client may not ask for it.
    pub fn server_version(&self) -> Option<Version> {
        self.shared.version.get().copied()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn known_identity(&self) -> &OnceLock<Identity> {
        &self.shared.identity
    }

    /// A client of its own: nothing waits for anything else.
    pub(crate) fn client(&self) -> Client {
        self.shared.client.clone()
    }

    /// The highest revision in any answer so far.
    pub(crate) fn seen(&self) -> i64 {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// Remembers a revision that etcd answered.
    pub(crate) fn saw(&self, revision: i64) {
        self.shared.seen.fetch_max(revision, Ordering::SeqCst);
    }

    /// A random number from the injected seed.
    pub(crate) fn random(&self) -> u64 {
        self.shared.random.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.random())
    }

    async fn check_version(&self) -> Result<(), Error> {
        match self.read(|client| async move { client.maintenance_client().status().await }).await {
            Ok(status) => {
                let version = Version::supported(status.version())?;
                let _ = self.shared.version.set(version);
                Ok(())
            }
            Err(Error::Denied { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs a read until it is answered, or the request timeout is over.
    pub(crate) async fn read<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.retry(|left| {
            let attempt = request(self.client());
            async move { self.attempt(left, attempt).await.map_err(Error::of_read) }
        })
        .await
    }

    /// Runs a write, again only while etcd has certainly not applied it.
    pub(crate) async fn write<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.retry(|left| self.attempt(left, request(self.client()))).await
    }

    /// Tries until the answer is final or the request timeout is over.
    pub(crate) async fn retry<T, F>(&self, attempt: impl Fn(Duration) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.retry_for(self.config().request_timeout, attempt).await
    }

    /// Tries until the answer is final or `limit` is over. Each attempt is told how much of it is left.
    pub(crate) async fn retry_for<T, F>(
        &self,
        limit: Duration,
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + limit;
        let mut backoff = self.backoff();
        loop {
            // On the heap: every layer above would carry the size of a client and its request.
            let attempt = Box::pin(attempt(deadline.saturating_duration_since(Instant::now())));
            let error = match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = Instant::now() + backoff.after(Duration::ZERO);
            if !error.is_retryable() || again >= deadline {
                return Err(error);
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// One attempt, for at most `limit`; what has no answer by then is ambiguous.
    pub(crate) async fn attempt<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| classify::of_write(&error)),
            Err(_) => Err(Error::Ambiguous { reason: format!("no answer within {} ms", limit.as_millis()) }),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("seen", &self.seen()).finish_non_exhaustive()
    }
}
