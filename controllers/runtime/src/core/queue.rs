//! What waits to be planned: news first, then what only a resync brought up, and timers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use skep_api::time::Timestamp;

/// Keys to plan, each at most once, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    news: VecDeque<K>,
    late: VecDeque<K>,
    queued: BTreeSet<K>,
    /// At most one instant a key: the earliest.
    timers: BTreeSet<(Timestamp, K)>,
    instants: BTreeMap<K, Timestamp>,
    wake_me: Option<Timestamp>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            news: VecDeque::new(),
            late: VecDeque::new(),
            queued: BTreeSet::new(),
            timers: BTreeSet::new(),
            instants: BTreeMap::new(),
            wake_me: None,
        }
    }
}

impl<K: Clone + Ord> Queue<K> {
    pub(crate) fn len(&self) -> usize {
        self.queued.len()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Adds a key for which there is news.
    pub(crate) fn push(&mut self, key: K) {
        if self.queued.insert(key.clone()) {
            self.news.push_back(key);
        }
    }

    /// Adds a key that only a resync brought up.
    pub(crate) fn push_late(&mut self, key: K) {
        if self.queued.insert(key.clone()) {
            self.late.push_back(key);
        }
    }

    /// Adds a key at `instant`, or earlier if it is due earlier already.
    pub(crate) fn push_at(&mut self, key: K, instant: Timestamp) {
        match self.instants.get(&key) {
            Some(earlier) if *earlier <= instant => return,
            Some(later) => drop(self.timers.remove(&(*later, key.clone()))),
            None => {}
        }
        self.instants.insert(key.clone(), instant);
        self.timers.insert((instant, key));
    }

    /// Asks to be called at `instant` for what is queued now.
    pub(crate) fn wake_me_at(&mut self, instant: Timestamp) {
        self.wake_me = Some(instant);
    }

    /// Queues the keys whose instant has come.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        self.wake_me = self.wake_me.filter(|instant| *instant > now);
        while let Some((instant, _)) = self.timers.first() {
            if *instant > now {
                break;
            }
            if let Some((_, key)) = self.timers.pop_first() {
                self.instants.remove(&key);
                self.push(key);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<K> {
        let key = self.news.pop_front().or_else(|| self.late.pop_front())?;
        self.queued.remove(&key);
        Some(key)
    }

    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(instant, _)| *instant);
        [timer, self.wake_me].into_iter().flatten().min()
    }
}
