//! Leader keys: winning one, and settling what is unknown by writing it again.
//!
//! Leadership only decides who tries. What makes a write safe is that it compares the leader key's `modified` revision,
//! so every answer here counts only while the lease it was asked with is the caller's current one.

use std::time::Duration;

use bytes::Bytes;
use skep_api::key::Key;
use tokio::time::Instant;

use crate::error::Error;
use crate::range::KeyValue;
use crate::store::Store;
use crate::txn::{Guard, Outcome, Put, Txn};

/// The answer to a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Campaign {
    /// The key is held with the lease that was given.
    Won {
        /// Its last write: what every fenced transaction compares.
        modified: i64,
        /// Its creation: the beginning of this leadership.
        created: i64,
    },
    /// Somebody else holds it.
    Held {
        /// The key as it is.
        by: KeyValue,
    },
}

/// The answer to settling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The key is still held, and nothing that compares an older write of it can be applied any more.
    Settled {
        /// Its last write.
        modified: i64,
    },
    /// Leadership is over.
    Lost {
        /// Who holds the key now, if anybody.
        by: Option<KeyValue>,
    },
}

impl Store {
    /// Tries to become the holder of the leader key `key`, with `lease`.
    ///
    /// A key that exists with the same lease is an earlier attempt of one's own whose answer was lost (A11).
    pub async fn campaign(&self, key: &Key, value: Bytes, lease: i64) -> Result<Campaign, Error> {
        let txn = Txn::new().guard(Guard::absent(key.clone())).put(Put::leased(key.clone(), value, lease));
        Ok(match self.commit_once(&txn).await? {
            Outcome::Committed { revision } => Campaign::Won { modified: revision, created: revision },
            Outcome::Refused { failed, .. } => match found(failed) {
                Some(kv) if kv.lease == lease => Campaign::Won { modified: kv.modified, created: kv.created },
                Some(by) => Campaign::Held { by },
                None => return Err(Error::NotApplied { reason: "the refusal names no holder".to_owned() }),
            },
        })
    }

    /// Writes the held leader key `key` again, so that every transaction still on its way, which compares
    /// `modified`, fails from now on (A6).
    pub async fn settle(
        &self,
        key: &Key,
        modified: i64,
        value: Bytes,
        lease: i64,
    ) -> Result<Settlement, Error> {
        let guard = Guard::modified(key.clone(), modified);
        let txn = Txn::new().guard(guard).put(Put::leased(key.clone(), value, lease));
        Ok(match self.commit_once(&txn).await? {
            Outcome::Committed { revision } => Settlement::Settled { modified: revision },
            Outcome::Refused { failed, .. } => match found(failed) {
                Some(kv) if kv.lease == lease => Settlement::Settled { modified: kv.modified },
                by => Settlement::Lost { by },
            },
        })
    }

    /// Commits a transaction whose guards let it through only once, so it may be sent again after any failure.
    async fn commit_once(&self, txn: &Txn) -> Result<Outcome, Error> {
        let deadline = Instant::now() + self.config().request_timeout;
        let mut backoff = self.backoff();
        loop {
            let again = Instant::now() + backoff.after(Duration::ZERO);
            match self.commit(txn).await {
                Err(error) if error.is_ambiguous() && again < deadline => {
                    tokio::time::sleep_until(again).await;
                }
                answer => return answer,
            }
        }
    }
}

fn found(failed: Vec<(Key, Option<KeyValue>)>) -> Option<KeyValue> {
    failed.into_iter().next().and_then(|(_, kv)| kv)
}
