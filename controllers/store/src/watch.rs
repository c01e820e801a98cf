//! A watch without gaps: it outlives its streams, delivers a revision whole, and ends only where history ends.
//!
//! All state lies in a stream of our own, so a caller that drops [`Watch::next`] half-way loses nothing (A19), and
//! there is no task behind it.

use std::collections::VecDeque;
use std::time::Duration;

use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{WatchOptions, WatchStream};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::classify;
use crate::error::Error;
use crate::range::{KeyValue, Range, text_of};
use crate::store::{DECODE_MAX_BYTES, Store};

/// Signs of life that are asked for within one silence limit.
const ASKS_PER_SILENCE: u32 = 3;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted, or vanished with its lease.
    Delete {
        /// The key.
        key: String,
        /// The revision of the deletion.
        revision: i64,
    },
}

/// All changes, within one range, of one or several whole revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// The last of these revisions: everything up to it has been delivered for this range.
    pub revision: i64,
    /// The changes, in the order of their revisions.
    pub events: Vec<Event>,
}

/// An endless, gap-free watch of disjoint ranges.
///
/// The batches of one range come in the order of their revisions; those of different ranges may overtake each other.
pub struct Watch {
    batches: BoxStream<'static, Result<WatchBatch, Error>>,
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put(kv) => kv.modified,
            Self::Delete { revision, .. } => *revision,
        }
    }

    pub(crate) fn from_pb(event: PbEvent) -> Option<Self> {
        let kv = event.kv?;
        Some(match event.r#type {
            0 => Self::Put(KeyValue::from(kv)),
            _ => Self::Delete { key: text_of(kv.key), revision: kv.mod_revision },
        })
    }
}

impl Store {
    /// Watches `ranges`, from `revision` on (included), which is one more than that of a listing.
    pub fn watch(&self, ranges: Vec<Range>, revision: i64) -> Watch {
        let positions =
            ranges.into_iter().map(|range| Position { range, next: revision, fragments: Vec::new() });
        let machine = Machine {
            store: self.clone(),
            backoff: self.backoff(),
            positions: positions.collect(),
            open: None,
        };
        let batches = stream::unfold(machine, |mut machine| async move {
            let batch = machine.batch().await;
            Some((batch, machine))
        });
        Watch { batches: batches.boxed() }
    }
}

impl Watch {
    /// The next changes. Cancel-safe: it may be dropped at any time and called again.
    ///
    /// Errors are final, and the same call again meets them again: [`Error::Compacted`] (list again),
    /// [`Error::Restored`], [`Error::Denied`]. Everything else is resumed inside.
    pub async fn next(&mut self) -> Result<WatchBatch, Error> {
        let batch = self.batches.next().await;
        batch.unwrap_or_else(|| Err(Error::Unavailable { reason: "the watch has ended".to_owned() }))
    }
}

/// The watch between two deliveries.
struct Machine {
    store: Store,
    backoff: Backoff,
    positions: Vec<Position>,
    open: Option<Open>,
}

/// One range, and how far it was delivered.
struct Position {
    range: Range,
    next: i64,
    fragments: Vec<PbEvent>,
}

/// A stream that works, as far as one knows.
struct Open {
    stream: WatchStream,
    /// What came while the stream was being opened.
    early: VecDeque<PbWatchResponse>,
    since: Instant,
    heard: Instant,
    asked: Instant,
}

impl Machine {
    /// The next batch, through as many streams as it takes.
    async fn batch(&mut self) -> Result<WatchBatch, Error> {
        loop {
            let error = match self.advance().await {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => continue,
                Err(error) => error,
            };
            let worked = self.open.take().map_or(Duration::ZERO, |open| open.since.elapsed());
            if !error.is_retryable() {
                return Err(error);
            }
            let delay = self.backoff.after(worked);
            tracing::debug!(%error, ?delay, "watch stream ended");
            tokio::time::sleep(delay).await;
        }
    }

    /// One step: opens the stream, or takes one message from it.
    async fn advance(&mut self) -> Result<Option<WatchBatch>, Error> {
        let silence_limit = self.store.config().silence_limit;
        let Some(open) = &mut self.open else {
            self.open = Some(self.open().await?);
            return Ok(None);
        };
        if let Some(response) = open.early.pop_front() {
            return self.take(response);
        }
        let silent = Error::Unavailable { reason: format!("silent for {} s", silence_limit.as_secs()) };
        match open.message_until(open.asked + silence_limit / ASKS_PER_SILENCE).await? {
            Some(response) => self.take(response),
            None if open.heard.elapsed() >= silence_limit => Err(silent),
            None => open.ask().await.map(|()| None),
        }
    }

    async fn open(&mut self) -> Result<Open, Error> {
        let limit = self.store.config().request_timeout;
        let mut client = self.store.client().watch_client().max_decoding_message_size(DECODE_MAX_BYTES);
        let mut stream: Option<WatchStream> = None;
        for (id, position) in (1..).zip(&mut self.positions) {
            position.fragments.clear();
            let key = position.range.start();
            let options = Some(position.options(id));
            let opened = self.store.attempt(limit, async {
                match &mut stream {
                    Some(stream) => stream.watch(key, options).await,
                    None => client.watch(key, options).await.map(|opened| stream = Some(opened)),
                }
            });
            opened.await.map_err(Error::of_read)?;
        }
        let stream = stream.ok_or_else(|| Error::Invalid { reason: "a watch of no range".to_owned() })?;
        let now = Instant::now();
        let mut open = Open { stream, early: VecDeque::new(), since: now, heard: now, asked: now };
        self.begin(&mut open).await?;
        Ok(open)
    }

    /// Waits until etcd watches every range, and only then looks whether it still had all of their history: before, a
    /// compaction could come between the look and the watch.
    async fn begin(&mut self, open: &mut Open) -> Result<(), Error> {
        let deadline = Instant::now() + self.store.config().request_timeout;
        let mut missing = self.positions.len();
        while missing > 0 {
            let response = open.message_until(deadline).await?;
            let response = response
                .ok_or_else(|| Error::Unavailable { reason: "the watch does not begin".to_owned() })?;
            if response.canceled {
                return Err(canceled(&response));
            }
            if response.created {
                missing -= 1;
            } else {
                open.early.push_back(response);
            }
        }
        let oldest = self.positions.iter().map(|position| position.next).min().unwrap_or_default();
        self.store.check_history(oldest - 1).await
    }

    /// Takes over one message; a batch is whole when its last fragment is there.
    fn take(&mut self, response: PbWatchResponse) -> Result<Option<WatchBatch>, Error> {
        if response.canceled {
            return Err(canceled(&response));
        }
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        if response.events.is_empty() {
            self.progress(&response, revision);
            return Ok(None);
        }
        let index = usize::try_from(response.watch_id - 1).ok();
        let Some(position) = index.and_then(|index| self.positions.get_mut(index)) else {
            return Err(Error::Unavailable {
                reason: format!("events of an unknown watch {}", response.watch_id),
            });
        };
        position.fragments.extend(response.events);
        if response.fragment {
            return Ok(None);
        }
        Ok(position.deliver().inspect(|batch| self.store.saw(batch.revision)))
    }

    /// An answer without events says how far a range is known to be quiet, if the server can be trusted with it.
    fn progress(&mut self, response: &PbWatchResponse, revision: i64) {
        let trusted = self.store.server_version().is_some_and(crate::Version::has_true_progress);
        if !trusted || response.created || response.fragment {
            return;
        }
        for (id, position) in (1..).zip(&mut self.positions) {
            if position.fragments.is_empty() && (response.watch_id == id || response.watch_id == -1) {
                position.next = position.next.max(revision + 1);
            }
        }
    }
}

impl Position {
    fn options(&self, id: i64) -> WatchOptions {
        let options = WatchOptions::new().with_start_revision(self.next).with_watch_id(id).with_fragment();
        match self.range.end() {
            Some(end) => options.with_range(end),
            None => options,
        }
    }

    /// The collected events as a batch; what was delivered before is left out.
    fn deliver(&mut self) -> Option<WatchBatch> {
        let mut batch = WatchBatch { revision: 0, events: Vec::with_capacity(self.fragments.len()) };
        for event in std::mem::take(&mut self.fragments) {
            let Some(event) = Event::from_pb(event).filter(|event| event.revision() >= self.next) else {
                continue;
            };
            batch.revision = batch.revision.max(event.revision());
            batch.events.push(event);
        }
        self.next = self.next.max(batch.revision + 1);
        if batch.events.is_empty() { None } else { Some(batch) }
    }
}

impl Open {
    /// The next message, if one comes before `deadline`.
    async fn message_until(&mut self, deadline: Instant) -> Result<Option<PbWatchResponse>, Error> {
        match tokio::time::timeout_at(deadline, self.stream.message()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(response))) => {
                self.heard = Instant::now();
                Ok(Some(response.0))
            }
            Ok(Ok(None)) => Err(Error::Unavailable { reason: "etcd ended the stream".to_owned() }),
            Ok(Err(error)) => Err(classify::of_read(&error)),
        }
    }

    /// Asks for a sign of life (A5): a half-open connection is silent, a healthy one answers.
    async fn ask(&mut self) -> Result<(), Error> {
        self.asked = Instant::now();
        self.stream.request_progress().await.map_err(|error| classify::of_read(&error))
    }
}

/// Why etcd ended one watch of the stream, which itself stays open for ever (A4).
fn canceled(response: &PbWatchResponse) -> Error {
    let reason = response.cancel_reason.clone();
    if response.compact_revision > 0 {
        Error::Compacted(response.compact_revision)
    } else if reason.contains("permission denied") {
        Error::Denied { reason }
    } else {
        Error::Unavailable { reason: format!("etcd cancelled the watch: {reason}") }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
