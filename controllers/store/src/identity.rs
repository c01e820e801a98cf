//! Which cluster this etcd holds, and whether it is still the one that was connected to.
//!
//! A store that was restored from a backup has a lower revision, the same ids on the wire, and silent watches
//! (A13). Only a key that the restore changes tells, so it is read again with every list and every watch.

use etcd_client::{GetOptions, Txn, TxnOp};
use skep_api::key::Key;

use crate::classify;
use crate::error::Error;
use crate::store::Store;
use crate::txn::{Guard, Outcome, Put};

/// The version of the stored form that this build reads and writes.
const FORMAT: &str = "1";

/// Which cluster an etcd holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id, for ever.
    pub cluster: String,
    /// New after every restore from a backup.
    pub incarnation: String,
}

impl Store {
    /// Which cluster this is; [`Error::NotBootstrapped`] if etcd held none yet when last asked.
    pub fn identity(&self) -> Result<Identity, Error> {
        self.known_identity().get().cloned().ok_or(Error::NotBootstrapped)
    }

    /// Makes this etcd a Skep cluster, unless it is one already.
    pub async fn bootstrap(&self) -> Result<Identity, Error> {
        let id = |random: u64| format!("{random:016x}");
        let values = [
            (Key::ClusterId, id(self.random())),
            (Key::Incarnation, id(self.random())),
            (Key::Format, FORMAT.to_owned()),
        ];
        let txn = values.into_iter().fold(crate::txn::Txn::new(), |txn, (key, value)| {
            txn.guard(Guard::absent(key.clone())).put(Put::new(key, value))
        });
        // Whatever the answer is, the keys tell.
        match self.commit(&txn).await {
            Ok(Outcome::Committed { .. } | Outcome::Refused { .. }) | Err(Error::Ambiguous { .. }) => {}
            Err(error) => return Err(error),
        }
        self.check_identity().await?;
        self.identity()
    }

    /// Reads which cluster this is, and compares it with what was read first.
    ///
    /// Errors: [`Error::Restored`] if it is another one, or if its revision lies below what was seen.
    pub async fn check_identity(&self) -> Result<(), Error> {
        let floor = self.seen();
        let gets = [Key::ClusterId, Key::Incarnation, Key::Format];
        let answer = self.read_txn(gets.map(|key| TxnOp::get(key.to_string(), None)).to_vec()).await?;
        self.saw_at_least(floor, answer.revision)?;
        let mut values = answer.values.into_iter();
        let (Some(Some(cluster)), Some(Some(incarnation)), Some(format)) =
            (values.next(), values.next(), values.next())
        else {
            return match self.known_identity().get() {
                Some(known) => Err(restored(format!("the cluster {} is gone", known.cluster))),
                None => Ok(()),
            };
        };
        match format {
            Some(format) if format == FORMAT => self.recognize(&Identity { cluster, incarnation }),
            other => Err(Error::Invalid {
                reason: format!("this build reads stored form {FORMAT}, not {other:?}"),
            }),
        }
    }

    /// Whether a watch that starts after `revision` misses nothing, and this is still the same store.
    ///
    /// A watch from exactly the compacted revision is taken by etcd, but on 3.4 the deletions of that revision
    /// are lost, so the revision before the start must still be readable.
    pub(crate) async fn check_history(&self, revision: i64) -> Result<(), Error> {
        let floor = self.seen();
        let key = Key::Incarnation.to_string();
        let then = GetOptions::new().with_revision(revision).with_keys_only();
        let gets = vec![TxnOp::get(key.clone(), None), TxnOp::get(key, Some(then))];
        let answer = self.read_txn(gets).await.map_err(|error| {
            if matches!(error, Error::Compacted(_)) { Error::Compacted(revision) } else { error }
        })?;
        self.saw_at_least(floor, answer.revision)?;
        match (self.known_identity().get(), answer.values.into_iter().next().flatten()) {
            (Some(known), now) if now.as_ref() != Some(&known.incarnation) => {
                Err(restored(format!("its incarnation was {} and is {now:?}", known.incarnation)))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Refuses an answer from before `floor`, which was seen before the question was asked.
    pub(crate) fn saw_at_least(&self, floor: i64, revision: i64) -> Result<(), Error> {
        if revision < floor {
            return Err(restored(format!("its revision is {revision}, and {floor} was seen before")));
        }
        self.saw(revision);
        Ok(())
    }

    fn recognize(&self, found: &Identity) -> Result<(), Error> {
        let known = self.known_identity().get_or_init(|| found.clone());
        if known == found {
            return Ok(());
        }
        Err(restored(format!("it was {known:?} and is {found:?}")))
    }

    async fn read_txn(&self, gets: Vec<TxnOp>) -> Result<Values, Error> {
        let txn = Txn::new().and_then(gets);
        let response = self
            .retry(|left| {
                let (mut kv, txn) = (self.client().kv_client(), txn.clone());
                async move {
                    match tokio::time::timeout(left, kv.txn(txn)).await {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(error)) if classify::is_future_revision(&error) => {
                            Err(restored("it has not reached a revision that was seen".to_owned()))
                        }
                        Ok(Err(error)) => Err(classify::of_read(&error)),
                        Err(_) => Err(Error::Unavailable { reason: "no answer in time".to_owned() }),
                    }
                }
            })
            .await?;
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        let values = response.op_responses().into_iter().map(|op| match op {
            etcd_client::TxnOpResponse::Get(get) => {
                get.kvs().first().map(|kv| String::from_utf8_lossy(kv.value()).into_owned())
            }
            etcd_client::TxnOpResponse::Put(_)
            | etcd_client::TxnOpResponse::Delete(_)
            | etcd_client::TxnOpResponse::Txn(_) => None,
        });
        Ok(Values { revision, values: values.collect() })
    }
}

/// The values of some keys at one revision.
struct Values {
    revision: i64,
    values: Vec<Option<String>>,
}

fn restored(reason: String) -> Error {
    Error::Restored { reason }
}
