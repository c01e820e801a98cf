//! Leadership: a lease, and a key that lives with it inside the watched range.
//!
//! A lease only decides who tries. What keeps a second leader from writing is the fence: every transaction compares the
//! last write of the leader key (A10). A standby keeps a lease ready, so that taking over is one transaction.

use std::time::Duration;

use futures::future::BoxFuture;
use skep_api::key::Key;
use skep_store::{Campaign, Error, KeyValue, Lease, Settlement, Store};

/// How long to wait before asking for a lease again after etcd refused one.
const PAUSE: Duration = Duration::from_millis(500);

/// What an office tells its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Leadership was won, or its fence renewed, by this write of the leader key.
    Leading { fence: i64 },
    /// Leadership is over.
    Lost,
}

/// A step that is on its way to etcd.
enum Step {
    Granted(Result<Lease, Error>),
    Campaigned(Result<Campaign, Error>),
    Settled(Result<Settlement, Error>),
    Rested,
}

/// One contender for a leader key.
pub(crate) struct Office {
    store: Store,
    key: Key,
    value: Vec<u8>,
    ttl: Duration,
    lease: Option<i64>,
    /// Renews the lease for as long as it is polled; polled by the work loop alone, so that a stuck one loses it (A12).
    keeper: Option<BoxFuture<'static, Error>>,
    step: Option<BoxFuture<'static, Step>>,
    fence: Option<i64>,
    /// The last write of the key by somebody else, if it was held when it was last tried.
    held_at: Option<i64>,
    /// The revision at which the key was seen to be absent.
    vacant_at: Option<i64>,
    /// The last write of the key with a lease of ours, as the cut shows it.
    ours_at: Option<i64>,
    /// A campaign had no answer: it may have been won, and then the key is there, but ours (A11).
    is_unsure: bool,
}

impl Office {
    /// A contender that has not tried yet. `value` says who it is; `ttl` is how long a dead leader is waited for.
    pub(crate) fn new(store: Store, key: Key, value: Vec<u8>, ttl: Duration) -> Self {
        Self {
            store,
            key,
            value,
            ttl,
            lease: None,
            keeper: None,
            step: None,
            fence: None,
            held_at: None,
            vacant_at: None,
            ours_at: None,
            is_unsure: false,
        }
    }

    /// The last write of the leader key, while it is ours.
    pub(crate) fn fence(&self) -> Option<i64> {
        self.fence
    }

    /// The leader key.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The leader key was written, as the watch shows. With our lease it is ours: an attempt of which nothing was heard
    /// any more, perhaps because a later one was answered before it arrived.
    pub(crate) fn see_written(&mut self, written: &KeyValue) {
        let is_ours = self.lease.is_some_and(|lease| written.lease == lease);
        self.ours_at = is_ours.then_some(written.modified);
    }

    /// The cut at `revision` shows whether the leader key is there: if not, it is tried for.
    pub(crate) fn see(&mut self, is_vacant: bool, revision: i64) {
        self.vacant_at = is_vacant.then_some(revision);
        self.stand();
    }

    /// Stands for leader, if the key is vacant as far as is known, or may be ours already.
    fn stand(&mut self) {
        let Some(lease) = self.lease else { return };
        let knows_more = |vacant_at| self.held_at.is_none_or(|held_at| vacant_at >= held_at);
        let seen = [self.vacant_at, self.ours_at.filter(|_| self.vacant_at.is_none())];
        let may_win = self.is_unsure || seen.into_iter().flatten().any(knows_more);
        if may_win && self.fence.is_none() && self.step.is_none() {
            let (store, key, value) = (self.store.clone(), self.key.clone(), self.value.clone());
            tracing::debug!(key = %self.key, lease, "standing for leader");
            self.step =
                Some(Box::pin(
                    async move { Step::Campaigned(store.campaign(&key, value.into(), lease).await) },
                ));
        }
    }

    /// Writes the leader key again, so that whatever is still on its way to etcd fails from then on (A6). The answer is
    /// a [`Change`]; nothing may be committed before it.
    pub(crate) fn settle(&mut self) {
        let (Some(fence), Some(lease)) = (self.fence, self.lease) else { return };
        let (store, key, value) = (self.store.clone(), self.key.clone(), self.value.clone());
        self.step =
            Some(Box::pin(
                async move { Step::Settled(store.settle(&key, fence, value.into(), lease).await) },
            ));
    }

    /// A transaction was refused because of the leader key, which is now `found`.
    pub(crate) fn refused(&mut self, found: Option<&KeyValue>) -> Change {
        match found {
            Some(kv) if Some(kv.lease) == self.lease => {
                self.fence = Some(kv.modified);
                Change::Leading { fence: kv.modified }
            }
            other => {
                self.held_at = other.map(|kv| kv.modified);
                self.fence = None;
                Change::Lost
            }
        }
    }

    /// What changes next. Cancel-safe: what is on its way stays on its way.
    pub(crate) async fn next(&mut self) -> Change {
        loop {
            if self.lease.is_none() && self.step.is_none() {
                let (store, ttl) = (self.store.clone(), self.ttl);
                self.step = Some(Box::pin(async move { Step::Granted(store.grant(ttl).await) }));
            }
            let change = tokio::select! {
                biased;
                error = poll_or_wait(&mut self.keeper) => Some(self.lease_is_gone(&error)),
                step = poll_or_wait(&mut self.step) => {
                    self.step = None;
                    self.take(step)
                }
            };
            if let Some(change) = change {
                return change;
            }
        }
    }

    /// Gives leadership back: a standby takes over at once.
    pub(crate) async fn resign(self) {
        let Some(fence) = self.fence else { return };
        let txn = skep_store::Txn::new()
            .guard(skep_store::Guard::modified(self.key.clone(), fence))
            .delete(self.key.clone());
        if let Err(error) = self.store.commit(&txn).await {
            tracing::warn!(%error, "leadership not given back: it ends with its lease");
        }
    }

    fn take(&mut self, step: Step) -> Option<Change> {
        self.is_unsure =
            matches!(&step, Step::Campaigned(Err(_))) || self.is_unsure && matches!(&step, Step::Rested);
        match step {
            Step::Granted(Ok(mut lease)) => {
                tracing::debug!(key = %self.key, lease = lease.id(), "a lease is granted");
                self.lease = Some(lease.id());
                self.keeper = Some(Box::pin(async move { lease.keep_alive().await }));
                self.held_at = None;
                self.stand();
                None
            }
            Step::Campaigned(Ok(Campaign::Won { modified, .. }))
            | Step::Settled(Ok(Settlement::Settled { modified })) => {
                self.fence = Some(modified);
                Some(Change::Leading { fence: modified })
            }
            Step::Campaigned(Ok(Campaign::Held { by })) => {
                tracing::debug!(key = %self.key, by = by.lease, lease = ?self.lease, "the leader key is held");
                self.held_at = Some(by.modified);
                self.stand();
                None
            }
            Step::Settled(Ok(Settlement::Lost { by })) => {
                self.held_at = by.map(|kv| kv.modified);
                self.fence = None;
                Some(Change::Lost)
            }
            Step::Settled(Err(error)) => {
                tracing::warn!(%error, "not settled yet");
                self.settle();
                None
            }
            Step::Granted(Err(error)) | Step::Campaigned(Err(error)) => {
                tracing::warn!(%error, "not standing for leader yet");
                self.step = Some(Box::pin(async {
                    tokio::time::sleep(PAUSE).await;
                    Step::Rested
                }));
                None
            }
            Step::Rested => {
                self.stand();
                None
            }
        }
    }

    fn lease_is_gone(&mut self, error: &Error) -> Change {
        tracing::warn!(%error, "the lease is lost");
        self.lease = None;
        self.keeper = None;
        self.step = None;
        self.fence = None;
        self.ours_at = None;
        self.is_unsure = false;
        Change::Lost
    }
}

/// Polls what is there; waits for ever for what is not.
async fn poll_or_wait<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
