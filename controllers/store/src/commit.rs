//! Sends transactions as one request and reads etcd's answer.

use etcd_client::proto::{PbRangeResponse, PbTxnOpResponse};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, TxnOp, TxnResponse};

use crate::error::Error;
use crate::member::{Found, KeyNumber, Keys, Member};
use crate::range::KeyValue;
use crate::store::{DECODE_MAX_BYTES, Store};
use crate::txn::{Expect, Outcome, Txn};

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
        let mut keys = Keys::default();
        let member = keys.enter(0, &[], txn.clone())?;
        let answer = self.send(&keys, &member.guards, std::slice::from_ref(&member)).await?;
        Ok(match answer {
            Answer::Committed(revision) => Outcome::Committed { revision },
            Answer::Refused(revision, found) => {
                Outcome::Refused { revision, failed: keys.failed(&member, &found) }
            }
        })
    }

    /// Sends `members` as one transaction that stands on `guards`.
    pub(crate) async fn send(
        &self,
        keys: &Keys,
        guards: &[(KeyNumber, Expect)],
        members: &[Member],
    ) -> Result<Answer, Error> {
        let response = self
            .write(|client| {
                let request = encode(keys, guards, members);
                async move { client.kv_client().max_decoding_message_size(DECODE_MAX_BYTES).txn(request).await }
            })
            .await?;
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        self.saw(revision);
        if response.succeeded() {
            return Ok(Answer::Committed(revision));
        }
        let found = self.find(keys, guards, revision).await;
        // Nothing was written, whatever became of the question why.
        let found = found.map_err(|error| Error::NotApplied { reason: format!("refused, and {error}") })?;
        Ok(Answer::Refused(revision, found))
    }

    /// What lay under the compared keys at the revision of the comparison.
    ///
    /// An Else branch would tell it in the same answer, but it would be sent and logged with every transaction, and nearly
    /// all of them are applied.
    async fn find(&self, keys: &Keys, guards: &[(KeyNumber, Expect)], revision: i64) -> Result<Found, Error> {
        let mut compared: Vec<KeyNumber> = guards.iter().map(|(key, _)| *key).collect();
        compared.sort_unstable();
        compared.dedup();
        let options = GetOptions::new().with_revision(revision);
        let get = |key: &KeyNumber| TxnOp::get(keys.text(*key), Some(options.clone()));
        let response = self
            .read(|client| {
                let gets: Vec<TxnOp> = compared.iter().map(get).collect();
                let request = etcd_client::Txn::new().and_then(gets);
                async move { client.kv_client().max_decoding_message_size(DECODE_MAX_BYTES).txn(request).await }
            })
            .await?;
        Ok(compared.into_iter().zip(found(response)).collect())
    }
}

fn encode(keys: &Keys, guards: &[(KeyNumber, Expect)], members: &[Member]) -> etcd_client::Txn {
    let compares: Vec<Compare> =
        guards.iter().map(|(key, expect)| encode_guard(keys.text(*key), *expect)).collect();
    let puts = members.iter().flat_map(|member| &member.puts).map(|put| {
        let options = put.lease.map(|lease| PutOptions::new().with_lease(lease));
        TxnOp::put(keys.text(put.key), put.value.as_ref(), options)
    });
    let deletes = members.iter().flat_map(|member| &member.deletes);
    let deletes = deletes.map(|key| TxnOp::delete(keys.text(*key), None));
    let then: Vec<TxnOp> = puts.chain(deletes).collect();
    etcd_client::Txn::new().when(compares).and_then(then)
}

fn encode_guard(key: &str, expect: Expect) -> Compare {
    match expect {
        Expect::Modified(revision) => Compare::mod_revision(key, CompareOp::Equal, revision),
        Expect::Created(revision) => Compare::create_revision(key, CompareOp::Equal, revision),
        Expect::Absent => Compare::create_revision(key, CompareOp::Equal, 0),
    }
}

fn found(response: TxnResponse) -> impl Iterator<Item = Option<KeyValue>> {
    response.0.responses.into_iter().map(|op| match op.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => first(range),
        Some(
            PbTxnOpResponse::ResponsePut(_)
            | PbTxnOpResponse::ResponseDeleteRange(_)
            | PbTxnOpResponse::ResponseTxn(_),
        )
        | None => None,
    })
}

fn first(range: PbRangeResponse) -> Option<KeyValue> {
    range.kvs.into_iter().next().map(KeyValue::from)
}
