//! The board: the cut, which is the watched range as it was at one revision, and laid over it the controller's own writes
//! that the cut does not contain yet.
//!
//! Each key has a cell. What is on its way names cells by number, so that a key is hashed once when it is written and once
//! when it is seen.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use skep_api::key::Key;
use skep_api::object::Object;

use super::TxnId;
use crate::plan::{Transaction, Write};
use crate::table::{Entry, Stamp};

/// What was seen of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The key as text.
    pub key: String,
    /// Its value and revisions; nothing if it is not there.
    pub value: Option<(bytes::Bytes, Stamp)>,
}

/// The number of a cell. That of a cell without content may come to mean another key's.
pub(super) type CellId = usize;

/// One own write.
#[derive(Debug)]
struct OwnWrite {
    by: TxnId,
    /// The state that it leads to; nothing if it deletes.
    entry: Option<Entry>,
    /// Where it was applied, once that is known.
    revision: Option<i64>,
}

/// What is known of one key.
#[derive(Debug)]
struct Cell {
    key: Key,
    /// What the cut holds.
    seen: Option<Entry>,
    /// The own write that lies over it: at most one is not confirmed, because a plan that would add another rests.
    own: Option<Box<OwnWrite>>,
}

/// The watched range as it was at one revision, with own writes over it. Keys that this version does not know are passed
/// over.
#[derive(Debug, Default)]
pub(super) struct Board {
    cells: Vec<Option<Cell>>,
    vacant: Vec<CellId>,
    /// Looked up and never walked: the order of a hash table reaches nothing.
    index: HashTable<CellId>,
    hasher: DefaultHashBuilder,
    revision: i64,
    /// Whose writes were applied, by the revision of that. One that was written again since is here too.
    applied: BTreeMap<i64, Vec<CellId>>,
}

impl Cell {
    /// The state of the key: after the own write, if there is one.
    fn shown(&self) -> Option<&Entry> {
        match &self.own {
            Some(own) => own.entry.as_ref(),
            None => self.seen.as_ref(),
        }
    }

    /// What the own write left here, if that is what etcd holds at `stamp`.
    fn applied(&self, stamp: Stamp) -> Option<&Entry> {
        let own = self.own.as_ref().filter(|own| own.revision == Some(stamp.modified))?;
        own.entry.as_ref().filter(|entry| entry.stamp == stamp)
    }
}

impl Board {
    /// The revision of the cut: 0 before the first list.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether the cut holds `key`.
    pub(super) fn has_seen(&self, key: &Key) -> bool {
        self.find(key).and_then(|id| self.cell(id)).is_some_and(|cell| cell.seen.is_some())
    }

    /// The key of a cell and its state, unless the cell was left.
    pub(super) fn shown(&self, id: CellId) -> Option<(&Key, Option<&Entry>)> {
        self.cell(id).map(|cell| (&cell.key, cell.shown()))
    }

    /// The same, unless an own write lies over it.
    pub(super) fn seen(&self, id: CellId) -> Option<(&Key, Option<&Entry>)> {
        self.shown(id).filter(|_| self.cell(id).is_some_and(|cell| cell.own.is_none()))
    }

    /// Makes a full list the cut; returns what moved, what vanished at the end.
    pub(super) fn replace(&mut self, revision: i64, entries: Vec<Observation>) -> Vec<CellId> {
        let has_entry = |cell: &Option<Cell>| cell.as_ref().is_some_and(|cell| cell.seen.is_some());
        let mut is_gone: Vec<bool> = self.cells.iter().map(has_entry).collect();
        let mut moved = Vec::new();
        for observation in entries {
            let Some(key) = Key::parse(&observation.key) else { continue };
            let Some((value, stamp)) = observation.value else { continue };
            let id = self.enter(&key);
            if let Some(is_gone) = is_gone.get_mut(id) {
                *is_gone = false;
            }
            let Some(cell) = self.cell_mut(id) else { continue };
            if cell.seen.as_ref().is_none_or(|seen| seen.stamp != stamp) {
                cell.seen = Some(decode(&key, &value, stamp));
                moved.push(id);
            }
        }
        moved.extend(self.take_seen(&is_gone));
        self.advance(revision);
        moved
    }

    /// Empties the marked cells; returns them in the order of their keys.
    fn take_seen(&mut self, is_marked: &[bool]) -> Vec<CellId> {
        let marked = is_marked.iter().enumerate().filter(|(_, is_marked)| **is_marked);
        let mut taken: Vec<CellId> = marked.map(|(id, _)| id).collect();
        taken.sort_by(|left, right| self.key(*left).cmp(&self.key(*right)));
        for id in &taken {
            if let Some(cell) = self.cell_mut(*id) {
                cell.seen = None;
            }
        }
        taken
    }

    /// The key of a cell, unless that was left.
    pub(super) fn key(&self, id: CellId) -> Option<&Key> {
        self.cell(id).map(|cell| &cell.key)
    }

    /// Adds what changed; returns what moved. What the controller wrote itself is not decoded again.
    pub(super) fn extend(&mut self, revision: i64, entries: Vec<Observation>) -> Vec<CellId> {
        let mut moved = Vec::with_capacity(entries.len());
        for observation in entries {
            let Some(key) = Key::parse(&observation.key) else { continue };
            let id = self.enter(&key);
            let Some(cell) = self.cell_mut(id) else { continue };
            cell.seen = observation.value.map(|(value, stamp)| {
                let own = cell.applied(stamp);
                debug_assert!(
                    own.is_none_or(|own| *own == decode(&key, &value, stamp)),
                    "{key} does not read back as it was written"
                );
                own.cloned().unwrap_or_else(|| decode(&key, &value, stamp))
            });
            moved.push(id);
        }
        self.advance(revision);
        moved
    }

    /// Leaves a cell in which nothing is, so that another key may have it.
    pub(super) fn leave(&mut self, id: CellId) {
        let is_empty = |cell: &mut Cell| cell.seen.is_none() && cell.own.is_none();
        let Some(cell) = self.cells.get_mut(id).and_then(|cell| cell.take_if(is_empty)) else { return };
        let hash = self.hasher.hash_one(&cell.key);
        if let Ok(entry) = self.index.find_entry(hash, |found| *found == id) {
            entry.remove();
        }
        self.vacant.push(id);
    }

    /// Whether `transaction` compares or writes a key whose revision is not known yet.
    pub(super) fn leaves_open(&self, transaction: &Transaction) -> bool {
        let compared = transaction.guards.iter().map(|guard| &guard.key);
        let written = transaction.writes.iter().map(Write::key);
        let own = |key: &Key| self.cell(self.find(key)?)?.own.as_ref();
        compared.chain(written).any(|key| own(key).is_some_and(|own| own.revision.is_none()))
    }

    /// Lays the writes of `transaction` over the cut; returns their cells. Keys outside the watched range are left
    /// out: the cut would never show them.
    pub(super) fn put(&mut self, transaction: &Transaction, by: TxnId) -> Vec<CellId> {
        let mut written = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            let key = write.key();
            if !key.is_in_controller_range() {
                continue;
            }
            let id = self.enter(key);
            let Some(cell) = self.cell_mut(id) else { continue };
            let entry = match write {
                Write::Put(_, object) => {
                    let created = cell.shown().map_or(0, |entry| entry.stamp.created);
                    Some(Entry { value: Ok(object.clone()), stamp: Stamp { created, modified: 0 } })
                }
                Write::Delete(_) => None,
            };
            cell.own = Some(Box::new(OwnWrite { by, entry, revision: None }));
            written.push(id);
        }
        written
    }

    /// The writes of transaction `by` were applied at `revision`; returns those whose state is still this write.
    pub(super) fn confirm(&mut self, written: &[CellId], by: TxnId, revision: i64) -> Vec<CellId> {
        let mut confirmed = Vec::with_capacity(written.len());
        for id in written {
            let own = self.cell_mut(*id).and_then(|cell| cell.own.as_mut());
            let Some(own) = own.filter(|own| own.by == by) else { continue };
            own.revision = Some(revision);
            if let Some(entry) = &mut own.entry {
                entry.stamp.modified = revision;
                if entry.stamp.created == 0 {
                    entry.stamp.created = revision;
                }
            }
            confirmed.push(*id);
        }
        self.applied.entry(revision).or_default().extend(&confirmed);
        confirmed
    }

    /// The writes of transaction `by` were not applied; returns those whose state is the cut's again.
    pub(super) fn withdraw(&mut self, written: &[CellId], by: TxnId) -> Vec<CellId> {
        let mut withdrawn = Vec::new();
        for id in written {
            let Some(cell) = self.cell_mut(*id) else { continue };
            if cell.own.take_if(|own| own.by == by).is_some() {
                withdrawn.push(*id);
            }
        }
        withdrawn
    }

    /// Takes out the own writes that the cut contains by now; returns the cells in which it shows something else than they
    /// left.
    pub(super) fn take_visible(&mut self) -> Vec<CellId> {
        let revision = self.revision;
        let later = self.applied.split_off(&revision.saturating_add(1));
        let mut differing = Vec::new();
        for id in std::mem::replace(&mut self.applied, later).into_values().flatten() {
            let Some(cell) = self.cell_mut(id) else { continue };
            let is_visible = |own: &mut Box<OwnWrite>| own.revision.is_some_and(|own| own <= revision);
            let Some(own) = cell.own.take_if(is_visible) else { continue };
            let stamp = |entry: Option<&Entry>| entry.map(|entry| entry.stamp);
            if stamp(cell.seen.as_ref()) == stamp(own.entry.as_ref()) {
                self.leave(id);
            } else {
                differing.push(id);
            }
        }
        differing
    }

    fn cell(&self, id: CellId) -> Option<&Cell> {
        self.cells.get(id).and_then(Option::as_ref)
    }

    fn cell_mut(&mut self, id: CellId) -> Option<&mut Cell> {
        self.cells.get_mut(id).and_then(Option::as_mut)
    }

    fn find(&self, key: &Key) -> Option<CellId> {
        let is_its = |id: &CellId| self.key(*id) == Some(key);
        self.index.find(self.hasher.hash_one(key), is_its).copied()
    }

    /// The cell of `key`, a new one if it has none.
    fn enter(&mut self, key: &Key) -> CellId {
        let hash = self.hasher.hash_one(key);
        if let Some(id) = self.index.find(hash, |id| self.key(*id) == Some(key)) {
            return *id;
        }
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.cells.push(None);
            self.cells.len() - 1
        });
        if let Some(place) = self.cells.get_mut(id) {
            *place = Some(Cell { key: key.clone(), seen: None, own: None });
        }
        let (cells, hasher) = (&self.cells, &self.hasher);
        let hash_of = |id: &CellId| {
            let cell = cells.get(*id).and_then(Option::as_ref);
            cell.map_or(0, |cell| hasher.hash_one(&cell.key))
        };
        self.index.insert_unique(hash, id, hash_of);
        id
    }

    /// The store never lets a revision go back (A2); this is where it would be noticed.
    fn advance(&mut self, revision: i64) {
        debug_assert!(revision >= self.revision, "the cut goes back from {} to {revision}", self.revision);
        self.revision = self.revision.max(revision);
    }
}

fn decode(key: &Key, value: &[u8], stamp: Stamp) -> Entry {
    Entry { value: Object::decode(key, value).map_err(Arc::new), stamp }
}

#[cfg(test)]
mod tests {
    use skep_api::ident::NodeId;
    use skep_api::node::NodeStatus;

    use super::*;

    fn key(number: u64) -> Key {
        Key::NodeStatus(NodeId::from_random(number))
    }

    fn seen(number: u64, revision: i64) -> Observation {
        seen_again(number, revision, revision)
    }

    fn seen_again(number: u64, created: i64, modified: i64) -> Observation {
        let object = Object::from(NodeStatus::default());
        let value = object.encode(&key(number)).unwrap().into();
        Observation { key: key(number).to_string(), value: Some((value, Stamp { created, modified })) }
    }

    fn gone(number: u64) -> Observation {
        Observation { key: key(number).to_string(), value: None }
    }

    fn write(number: u64) -> Transaction {
        Transaction::new().put(key(number), NodeStatus::default())
    }

    #[test]
    fn an_own_write_lies_over_what_is_seen_until_that_contains_it() {
        let mut board = Board::default();
        board.extend(5, vec![seen(1, 5)]);
        let written = board.put(&write(1), 1);
        assert!(board.leaves_open(&write(1)), "its revision is not known");
        assert_eq!(board.confirm(&written, 1, 7), written);
        assert!(!board.leaves_open(&write(1)));
        board.extend(6, vec![gone(1)]);
        assert!(board.take_visible().is_empty() && board.seen(written[0]).is_none(), "the cut is behind");
        assert!(board.shown(written[0]).is_some_and(|(_, entry)| entry.is_some()));
        board.extend(7, vec![seen_again(1, 5, 7)]);
        assert!(board.take_visible().is_empty(), "the cut shows what was written");
        assert!(board.has_seen(&key(1)) && board.seen(written[0]).is_some());
    }

    #[test]
    fn what_somebody_else_wrote_since_is_brought_up_again() {
        let mut board = Board::default();
        let written = board.put(&write(1), 1);
        board.confirm(&written, 1, 7);
        board.extend(8, vec![seen(1, 8)]);
        assert_eq!(board.take_visible(), written);
        let written = board.put(&write(1), 2);
        board.confirm(&written, 2, 9);
        board.extend(10, vec![gone(1)]);
        assert_eq!(board.take_visible(), written);
    }

    #[test]
    fn a_cell_that_was_left_is_anothers_and_late_answers_do_not_touch_it() {
        let mut board = Board::default();
        let first = board.put(&write(1), 1);
        assert_eq!(board.withdraw(&first, 1), first);
        board.leave(first[0]);
        let second = board.put(&write(2), 2);
        assert_eq!(first, second, "the place is used again");
        assert!(board.confirm(&first, 1, 7).is_empty() && board.withdraw(&first, 1).is_empty());
        assert!(board.leaves_open(&write(2)) && !board.leaves_open(&write(1)));
        assert_eq!(board.key(second[0]), Some(&key(2)));
    }

    #[test]
    fn a_full_list_tells_what_moved_and_then_what_vanished() {
        let mut board = Board::default();
        let before = board.replace(5, vec![seen(1, 2), seen(2, 3), seen(3, 4)]);
        assert_eq!(before.len(), 3);
        let moved = board.replace(9, vec![seen(2, 3), seen(3, 8)]);
        let keys: Vec<Option<&Key>> = moved.iter().map(|id| board.key(*id)).collect();
        assert_eq!(keys, [Some(&key(3)), Some(&key(1))], "the second is as it was");
        assert!(!board.has_seen(&key(1)) && board.revision() == 9);
    }
}
