//! List, then watch, for ever: what every cache in Skep is fed by.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::range::{Listing, Range};
use crate::store::Store;
use crate::watch::{Watch, WatchBatch};

/// The spread of the relist interval: from this fraction less to this fraction more.
const RELIST_SPREAD: f64 = 0.2;

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Everything there is: replace the cache, and treat what is missing here as deleted.
    Resync(Listing),
    /// What changed since.
    Changed(WatchBatch),
}

/// A list and a watch of disjoint ranges that never ends and whose revisions never go back.
///
/// The first update is a resync; later ones follow a compaction, and the regular relist that bounds the life
/// of an event which etcd lost.
pub struct Follow {
    updates: BoxStream<'static, Result<Update, Error>>,
}

impl Store {
    /// Follows `ranges` from their present state on.
    pub fn follow(&self, ranges: Vec<Range>) -> Follow {
        let machine = Machine {
            store: self.clone(),
            ranges,
            backoff: self.backoff(),
            random: fastrand::Rng::with_seed(self.random()),
            synced: None,
        };
        let updates = stream::unfold(machine, |mut machine| async move {
            let update = machine.update().await;
            Some((update, machine))
        });
        Follow { updates: updates.boxed() }
    }
}

impl Follow {
    /// The next update. Cancel-safe: it may be dropped at any time and called again.
    ///
    /// Errors: [`Error::Restored`] (drop the cache and start again), [`Error::Denied`], [`Error::Invalid`]. An etcd that
    /// does not answer is waited for.
    pub async fn next(&mut self) -> Result<Update, Error> {
        let update = self.updates.next().await;
        update.unwrap_or_else(|| Err(Error::Unavailable { reason: "the follower has ended".to_owned() }))
    }
}

struct Machine {
    store: Store,
    ranges: Vec<Range>,
    backoff: Backoff,
    random: fastrand::Rng,
    synced: Option<Synced>,
}

/// After a completed list.
struct Synced {
    watch: Watch,
    since: Instant,
    relist: Instant,
}

impl Machine {
    async fn update(&mut self) -> Result<Update, Error> {
        loop {
            let result = match &mut self.synced {
                None => self.resync().await,
                Some(synced) => match tokio::time::timeout_at(synced.relist, synced.watch.next()).await {
                    Ok(batch) => batch.map(Update::Changed),
                    Err(_) => self.resync().await,
                },
            };
            let error = match result {
                Ok(update) => return Ok(update),
                Err(error) => error,
            };
            let worked = self.synced.take().map_or(Duration::ZERO, |synced| synced.since.elapsed());
            if !error.is_retryable() && !matches!(error, Error::Compacted(_)) {
                return Err(error);
            }
            let delay = self.backoff.after(worked);
            tracing::warn!(%error, ?delay, "listing again");
            tokio::time::sleep(delay).await;
        }
    }

    /// Lists everything and starts the watch right behind it.
    async fn resync(&mut self) -> Result<Update, Error> {
        self.store.check_identity().await?;
        let listing = self.store.list_all(&self.ranges).await?;
        let now = Instant::now();
        let spread = 1.0 + RELIST_SPREAD * (2.0 * self.random.f64() - 1.0);
        let since = self.synced.as_ref().map_or(now, |synced| synced.since);
        self.synced = Some(Synced {
            watch: self.store.watch(self.ranges.clone(), listing.revision + 1),
            since,
            relist: now + self.store.config().relist_interval.mul_f64(spread),
        });
        Ok(Update::Resync(listing))
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}
