//! The driver: connects a core to the store. One loop, in which everything that a controller does is polled, so that
//! stopping the loop stops all of it.

use std::time::Duration;

use skep_api::ident::{IdentError, Name};
use skep_api::key::Key;
use skep_api::node::Session;
use skep_api::object::Object;
use skep_store::{
    Answers, Commits, Error, Event, Follow, KeyValue, Outcome, Range, Store, Update, WatchBatch,
};
use tokio_util::sync::CancellationToken;

use crate::clock::Env;
use crate::controller::Controller;
use crate::core::{Answer, Core, Input, Observation, Output, TxnId};
use crate::metrics::Metrics;
use crate::office::{Change, Office};
use crate::plan::Transaction;
use crate::table::Stamp;
use crate::telling::Telling;

/// How long a stopping controller waits for what it has sent.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How many transactions are sent at a time; the rest waits for their answers.
const COMMITS_MAX: usize = 4_000;
/// What tells a controller's own randomness from other parts of the process.
const PURPOSE_CORE: u64 = 1;

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// Who it is, for people: `<host>:<pid>`.
    pub holder: String,
    /// How long a dead leader is waited for, in whole seconds; at least 2 s (etcd's least).
    pub leader_ttl: Duration,
    /// What it counts.
    pub metrics: Metrics,
}

/// Why a controller stopped by itself. It starts clean when it is started again.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store cannot go on.
    #[error("the watch of etcd ended")]
    Store(#[from] Error),
    /// The controller's name is not one.
    #[error("the controller's name cannot be part of a key")]
    Name(#[from] IdentError),
}

/// Transactions on their way, with their names in the order in which they were given.
struct Sent {
    ids: Vec<TxnId>,
    commits: Commits,
}

struct Driver<C: Controller> {
    env: Env,
    store: Store,
    core: Core<C>,
    office: Office,
    telling: Telling,
    metrics: Metrics,
    unsent: Vec<(TxnId, Transaction)>,
    sent: Option<Sent>,
    /// An answer was lost: nothing is sent until the leader key has been written again.
    is_settling: bool,
}

/// Runs the controller `C` until `shutdown`, leading or standing by.
///
/// # Errors
/// [`DriverError`] when it must start again with nothing remembered, such as after a restore of etcd.
pub async fn run<C: Controller>(
    env: Env,
    store: Store,
    config: DriverConfig,
    shutdown: CancellationToken,
) -> Result<(), DriverError> {
    let identity = store.identity()?;
    let key = Key::Leader(C::NAME.parse::<Name>()?);
    let session = Object::from(Session { holder: config.holder, since: env.now() });
    let value = session.encode(&key).map_err(|invalid| Error::Invalid { reason: invalid.reason })?;
    let mut driver = Driver::<C> {
        core: Core::new(&identity.cluster, env.random(PURPOSE_CORE)),
        office: Office::new(store.clone(), key, value, config.leader_ttl),
        telling: Telling::new(store.clone(), C::NAME, &env),
        metrics: config.metrics,
        unsent: Vec::new(),
        sent: None,
        is_settling: false,
        env,
        store,
    };
    let mut follow = driver.store.follow(vec![Range::controllers()]);
    let result = driver.work(&mut follow, &shutdown).await;
    driver.stop().await;
    result
}

impl<C: Controller> Driver<C> {
    async fn work(&mut self, follow: &mut Follow, shutdown: &CancellationToken) -> Result<(), DriverError> {
        loop {
            self.send();
            self.metrics.observe(self.core.revision(), self.core.backlog(), self.office.fence().is_some());
            let wake = self.core.wake_at().map(|instant| instant.since(self.env.now()).to_std());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                change = self.office.next() => self.office_changed(change),
                answers = next_of(&mut self.sent) => self.answered(answers),
                update = follow.next() => self.updated(update?),
                () = self.telling.work() => {}
                () = sleep_for(wake) => self.handle(Input::Tick),
            }
        }
    }

    /// Waits for what is on its way, so that a standby begins with it, and gives leadership back.
    async fn stop(mut self) {
        let answered = async { while self.sent.is_some() && next_of(&mut self.sent).await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, answered).await.is_err() {
            tracing::warn!("stopped before etcd answered");
        }
        if tokio::time::timeout(STOP_LIMIT, self.office.resign()).await.is_err() {
            tracing::warn!("leadership not given back: it ends with its lease");
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.env.now();
        for output in self.core.handle(now, input) {
            match output {
                Output::Commit(transactions) => self.unsent.extend(transactions),
                Output::Tell(notes) => self.telling.add(notes, now),
            }
        }
    }

    fn updated(&mut self, update: Update) {
        let key = self.office.key().to_string();
        if let Some(written) = written(&update, &key) {
            self.office.see_written(written);
        }
        match update {
            Update::Resync(listing) => {
                let entries = listing.entries.into_iter().map(observed).collect();
                self.handle(Input::Resync { revision: listing.revision, entries });
            }
            Update::Changed(WatchBatch { revision, events }) => {
                let entries = events.into_iter().map(observed_event).collect();
                self.handle(Input::Changed { revision, entries });
            }
        }
        let is_vacant = self.core.revision() > 0 && !self.core.has(self.office.key());
        self.office.see(is_vacant, self.core.revision());
    }

    fn office_changed(&mut self, change: Change) {
        self.sent = None;
        self.unsent.clear();
        self.is_settling = false;
        match change {
            Change::Leading { fence } => {
                tracing::info!(controller = C::NAME, fence, "leading");
                self.handle(Input::Leading { fence });
            }
            Change::Lost => {
                tracing::info!(controller = C::NAME, "standing by");
                self.handle(Input::Standby);
            }
        }
    }

    /// Sends what waits, if nothing is on its way: what comes up meanwhile goes into the next packs.
    fn send(&mut self) {
        let Some(fence) = self.office.fence() else { return };
        if self.unsent.is_empty() || self.sent.is_some() || self.is_settling {
            return;
        }
        let rest = self.unsent.split_off(self.unsent.len().min(COMMITS_MAX));
        let batch = std::mem::replace(&mut self.unsent, rest);
        let (mut ids, mut txns, mut unwritable) = (Vec::new(), Vec::new(), Vec::new());
        for (id, transaction) in batch {
            match transaction.encode() {
                Ok(txn) => {
                    ids.push(id);
                    txns.push(txn);
                }
                Err(invalid) => {
                    tracing::error!(controller = C::NAME, %invalid, "a transaction that cannot be written");
                    unwritable.push((id, Answer::Failed));
                }
            }
        }
        if !unwritable.is_empty() {
            self.handle(Input::Answered(unwritable));
        }
        let fence = [skep_store::Guard::modified(self.office.key().clone(), fence)];
        self.metrics.sent(txns.len());
        self.sent = Some(Sent { ids, commits: self.store.commits(&fence, txns) });
    }

    /// Some of what was sent is answered, or all of it was.
    fn answered(&mut self, answers: Option<Answers>) {
        let Some(answers) = answers else {
            self.sent = None;
            return;
        };
        let ids = self.sent.as_ref().map_or(&[][..], |sent| &sent.ids);
        let mut found = None;
        let mut is_ambiguous = false;
        let mut known = Vec::with_capacity(answers.len());
        for (index, result) in answers {
            let Some(id) = ids.get(index).copied() else { continue };
            let answer = match result {
                Ok(Outcome::Committed { revision }) => Answer::Committed { revision },
                Ok(Outcome::Refused { failed, .. }) => {
                    let revision = refused_by(&failed);
                    found = failed.into_iter().find(|(key, _)| key == self.office.key()).or(found);
                    Answer::Refused { revision }
                }
                Err(error) if error.is_ambiguous() => {
                    tracing::warn!(%error, "settling");
                    is_ambiguous = true;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "not written");
                    Answer::Failed
                }
            };
            self.metrics.answered(answer);
            known.push((id, answer));
        }
        self.handle(Input::Answered(known));
        if let Some((_, kv)) = found {
            let change = self.office.refused(kv.as_ref());
            self.office_changed(change);
        } else if is_ambiguous && !self.is_settling {
            self.is_settling = true;
            self.office.settle();
        }
    }
}

/// What is answered next; nothing once all is. Waits for ever if nothing was sent.
async fn next_of(sent: &mut Option<Sent>) -> Option<Answers> {
    match sent {
        Some(sent) => sent.commits.next().await,
        None => std::future::pending().await,
    }
}

/// The last write among what refused a transaction; 0 if it was deletions. The revision of the comparison will not do: the
/// last write before it may be of a key that is not watched, and then the cut may never contain it.
fn refused_by(failed: &[(Key, Option<KeyValue>)]) -> i64 {
    let watched = failed.iter().filter(|(key, _)| key.is_in_controller_range());
    watched.filter_map(|(_, kv)| kv.as_ref()).map(|kv| kv.modified).max().unwrap_or_default()
}

/// The last write of `key` that `update` tells of.
fn written<'a>(update: &'a Update, key: &str) -> Option<&'a KeyValue> {
    match update {
        Update::Resync(listing) => listing.entries.iter().find(|kv| kv.key == key),
        Update::Changed(batch) => batch.events.iter().rev().find_map(|event| match event {
            Event::Put(kv) if kv.key == key => Some(kv),
            Event::Put(_) | Event::Delete { .. } => None,
        }),
    }
}

fn observed(kv: KeyValue) -> Observation {
    let stamp = Stamp { created: kv.created, modified: kv.modified };
    Observation { key: kv.key, value: Some((kv.value, stamp)) }
}

fn observed_event(event: Event) -> Observation {
    match event {
        Event::Put(kv) => observed(kv),
        Event::Delete { key, .. } => Observation { key, value: None },
    }
}

async fn sleep_for(duration: Option<Duration>) {
    match duration {
        // The timer's resolution is a millisecond: what is due already only lets others go first.
        Some(Duration::ZERO) => tokio::task::yield_now().await,
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use skep_api::ident::NodeId;

    use super::*;

    #[test]
    fn a_refusal_is_waited_for_only_as_far_as_the_watch_will_show_it() {
        let node = || Key::Node(NodeId::from_random(1));
        let at = |key: &Key, modified| {
            let key = key.to_string();
            Some(KeyValue { key, value: bytes::Bytes::new(), created: 1, modified, lease: 0 })
        };
        let claim = Key::ServiceNameClaim("web".to_owned());
        assert_eq!(refused_by(&[(node(), at(&node(), 85)), (claim.clone(), at(&claim, 86))]), 85);
        assert_eq!(
            refused_by(&[(node(), None)]),
            0,
            "when it was deleted is not known: the back-off has to do"
        );
    }
}
