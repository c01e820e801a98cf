//! Many independent transactions as few requests: what makes a controller fast on etcd.
//!
//! Packs of one wave touch disjoint keys and are sent at the same time; waves follow each other. A refused pack
//! names the keys that failed, so only the transactions that compare them are refused and the rest is packed again.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use skep_api::key::Key;

use crate::commit::{Answer, failed};
use crate::error::Error;
use crate::store::Store;
use crate::txn::{Expect, Guard, Outcome, TXN_MAX_OPS, Txn, size_of_guard};

/// Packs on their way at the same time.
const PACKS_IN_FLIGHT: usize = 4;
/// The size of a pack, in bytes; a single transaction may be larger.
const PACK_BYTES: usize = 512 * 1024;

/// A transaction and its place among those that the caller gave.
type Member = (usize, Txn);

/// What became of one member of a pack.
enum Verdict {
    Done(Result<Outcome, Error>),
    Again(Txn),
}

impl Store {
    /// Commits independent transactions, in their order where they share keys, in as few requests as possible.
    ///
    /// `fence` guards all of them: if it fails, all are refused. The answers are in the order of `txns`. After a
    /// failure of the connection, what was not sent yet is not sent, and counts as not applied.
    pub async fn commit_all(&self, fence: &[Guard], txns: Vec<Txn>) -> Vec<Result<Outcome, Error>> {
        let count = txns.len();
        let mut results = BTreeMap::new();
        let mut waiting: Vec<Member> = Vec::with_capacity(count);
        for (index, mut txn) in txns.into_iter().enumerate() {
            txn.guards.extend_from_slice(fence);
            match txn.check() {
                Ok(()) => waiting.push((index, txn)),
                Err(error) => drop(results.insert(index, Err(error))),
            }
        }
        while !waiting.is_empty() {
            let (packs, later) = plan_wave(waiting);
            waiting = Vec::new();
            let mut broken = None;
            let mut answers = stream::iter(packs).map(|pack| self.send_pack(pack)).buffered(PACKS_IN_FLIGHT);
            while let Some(verdicts) = answers.next().await {
                for (index, verdict) in verdicts {
                    match verdict {
                        Verdict::Again(txn) => waiting.push((index, txn)),
                        Verdict::Done(result) => {
                            broken = broken
                                .or_else(|| result.as_ref().err().filter(|e| is_of_connection(e)).cloned());
                            results.insert(index, result);
                        }
                    }
                }
            }
            waiting.extend(later);
            if let Some(reason) = broken {
                let error = Error::NotApplied { reason: format!("not sent after a failure: {reason}") };
                results.extend(waiting.drain(..).map(|(index, _)| (index, Err(error.clone()))));
            }
        }
        let missing = || Err(Error::NotApplied { reason: "not sent".to_owned() });
        (0..count).map(|index| results.remove(&index).unwrap_or_else(missing)).collect()
    }

    async fn send_pack(&self, pack: Pack) -> Vec<(usize, Verdict)> {
        match self.send(&pack.merged).await {
            Ok(Answer::Committed(revision)) => pack.all(&Ok(Outcome::Committed { revision })),
            Ok(Answer::Refused(revision, found)) => {
                let refusals =
                    pack.members.iter().map(|(_, txn)| failed(&txn.guards, &found)).collect::<Vec<_>>();
                if refusals.iter().all(Vec::is_empty) {
                    return pack
                        .all(&Err(Error::NotApplied { reason: "refused without a reason".to_owned() }));
                }
                let judge = |((index, txn), failed): (Member, Vec<_>)| {
                    let is_innocent = failed.is_empty();
                    let refused = Outcome::Refused { revision, failed };
                    (index, if is_innocent { Verdict::Again(txn) } else { Verdict::Done(Ok(refused)) })
                };
                pack.members.into_iter().zip(refusals).map(judge).collect()
            }
            Err(error) if is_of_connection(&error) || pack.members.len() == 1 => pack.all(&Err(error)),
            Err(_) => self.send_apart(pack).await,
        }
    }

    /// etcd refused the form of a pack (a lease that is gone, a permission): find out which members it means.
    async fn send_apart(&self, pack: Pack) -> Vec<(usize, Verdict)> {
        let mut verdicts = Vec::with_capacity(pack.members.len());
        for (index, txn) in pack.members {
            verdicts.push((index, Verdict::Done(self.commit(&txn).await)));
        }
        verdicts
    }
}

/// Whether sending more at once would only meet the same failure.
fn is_of_connection(error: &Error) -> bool {
    error.is_retryable() || error.is_ambiguous() || *error == Error::NoSpace
}

/// Transactions that are sent as one.
#[derive(Default)]
struct Pack {
    members: Vec<Member>,
    merged: Txn,
    guards: BTreeSet<Guard>,
    bytes: usize,
}

impl Pack {
    /// `bytes` is the size of `txn`.
    fn has_room_for(&self, txn: &Txn, bytes: usize) -> bool {
        let fresh = || txn.guards.iter().filter(|guard| !self.guards.contains(guard));
        self.members.is_empty()
            || (self.merged.ops() + txn.ops() <= TXN_MAX_OPS
                && self.guards.len() + fresh().count() <= TXN_MAX_OPS
                && self.bytes + bytes <= PACK_BYTES)
    }

    /// `bytes` is the size of `txn`.
    fn add(&mut self, index: usize, txn: Txn, bytes: usize) {
        self.bytes += bytes;
        for guard in &txn.guards {
            if self.guards.insert(guard.clone()) {
                self.merged.guards.push(guard.clone());
            } else {
                self.bytes -= size_of_guard(&guard.key).min(self.bytes);
            }
        }
        self.merged.puts.extend(txn.puts.iter().cloned());
        self.merged.deletes.extend(txn.deletes.iter().cloned());
        self.members.push((index, txn));
    }

    fn all(self, result: &Result<Outcome, Error>) -> Vec<(usize, Verdict)> {
        self.members.into_iter().map(|(index, _)| (index, Verdict::Done(result.clone()))).collect()
    }
}

/// The keys that some transactions compare and write.
#[derive(Default)]
struct Footprint {
    /// Nearly every key is expected in one way only: the others are beside it.
    expected: BTreeMap<Key, (Expect, Vec<Expect>)>,
    written: BTreeSet<Key>,
}

impl Footprint {
    /// Whether the order of `txn` and the transactions before matters.
    fn meets(&self, txn: &Txn) -> bool {
        let is_touched = |key: &Key| self.written.contains(key) || self.expected.contains_key(key);
        let contradicts = |guard: &Guard| {
            self.written.contains(&guard.key)
                || self
                    .expected
                    .get(&guard.key)
                    .is_some_and(|(first, others)| *first != guard.expect && !others.contains(&guard.expect))
        };
        txn.written().any(is_touched) || txn.guards.iter().any(contradicts)
    }

    fn add(&mut self, txn: &Txn) {
        for guard in &txn.guards {
            let (first, others) =
                self.expected.entry(guard.key.clone()).or_insert_with(|| (guard.expect, Vec::new()));
            if *first != guard.expect && !others.contains(&guard.expect) {
                others.push(guard.expect);
            }
        }
        self.written.extend(txn.written().cloned());
    }
}

/// Packs that may be sent in any order, and what has to wait for their answers.
fn plan_wave(waiting: Vec<Member>) -> (Vec<Pack>, Vec<Member>) {
    let (mut packs, mut later): (Vec<Pack>, _) = (Vec::new(), Vec::new());
    let mut before = Footprint::default();
    for (index, txn) in waiting {
        let has_to_wait = before.meets(&txn);
        before.add(&txn);
        if has_to_wait {
            later.push((index, txn));
            continue;
        }
        let bytes = txn.bytes();
        if packs.last().is_none_or(|pack| !pack.has_room_for(&txn, bytes)) {
            packs.push(Pack::default());
        }
        if let Some(pack) = packs.last_mut() {
            pack.add(index, txn, bytes);
        }
    }
    (packs, later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn::Put;

    fn task(number: u64) -> Key {
        Key::Revision(skep_api::ident::Uid::derive("c", "k", 1), number)
    }

    fn put(number: u64) -> Txn {
        Txn::new().guard(Guard::absent(task(number))).put(Put::new(task(number), "x"))
    }

    fn wave(txns: Vec<Txn>) -> (Vec<Vec<usize>>, Vec<usize>) {
        let (packs, later) = plan_wave(txns.into_iter().enumerate().collect());
        let members = |pack: &Pack| pack.members.iter().map(|(index, _)| *index).collect();
        (packs.iter().map(members).collect(), later.iter().map(|(index, _)| *index).collect())
    }

    #[test]
    fn independent_transactions_fill_packs_up_to_etcds_limit() {
        let (packs, later) = wave((0..300).map(put).collect());
        assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 44]);
        assert!(later.is_empty());
    }

    #[test]
    fn a_guard_that_many_share_is_sent_once() {
        let shared = Guard::modified(task(1000), 7);
        let txns = (0..127).map(|number| put(number).guard(shared.clone())).collect();
        let (packs, _) = plan_wave(Vec::into_iter(txns).enumerate().collect());
        assert_eq!(packs.len(), 1);
        assert_eq!(packs[0].merged.guards.len(), 128);
    }

    #[test]
    fn transactions_whose_order_matters_wait_for_each_other() {
        let reads = |number| Txn::new().guard(Guard::modified(task(number), 3)).put(Put::new(task(50), "x"));
        assert_eq!(wave(vec![put(1), put(1), put(2)]), (vec![vec![0, 2]], vec![1]), "the same key");
        assert_eq!(wave(vec![put(1), reads(1)]), (vec![vec![0]], vec![1]), "written, then compared");
        assert_eq!(wave(vec![reads(1), put(1)]), (vec![vec![0]], vec![1]), "compared, then written");
        let other = Txn::new().guard(Guard::modified(task(1), 4)).put(Put::new(task(51), "x"));
        assert_eq!(
            wave(vec![reads(1), other]),
            (vec![vec![0]], vec![1]),
            "guards that contradict each other"
        );
    }

    #[test]
    fn what_meets_a_waiting_transaction_waits_too() {
        let both = put(1).put(Put::new(task(2), "x"));
        assert_eq!(wave(vec![put(1), both, put(2), put(3)]), (vec![vec![0, 3]], vec![1, 2]));
    }
}
