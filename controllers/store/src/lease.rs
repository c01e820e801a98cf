//! Leases: sessions that end when their owner stops renewing them.

use std::time::Duration;

use etcd_client::LeaseGrantOptions;
use tokio::time::Instant;

use crate::classify;
use crate::error::Error;
use crate::store::Store;

/// Renewals within one TTL: two may be lost.
const RENEWALS_PER_TTL: u32 = 3;

/// A lease that this process owns.
///
/// Nothing renews it behind its owner's back: a renewal is a call, or a future that its owner polls and drops (A12).
#[derive(Debug)]
pub struct Lease {
    store: Store,
    id: i64,
    ttl: Duration,
    deadline: Instant,
}

impl Store {
    /// Takes out a lease of `ttl` (whole seconds; etcd may grant more), under a random id that nobody guesses.
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        self.retry(|left| async move {
            let asked = Instant::now();
            let id = i64::try_from(self.random() >> 1).unwrap_or(i64::MAX).max(1);
            let mut client = self.client().lease_client();
            let options = LeaseGrantOptions::new().with_id(id);
            let request = async {
                match client.grant(seconds, Some(options)).await {
                    Err(error) if classify::is_lease_taken(&error) => Ok(None),
                    answer => answer.map(Some),
                }
            };
            // A lease that may have been granted and that nobody knows of expires: asking again is harmless.
            let granted = self.attempt(left, request).await.map_err(Error::of_read)?;
            let granted =
                granted.ok_or_else(|| Error::NotApplied { reason: "the lease id is taken".to_owned() })?;
            let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
            Ok(Lease { store: self.clone(), id, ttl, deadline: asked + ttl })
        })
        .await
    }
}

impl Lease {
    /// Its id, for [`Put::leased`](crate::Put::leased).
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How long etcd keeps it after a renewal.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Until when it certainly lives, by this process's clock: what a holder may believe without asking.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Renews it once.
    ///
    /// Errors: [`Error::LeaseGone`] when etcd no longer has it, [`Error::Unavailable`] when there is no answer within
    /// a third of the TTL or the request timeout.
    pub async fn keep_alive_once(&mut self) -> Result<(), Error> {
        let limit = self.store.config().request_timeout.min(self.interval());
        let (store, id) = (&self.store, self.id);
        let renew = |left| async move {
            let asked = Instant::now();
            let mut client = store.client().lease_client();
            store.attempt(left, client.keep_alive(id)).await.map_err(Error::of_read)?;
            Ok(asked)
        };
        self.deadline = store.retry_for(limit, renew).await? + self.ttl;
        Ok(())
    }

    /// Renews it for as long as this future is polled, and returns why it is lost: etcd no longer has it, or was silent
    /// for longer than the TTL. Cancel-safe.
    pub async fn keep_alive(&mut self) -> Error {
        let mut backoff = self.store.backoff();
        let mut next = self.deadline - self.ttl + self.interval();
        loop {
            tokio::time::sleep_until(next.min(self.deadline)).await;
            match tokio::time::timeout_at(self.deadline, self.keep_alive_once()).await {
                Err(_) => return Error::LeaseGone,
                Ok(Ok(())) => next = self.deadline - self.ttl + self.interval(),
                Ok(Err(error)) if !error.is_retryable() => return error,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "lease not renewed");
                    next = Instant::now() + backoff.after(Duration::ZERO).min(self.interval());
                }
            }
        }
    }

    /// Gives it back: every key that lives with it vanishes at once.
    pub async fn revoke(self) -> Result<(), Error> {
        let id = self.id;
        let answer = self.store.read(|client| async move { client.lease_client().revoke(id).await }).await;
        match answer {
            Ok(_) | Err(Error::LeaseGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn interval(&self) -> Duration {
        self.ttl / RENEWALS_PER_TTL
    }
}
