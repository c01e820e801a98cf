//! Which transactions are sent as one: packs of one wave touch disjoint keys, so they may be sent in any order, and waves
//! follow each other. Within a wave, those that compare the same key are put together, so that it is compared once.

use crate::member::{KeyNumber, Keys, Member};
use crate::txn::{Expect, TXN_MAX_OPS};

/// The size of a pack, in bytes; a single transaction may be larger.
const PACK_BYTES: usize = 512 * 1024;

/// Transactions that are sent as one.
#[derive(Default)]
pub(crate) struct Pack {
    pub(crate) members: Vec<Member>,
    /// What all of them stand on, each guard once.
    pub(crate) guards: Vec<(KeyNumber, Expect)>,
    ops: usize,
    bytes: usize,
}

/// What a pack grows by.
struct Burden {
    /// Those that it does not hold yet.
    guards: Vec<(KeyNumber, Expect)>,
    ops: usize,
    bytes: usize,
}

impl Pack {
    /// One transaction by itself.
    pub(crate) fn alone(member: Member) -> Self {
        Self { guards: member.guards.clone(), members: vec![member], ..Self::default() }
    }

    fn has_room_for(&self, burden: &Burden) -> bool {
        self.ops + burden.ops <= TXN_MAX_OPS
            && self.guards.len() + burden.guards.len() <= TXN_MAX_OPS
            && self.bytes + burden.bytes <= PACK_BYTES
    }
}

/// What the transactions of a wave do with a key.
#[derive(Clone, Default)]
struct Use {
    /// How it is expected to be: nearly every key in one way only, so the others are beside it.
    expected: Option<Expect>,
    others: Vec<Expect>,
    is_written: bool,
    /// How many of those that do not have to wait compare it.
    comparers: usize,
    /// The last pack that compares it.
    pack: Option<usize>,
}

impl Use {
    fn is_touched(&self) -> bool {
        self.is_written || self.expected.is_some()
    }

    /// Whether one that expects `expect` depends on the order.
    fn contradicts(&self, expect: Expect) -> bool {
        self.is_written || self.expected.is_some() && !self.expects(expect)
    }

    fn expects(&self, expect: Expect) -> bool {
        self.expected == Some(expect) || self.others.contains(&expect)
    }

    fn expect(&mut self, expect: Expect) {
        if self.expected.is_none() {
            self.expected = Some(expect);
        } else if !self.expects(expect) {
            self.others.push(expect);
        }
    }
}

/// Packs that may be sent in any order, and what has to wait for their answers.
struct Wave<'a> {
    keys: &'a Keys,
    uses: Vec<Use>,
    packs: Vec<Pack>,
}

impl Wave<'_> {
    fn of(&mut self, key: KeyNumber) -> &mut Use {
        if self.uses.len() <= key {
            self.uses.resize(key + 1, Use::default());
        }
        // It was just made as long.
        #[allow(clippy::indexing_slicing)]
        &mut self.uses[key]
    }

    /// Whether the order of `member` and the transactions before matters.
    fn has_to_wait(&mut self, member: &Member) -> bool {
        member.written().any(|key| self.of(key).is_touched())
            || member.guards.iter().any(|(key, expect)| self.of(*key).contradicts(*expect))
    }

    fn remember(&mut self, member: &Member) {
        member.guards.iter().for_each(|(key, expect)| self.of(*key).expect(*expect));
        member.written().for_each(|key| self.of(key).is_written = true);
    }

    /// The key that `member` compares with the fewest others: all compare the leader's key, and nobody else its own. So a node that
    /// has changed refuses one pack.
    fn bond(&mut self, member: &Member) -> Option<KeyNumber> {
        let shared = member.guards.iter().map(|(key, _)| (self.of(*key).comparers, *key));
        shared.filter(|(comparers, _)| *comparers > 1).min().map(|(_, key)| key)
    }

    /// Adds `member` to the last pack, or to a new one if that is full.
    fn pack(&mut self, member: Member) {
        let mut burden = self.burden(&member);
        if !self.packs.last().is_some_and(|pack| pack.has_room_for(&burden)) {
            self.packs.push(Pack::default());
            burden = self.burden(&member);
        }
        let last = self.packs.len().checked_sub(1);
        burden.guards.iter().for_each(|(key, _)| self.of(*key).pack = last);
        if let Some(pack) = self.packs.last_mut() {
            pack.bytes += burden.bytes;
            pack.ops += burden.ops;
            pack.guards.extend(burden.guards);
            pack.members.push(member);
        }
    }

    /// What the last pack would grow by with `member`.
    fn burden(&mut self, member: &Member) -> Burden {
        let mut guards = Vec::with_capacity(member.guards.len());
        let mut bytes = self.keys.bytes(member);
        let last = self.packs.len().checked_sub(1);
        for guard in &member.guards {
            let used = self.of(guard.0);
            let is_one_of_many = !used.others.is_empty();
            let is_compared = last.is_some() && used.pack == last;
            let is_there = |pack: &Pack| !is_one_of_many || pack.guards.contains(guard);
            if is_compared && self.packs.last().is_some_and(is_there) {
                bytes -= self.keys.size(guard.0).min(bytes);
            } else {
                guards.push(*guard);
            }
        }
        Burden { guards, ops: member.ops(), bytes }
    }
}

/// Packs that may be sent in any order, and what has to wait for their answers.
pub(crate) fn plan_wave(keys: &Keys, waiting: Vec<Member>) -> (Vec<Pack>, Vec<Member>) {
    let mut wave = Wave { keys, uses: Vec::new(), packs: Vec::new() };
    let (mut ready, mut later) = (Vec::with_capacity(waiting.len()), Vec::new());
    for member in waiting {
        let has_to_wait = wave.has_to_wait(&member);
        wave.remember(&member);
        if has_to_wait {
            later.push(member);
            continue;
        }
        member.guards.iter().for_each(|(key, _)| wave.of(*key).comparers += 1);
        ready.push(member);
    }
    // Stable: those without a bond, and those with the same, stay in their order.
    ready.sort_by_cached_key(|member| wave.bond(member));
    for member in ready {
        wave.pack(member);
    }
    (wave.packs, later)
}

#[cfg(test)]
mod tests {
    use skep_api::key::Key;

    use super::*;
    use crate::txn::{Guard, Put, Txn};

    fn task(number: u64) -> Key {
        Key::Revision(skep_api::ident::Uid::derive("c", "k", 1), number)
    }

    fn put(number: u64) -> Txn {
        Txn::new().guard(Guard::absent(task(number))).put(Put::new(task(number), "x"))
    }

    fn plan(txns: Vec<Txn>) -> (Vec<Pack>, Vec<Member>) {
        let mut keys = Keys::default();
        let members = txns.into_iter().enumerate().map(|(index, txn)| keys.enter(index, &[], txn).unwrap());
        let members = members.collect();
        plan_wave(&keys, members)
    }

    fn wave(txns: Vec<Txn>) -> (Vec<Vec<usize>>, Vec<usize>) {
        let (packs, later) = plan(txns);
        let members = |pack: &Pack| pack.members.iter().map(|member| member.index).collect();
        (packs.iter().map(members).collect(), later.iter().map(|member| member.index).collect())
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
        let (packs, _) = plan(txns);
        assert_eq!(packs.len(), 1);
        assert_eq!(packs[0].guards.len(), 128);
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
    fn those_that_compare_the_same_key_are_sent_together() {
        let on = |node: u64| Guard::modified(task(1000 + node), 7);
        let txns = (0..120).map(|number| put(number).guard(on(number % 60)).guard(on(60 + number % 60)));
        let (packs, _) = plan(txns.collect());
        assert_eq!(packs.iter().map(|pack| pack.members.len()).collect::<Vec<_>>(), [64, 56]);
    }

    #[test]
    fn one_that_expects_a_key_in_two_ways_is_sent_with_both() {
        let both = |number: u64| {
            let written = Guard::modified(task(1000), 7);
            put(number).guard(written).guard(Guard::created(task(1000), 3))
        };
        let (packs, later) = plan(vec![both(1), both(2)]);
        assert!(later.is_empty());
        assert_eq!(packs.iter().map(|pack| pack.guards.len()).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn what_meets_a_waiting_transaction_waits_too() {
        let both = put(1).put(Put::new(task(2), "x"));
        assert_eq!(wave(vec![put(1), both, put(2), put(3)]), (vec![vec![0, 3]], vec![1, 2]));
    }
}
