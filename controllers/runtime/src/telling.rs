//! Events: what happened, for people. The same thing again raises a count instead of adding a line.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use skep_api::ident::RecordId;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::record::Event;
use skep_api::time::Timestamp;
use skep_store::{Error, Put, Store, Txn};
use tokio::time::Instant;

use crate::clock::Env;
use crate::plan::Note;

/// How long events are kept.
const KEPT_FOR: Duration = Duration::from_secs(72 * 3600);
/// How long one lease takes new events; so many leases there are at most: `KEPT_FOR / LEASE_FOR`.
const LEASE_FOR: Duration = Duration::from_secs(3600);
/// How often events are written at most.
const PAUSE: Duration = Duration::from_millis(500);
/// How many kinds of event are counted at a time; beyond that the oldest begin anew.
const KINDS_MAX: usize = 1_000;
/// What tells this randomness from other parts of the process.
const PURPOSE: u64 = 2;

/// What makes two events the same.
type Sameness = (String, &'static str);

/// The events of one controller. Losing one is no harm, so they are not fenced and not settled.
pub(crate) struct Telling {
    store: Store,
    source: &'static str,
    random: fastrand::Rng,
    known: BTreeMap<Sameness, (RecordId, Event)>,
    unwritten: Vec<Sameness>,
    lease: Option<(i64, Instant)>,
    writing: Option<BoxFuture<'static, Result<(i64, Instant), Error>>>,
    not_before: Instant,
}

impl Telling {
    pub(crate) fn new(store: Store, source: &'static str, env: &Env) -> Self {
        Self {
            store,
            source,
            random: env.random(PURPOSE),
            known: BTreeMap::new(),
            unwritten: Vec::new(),
            lease: None,
            writing: None,
            not_before: Instant::now(),
        }
    }

    /// Adds what happened.
    pub(crate) fn add(&mut self, notes: Vec<Note>, now: Timestamp) {
        for note in notes {
            tracing::info!(regarding = note.regarding, reason = note.reason, "{}", note.message);
            if self.known.len() >= KINDS_MAX {
                self.known.clear();
                self.unwritten.clear();
            }
            let sameness = (note.regarding.clone(), note.reason);
            let id = RecordId::from_time(now.as_millis(), self.random.u32(..));
            let source = self.source;
            let (_, event) =
                self.known.entry(sameness.clone()).or_insert_with(|| (id, first(&note, source, now)));
            event.count = event.count.saturating_add(1);
            event.last_seen = now;
            event.message = note.message;
            if !self.unwritten.contains(&sameness) {
                self.unwritten.push(sameness);
            }
        }
    }

    /// Writes what is unwritten, in the background of the driver's loop. Cancel-safe.
    pub(crate) async fn work(&mut self) {
        if self.writing.is_none() {
            if self.unwritten.is_empty() {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(self.not_before).await;
            self.begin();
        }
        if let Some(writing) = &mut self.writing {
            let result = writing.await;
            self.writing = None;
            self.not_before = Instant::now() + PAUSE;
            self.lease = result.inspect_err(|error| tracing::warn!(%error, "events are lost")).ok();
        }
    }

    fn begin(&mut self) {
        let lease = self.lease.filter(|(_, since)| since.elapsed() < LEASE_FOR);
        let store = self.store.clone();
        let unwritten = std::mem::take(&mut self.unwritten);
        let events: Vec<(RecordId, Event)> =
            unwritten.iter().filter_map(|sameness| self.known.get(sameness).cloned()).collect();
        self.writing = Some(Box::pin(async move {
            let (lease, since) = match lease {
                Some(lease) => lease,
                None => (store.grant(KEPT_FOR).await?.id(), Instant::now()),
            };
            for result in store
                .commit_all(&[], events.into_iter().filter_map(|(id, event)| put(id, event, lease)).collect())
                .await
            {
                result?;
            }
            Ok((lease, since))
        }));
    }
}

fn put(id: RecordId, event: Event, lease: i64) -> Option<Txn> {
    let key = Key::Event(id);
    let value = Object::from(event).encode(&key).ok()?;
    Some(Txn::new().put(Put::leased(key, value, lease)))
}

fn first(note: &Note, source: &str, now: Timestamp) -> Event {
    Event {
        regarding: note.regarding.clone(),
        reason: note.reason.to_owned(),
        message: note.message.clone(),
        severity: note.severity,
        source: source.to_owned(),
        count: 0,
        first_seen: now,
        last_seen: now,
    }
}
