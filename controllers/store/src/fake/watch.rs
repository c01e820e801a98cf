//! The Watch service of the fake: each stream is a state machine that its client polls.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

use etcd_client::proto::{PbEvent, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse, PbWatchService};
use futures::stream::{self, Stream};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::mvcc::Span;
use super::state::{FakeEtcd, State};
use super::status;

/// etcd's id for "no watch" or "all watches".
const NO_WATCH: i64 = -1;
/// Revisions that one response to a watch that lags behind holds at most.
const REVISIONS_PER_RESPONSE: usize = 1000;

#[tonic::async_trait]
impl PbWatchService for FakeEtcd {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PbWatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let session = Session {
            etcd: self.clone(),
            life: self.lock().life,
            news: self.news(),
            requests: request.into_inner(),
            watchers: BTreeMap::new(),
            next_id: 0,
            outbox: VecDeque::new(),
        };
        let responses = stream::try_unfold(session, |mut session| async move {
            Ok(session.response().await?.map(|response| (response, session)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// One stream with its watchers.
struct Session {
    etcd: FakeEtcd,
    life: u64,
    news: broadcast::Receiver<()>,
    requests: Streaming<PbWatchRequest>,
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
    outbox: VecDeque<PbWatchResponse>,
}

/// One watched range, and the revision from which it was not told yet.
struct Watcher {
    span: Span,
    next: i64,
    has_fragments: bool,
    filters: Vec<i32>,
    /// What was compacted when it began.
    compacted: i64,
}

impl Session {
    /// The next response; `None` when the client has closed its side.
    async fn response(&mut self) -> Result<Option<PbWatchResponse>, Status> {
        loop {
            self.news = self.news.resubscribe();
            let expiry = self.collect()?;
            if let Some(response) = self.outbox.pop_front() {
                return Ok(Some(response));
            }
            let expired = async {
                match expiry {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                request = self.requests.message() => match request? {
                    Some(request) => self.handle(request),
                    None => return Ok(None),
                },
                _ = self.news.recv() => {}
                () = expired => {}
            }
        }
    }

    /// Puts what the watchers have not been told yet into the outbox; returns when the next lease expires.
    fn collect(&mut self) -> Result<Option<Instant>, Status> {
        let state = self.etcd.lock();
        if state.life != self.life {
            return Err(status::stopped());
        }
        let mut gone = Vec::new();
        for (id, watcher) in &mut self.watchers {
            if watcher.next < state.mvcc.compacted() {
                self.outbox.push_back(PbWatchResponse {
                    header: Some(state.header_at(0)),
                    watch_id: *id,
                    canceled: true,
                    compact_revision: state.mvcc.compacted(),
                    ..PbWatchResponse::default()
                });
                gone.push(*id);
            } else {
                self.outbox.extend(watcher.collect(*id, &state));
            }
        }
        self.watchers.retain(|id, _| !gone.contains(id));
        Ok(state.leases.next_expiry())
    }

    fn handle(&mut self, request: PbWatchRequest) {
        let state = self.etcd.lock();
        let mut response = PbWatchResponse { header: Some(state.header()), ..PbWatchResponse::default() };
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(create)) => {
                let watcher = Watcher {
                    span: Span::new(
                        if create.key.is_empty() { &[0] } else { &create.key },
                        &create.range_end,
                    ),
                    next: if create.start_revision > 0 {
                        create.start_revision
                    } else {
                        state.mvcc.revision() + 1
                    },
                    has_fragments: create.fragment,
                    filters: create.filters,
                    compacted: state.mvcc.compacted(),
                };
                drop(state);
                response.created = true;
                match self.add(create.watch_id, watcher) {
                    Ok(id) => response.watch_id = id,
                    Err(reason) => {
                        response.watch_id = NO_WATCH;
                        response.canceled = true;
                        reason.clone_into(&mut response.cancel_reason);
                    }
                }
            }
            Some(PbWatchRequestUnion::CancelRequest(cancel)) => {
                if self.watchers.remove(&cancel.watch_id).is_none() {
                    return;
                }
                response.watch_id = cancel.watch_id;
                response.canceled = true;
            }
            Some(PbWatchRequestUnion::ProgressRequest(_)) => response.watch_id = NO_WATCH,
            None => return,
        }
        self.outbox.push_back(response);
    }

    /// Adds a watcher under `id`, or the next one if that is 0.
    fn add(&mut self, id: i64, watcher: Watcher) -> Result<i64, &'static str> {
        if watcher.span.is_empty() {
            return Err("mvcc: watcher range is empty");
        }
        let id = if id == 0 { self.free_id() } else { id };
        if self.watchers.contains_key(&id) {
            return Err("mvcc: duplicate watch ID provided on the WatchStream");
        }
        self.watchers.insert(id, watcher);
        Ok(id)
    }

    fn free_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }
}

impl Watcher {
    /// What happened since, as one response, or as fragments of one.
    fn collect(&mut self, id: i64, state: &State) -> Vec<PbWatchResponse> {
        let mut events = Vec::new();
        let mut last = self.next - 1;
        for (revision, all) in state.mvcc.events_from(self.next, self.compacted).take(REVISIONS_PER_RESPONSE)
        {
            last = revision;
            events.extend(all.iter().filter(|event| self.wants(event)).cloned());
        }
        self.next = self.next.max(last + 1);
        if events.is_empty() {
            return Vec::new();
        }
        let parts = if self.has_fragments { split(events, state.fragment_bytes) } else { vec![events] };
        let count = parts.len();
        let part = |(index, events): (usize, Vec<PbEvent>)| PbWatchResponse {
            header: Some(state.header()),
            watch_id: id,
            fragment: index + 1 < count,
            events,
            ..PbWatchResponse::default()
        };
        parts.into_iter().enumerate().map(part).collect()
    }

    fn wants(&self, event: &PbEvent) -> bool {
        let is_inside = event.kv.as_ref().is_some_and(|kv| self.span.contains(&kv.key));
        is_inside && !self.filters.contains(&event.r#type)
    }
}

/// Cuts events into parts of at most `limit` bytes, but never below one event.
fn split(events: Vec<PbEvent>, limit: usize) -> Vec<Vec<PbEvent>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
        if !part.is_empty() && bytes + size > limit {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(event);
    }
    parts.push(part);
    parts
}
