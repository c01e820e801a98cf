//! Sends one transaction and reads etcd's answer.

use std::collections::BTreeMap;

use etcd_client::proto::{PbRangeResponse, PbTxnOpResponse};
use etcd_client::{Compare, CompareOp, PutOptions, TxnOp, TxnResponse};
use skep_api::key::Key;

use crate::error::Error;
use crate::range::KeyValue;
use crate::store::{DECODE_MAX_BYTES, Store};
use crate::txn::{Expect, Guard, Outcome, Txn};

/// What lies under the compared keys when a transaction is refused.
pub(crate) type Found = BTreeMap<Key, Option<KeyValue>>;

/// etcd's answer, before it is told whose guards failed.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The writes have this revision.
    Committed(i64),
    /// The revision of the comparison, and what was found.
    Refused(i64, Found),
}

impl Store {
    /// Commits `txn` if all its guards hold.
    ///
    /// It is sent again only while etcd has certainly not applied it, and for no longer than the request timeout.
    /// [`Error::Ambiguous`] means that it may have been applied or may still be.
    pub async fn commit(&self, txn: &Txn) -> Result<Outcome, Error> {
        txn.check()?;
        Ok(match self.send(txn).await? {
            Answer::Committed(revision) => Outcome::Committed { revision },
            Answer::Refused(revision, found) => {
                Outcome::Refused { revision, failed: failed(&txn.guards, &found) }
            }
        })
    }

    /// Sends a checked transaction.
    pub(crate) async fn send(&self, txn: &Txn) -> Result<Answer, Error> {
        let response = self
            .write(|client| {
                let request = encode(txn);
                async move { client.kv_client().max_decoding_message_size(DECODE_MAX_BYTES).txn(request).await }
            })
            .await?;
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        self.saw(revision);
        if response.succeeded() {
            return Ok(Answer::Committed(revision));
        }
        Ok(Answer::Refused(revision, decode_found(&txn.guards, response)))
    }
}

/// The keys among `guards` whose expectation does not hold for what was found.
pub(crate) fn failed(guards: &[Guard], found: &Found) -> Vec<(Key, Option<KeyValue>)> {
    let broken: BTreeMap<&Key, &Option<KeyValue>> = guards
        .iter()
        .filter_map(|guard| found.get(&guard.key).map(|kv| (guard, kv)))
        .filter(|(guard, kv)| !guard.expect.holds(kv.as_ref()))
        .map(|(guard, kv)| (&guard.key, kv))
        .collect();
    broken.into_iter().map(|(key, kv)| (key.clone(), kv.clone())).collect()
}

/// The compared keys, each once, in the order in which the Else branch reads them.
fn compared(guards: &[Guard]) -> Vec<&Key> {
    let mut keys: Vec<&Key> = guards.iter().map(|guard| &guard.key).collect();
    keys.sort();
    keys.dedup();
    keys
}

fn encode(txn: &Txn) -> etcd_client::Txn {
    let compares: Vec<Compare> = txn.guards.iter().map(encode_guard).collect();
    let puts = txn.puts.iter().map(|put| {
        let options = put.lease.map(|lease| PutOptions::new().with_lease(lease));
        TxnOp::put(put.key.to_string(), put.value.as_ref(), options)
    });
    let deletes = txn.deletes.iter().map(|key| TxnOp::delete(key.to_string(), None));
    let then: Vec<TxnOp> = puts.chain(deletes).collect();
    let otherwise: Vec<TxnOp> =
        compared(&txn.guards).into_iter().map(|key| TxnOp::get(key.to_string(), None)).collect();
    etcd_client::Txn::new().when(compares).and_then(then).or_else(otherwise)
}

fn encode_guard(guard: &Guard) -> Compare {
    let key = guard.key.to_string();
    match guard.expect {
        Expect::Modified(revision) => Compare::mod_revision(key, CompareOp::Equal, revision),
        Expect::Created(revision) => Compare::create_revision(key, CompareOp::Equal, revision),
        Expect::Absent => Compare::create_revision(key, CompareOp::Equal, 0),
    }
}

fn decode_found(guards: &[Guard], response: TxnResponse) -> Found {
    let ranges = response.0.responses.into_iter().map(|op| match op.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => first(range),
        Some(
            PbTxnOpResponse::ResponsePut(_)
            | PbTxnOpResponse::ResponseDeleteRange(_)
            | PbTxnOpResponse::ResponseTxn(_),
        )
        | None => None,
    });
    compared(guards).into_iter().cloned().zip(ranges).collect()
}

fn first(range: PbRangeResponse) -> Option<KeyValue> {
    range.kvs.into_iter().next().map(KeyValue::from)
}
