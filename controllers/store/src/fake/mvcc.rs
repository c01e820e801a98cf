//! Keys with all their versions: what etcd's own `mvcc` package does, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use etcd_client::proto::{PbEvent, PbKeyValue};
use hashbrown::HashMap;

/// A key as etcd sees it.
pub(crate) type Bytes = Vec<u8>;

/// What a range request may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevisionError {
    /// The revision is compacted.
    Compacted,
    /// The store has not reached the revision.
    Future,
}

/// A range in etcd's form: no end is one key, the end `[0]` is no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
}

/// All versions of all keys since the last compaction, and the events between them.
#[derive(Debug, Clone)]
pub(crate) struct Mvcc {
    revision: i64,
    compacted: i64,
    keys: BTreeMap<Bytes, Vec<Version>>,
    log: BTreeMap<i64, Arc<[PbEvent]>>,
    /// What the compacted revision left behind.
    left: Arc<[PbEvent]>,
}

/// One version of a key; a deletion is a version without a value.
#[derive(Debug, Clone)]
struct Version {
    modified: i64,
    kv: Option<PbKeyValue>,
}

/// The writes of one revision, applied at once.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    events: Vec<PbEvent>,
    /// The last event of each key; looked up and never walked.
    last: HashMap<Vec<u8>, usize>,
}

impl Span {
    pub(crate) fn new(start: &[u8], end: &[u8]) -> Self {
        Self { start: start.to_vec(), end: end.to_vec() }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        if self.end.is_empty() {
            return key == self.start;
        }
        key >= self.start.as_slice() && (self.end == [0] || key < self.end.as_slice())
    }

    /// Whether no key can lie in it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.end != [0] && self.end <= self.start
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(self.start.as_slice());
        if self.end.is_empty() {
            (start, Bound::Included(self.start.as_slice()))
        } else if self.end == [0] {
            (start, Bound::Unbounded)
        } else {
            (start, Bound::Excluded(self.end.as_slice()))
        }
    }
}

impl Default for Mvcc {
    fn default() -> Self {
        Self { revision: 1, compacted: -1, keys: BTreeMap::new(), log: BTreeMap::new(), left: Arc::default() }
    }
}

impl Mvcc {
    /// The last revision.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision below which nothing can be read.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The revision that a read at `revision` (0: the present) means.
    pub(crate) fn readable(&self, revision: i64) -> Result<i64, RevisionError> {
        match revision {
            ..=0 => Ok(self.revision),
            future if future > self.revision => Err(RevisionError::Future),
            past if past < self.compacted => Err(RevisionError::Compacted),
            readable => Ok(readable),
        }
    }

    /// The keys of `span` at a readable revision, in order.
    pub(crate) fn range<'a>(&'a self, span: &'a Span, revision: i64) -> impl Iterator<Item = &'a PbKeyValue> {
        let versions = if span.is_empty() { None } else { Some(self.keys.range::<[u8], _>(span.bounds())) };
        versions.into_iter().flatten().filter_map(move |(_, versions)| at(versions, revision))
    }

    /// The key at a readable revision.
    pub(crate) fn get(&self, key: &[u8], revision: i64) -> Option<&PbKeyValue> {
        at(self.keys.get(key)?, revision)
    }

    /// The events of the revisions from `from` on that are still there, for a watch that began when `compacted` was.
    ///
    /// As in 3.4, a watch that begins at the compacted revision is told only of what that revision left behind: no
    /// deletions. One that was open before was told of all.
    pub(crate) fn events_from(&self, from: i64, compacted: i64) -> impl Iterator<Item = (i64, &[PbEvent])> {
        self.log.range(from..).map(move |(revision, events)| {
            (*revision, if *revision == compacted { self.left.as_ref() } else { events.as_ref() })
        })
    }

    /// Makes `writes` the next revision, and returns its events; nothing written makes no revision.
    pub(crate) fn apply(&mut self, writes: Writes) -> Arc<[PbEvent]> {
        let events: Arc<[PbEvent]> = writes.events.into();
        if events.is_empty() {
            return events;
        }
        self.revision += 1;
        for event in events.iter() {
            let Some(kv) = &event.kv else { continue };
            let version = Version { modified: self.revision, kv: (event.r#type == 0).then(|| kv.clone()) };
            self.keys.entry(kv.key.clone()).or_default().push(version);
        }
        self.log.insert(self.revision, events.clone());
        events
    }

    /// Forgets what lies before `revision`, except the last version of each key that lived then.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), RevisionError> {
        if revision <= self.compacted {
            return Err(RevisionError::Compacted);
        }
        if revision > self.revision {
            return Err(RevisionError::Future);
        }
        self.compacted = revision;
        self.keys.retain(|_, versions| {
            let old = versions.iter().take_while(|version| version.modified <= revision).count();
            let keep_last = versions.get(old.wrapping_sub(1)).is_some_and(|version| version.kv.is_some());
            versions.drain(..if keep_last { old - 1 } else { old });
            !versions.is_empty()
        });
        self.log = self.log.split_off(&revision);
        let is_left = |event: &&PbEvent| {
            event.kv.as_ref().is_some_and(|kv| event.r#type == 0 && self.get(&kv.key, revision) == Some(kv))
        };
        let events = self.log.get(&revision).into_iter().flat_map(|events| events.iter());
        self.left = events.filter(is_left).cloned().collect();
        Ok(())
    }
}

fn at(versions: &[Version], revision: i64) -> Option<&PbKeyValue> {
    versions.iter().rev().find(|version| version.modified <= revision)?.kv.as_ref()
}

impl Writes {
    /// Whether nothing is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The key as it is after these writes.
    pub(crate) fn get<'a>(&'a self, mvcc: &'a Mvcc, key: &[u8]) -> Option<&'a PbKeyValue> {
        match self.event(key) {
            Some(event) => event.kv.as_ref().filter(|_| event.r#type == 0),
            None => mvcc.get(key, mvcc.revision),
        }
    }

    /// The keys of `span` after these writes, in order.
    pub(crate) fn range(&self, mvcc: &Mvcc, span: &Span) -> Vec<PbKeyValue> {
        let before = mvcc.range(span, mvcc.revision).map(|kv| kv.key.as_slice());
        let written = self.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.key.as_slice());
        let keys: BTreeSet<&[u8]> = before.chain(written.filter(|key| span.contains(key))).collect();
        keys.into_iter().filter_map(|key| self.get(mvcc, key)).cloned().collect()
    }

    /// Writes a key; returns what lay there.
    pub(crate) fn put(&mut self, mvcc: &Mvcc, key: &[u8], value: Vec<u8>, lease: i64) -> Option<PbKeyValue> {
        let before = self.get(mvcc, key).cloned();
        let revision = mvcc.revision + 1;
        let kv = PbKeyValue {
            key: key.to_vec(),
            value,
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.as_ref().map_or(0, |kv| kv.version) + 1,
            lease,
        };
        self.last.insert(key.to_vec(), self.events.len());
        self.events.push(PbEvent { r#type: 0, kv: Some(kv), prev_kv: None });
        before
    }

    /// Deletes every key of `span`; returns what lay there.
    pub(crate) fn delete(&mut self, mvcc: &Mvcc, span: &Span) -> Vec<PbKeyValue> {
        let gone = if span.end.is_empty() {
            self.get(mvcc, &span.start).cloned().into_iter().collect()
        } else {
            self.range(mvcc, span)
        };
        for kv in &gone {
            let tombstone =
                PbKeyValue { key: kv.key.clone(), mod_revision: mvcc.revision + 1, ..PbKeyValue::default() };
            self.last.insert(kv.key.clone(), self.events.len());
            self.events.push(PbEvent { r#type: 1, kv: Some(tombstone), prev_kv: None });
        }
        gone
    }

    fn event(&self, key: &[u8]) -> Option<&PbEvent> {
        self.events.get(*self.last.get(key)?)
    }
}
