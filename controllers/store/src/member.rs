//! Transactions with their keys as numbers: a key is hashed and written out once, however many transactions name it.

use std::fmt::Write;

use bytes::Bytes;
use hashbrown::HashMap;
use skep_api::key::Key;

use crate::error::Error;
use crate::range::KeyValue;
use crate::txn::{Expect, Guard, TXN_MAX_BYTES, TXN_MAX_OPS, Txn, VALUE_MAX_BYTES};

/// What an operation or a comparison takes besides its key and value, in bytes; more than protobuf's framing.
const OP_OVERHEAD_BYTES: usize = 48;

/// What the text of most keys fits in.
const KEY_BYTES: usize = 96;

/// The number of a key among [`Keys`].
pub(crate) type KeyNumber = usize;
/// What lies under compared keys, each once, when a transaction is refused.
pub(crate) type Found = HashMap<KeyNumber, Option<KeyValue>>;

/// The keys that some transactions name. Looked up, and never walked.
#[derive(Default)]
pub(crate) struct Keys {
    numbers: HashMap<Key, KeyNumber>,
    all: Vec<(Key, String)>,
}

/// A put of a [`Member`].
pub(crate) struct MemberPut {
    pub(crate) key: KeyNumber,
    pub(crate) value: Bytes,
    pub(crate) lease: Option<i64>,
}

/// A transaction of several, each known by its place among them.
pub(crate) struct Member {
    pub(crate) index: usize,
    pub(crate) guards: Vec<(KeyNumber, Expect)>,
    pub(crate) puts: Vec<MemberPut>,
    pub(crate) deletes: Vec<KeyNumber>,
}

impl Keys {
    /// The text of a key.
    pub(crate) fn text(&self, number: KeyNumber) -> &str {
        self.all.get(number).map_or("", |(_, text)| text)
    }

    fn number(&mut self, key: Key) -> KeyNumber {
        let next = self.all.len();
        *self.numbers.entry(key).or_insert_with_key(|key| {
            let mut text = String::with_capacity(KEY_BYTES);
            // Writing to a string does not fail.
            let _ = write!(text, "{key}");
            self.all.push((key.clone(), text));
            next
        })
    }

    /// The transaction `index`, which stands on `fence` besides its own guards. Refuses what etcd would refuse.
    pub(crate) fn enter(&mut self, index: usize, fence: &[Guard], txn: Txn) -> Result<Member, Error> {
        let fence = fence.iter().cloned();
        let guards = txn.guards.into_iter().chain(fence);
        let guards = guards.map(|guard| (self.number(guard.key), guard.expect)).collect();
        let puts = txn.puts.into_iter().map(|put| MemberPut {
            key: self.number(put.key),
            value: put.value,
            lease: put.lease,
        });
        let puts = puts.collect();
        let deletes = txn.deletes.into_iter().map(|key| self.number(key)).collect();
        let member = Member { index, guards, puts, deletes };
        self.check(&member)?;
        Ok(member)
    }

    fn check(&self, member: &Member) -> Result<(), Error> {
        limit("transaction (operations)", member.ops(), TXN_MAX_OPS)?;
        limit("transaction (comparisons)", member.guards.len(), TXN_MAX_OPS)?;
        for put in &member.puts {
            limit("value (bytes)", put.value.len(), VALUE_MAX_BYTES)?;
        }
        limit("transaction (bytes)", self.bytes(member), TXN_MAX_BYTES)?;
        let mut written: Vec<KeyNumber> = member.written().collect();
        written.sort_unstable();
        match written.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(twice) => {
                let twice = self.text(twice.first().copied().unwrap_or_default());
                Err(Error::Invalid { reason: format!("{twice} is written twice in one transaction") })
            }
            None => Ok(()),
        }
    }

    /// An upper bound of the encoded size of `member`.
    pub(crate) fn bytes(&self, member: &Member) -> usize {
        let puts: usize = member.puts.iter().map(|put| self.size(put.key) + put.value.len()).sum();
        let deletes: usize = member.deletes.iter().map(|key| self.size(*key)).sum();
        let guards: usize = member.guards.iter().map(|(key, _)| self.size(*key)).sum();
        puts + deletes + guards
    }

    /// What a comparison of the key or an operation on it takes, but for the value.
    pub(crate) fn size(&self, key: KeyNumber) -> usize {
        self.text(key).len() + OP_OVERHEAD_BYTES
    }

    /// The keys whose guards in `member` do not hold for what was found, in order.
    pub(crate) fn failed(&self, member: &Member, found: &Found) -> Vec<(Key, Option<KeyValue>)> {
        let broken = member.guards.iter().filter_map(|(key, expect)| {
            let kv = found.get(key).filter(|kv| !expect.holds(kv.as_ref()))?;
            Some((self.all.get(*key)?.0.clone(), kv.clone()))
        });
        let mut broken: Vec<_> = broken.collect();
        broken.sort_by(|(left, _), (right, _)| left.cmp(right));
        broken.dedup_by(|(left, _), (right, _)| left == right);
        broken
    }
}

impl Member {
    /// The keys that are written or deleted.
    pub(crate) fn written(&self) -> impl Iterator<Item = KeyNumber> {
        self.puts.iter().map(|put| put.key).chain(self.deletes.iter().copied())
    }

    /// How many operations etcd counts.
    pub(crate) fn ops(&self) -> usize {
        self.puts.len() + self.deletes.len()
    }
}

fn limit(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}
