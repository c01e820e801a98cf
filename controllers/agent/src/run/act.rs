//! What the plans say is done: jobs are begun, writes put into the outbox, questions asked.

use std::sync::Arc;
use std::time::Duration;

use skep_api::key::{Key, TaskRef};
use skep_store::{Error as StoreError, Range};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::Reply;
use super::{Agent, Alarm};
use crate::error::AgentError;
use crate::jobs::{self, Order, Outcome};
use crate::local::{JobKind, Removal, Wait};
use crate::outbox::Subject;
use crate::plan::{Action, Job, plan};
use crate::retry;
use crate::world::{RevisionId, RevisionState};

impl Agent {
    /// One pass: plans what is dirty until nothing is, and sends what is due.
    pub(super) fn pass(&mut self) -> Result<(), AgentError> {
        self.ring();
        if self.calls.is_empty() {
            self.world.forget_gone();
        }
        let session = self.keeper.held().map(|held| held.modified);
        if self.world.session != session {
            self.world.session = session;
            self.dirty = self.world.all();
        }
        while let Some(key) = self.dirty.pop_first() {
            let actions = plan(&self.world, &key, self.env.now());
            self.act(&key, actions);
        }
        self.report_machine();
        self.send();
        let is_ready = self.world.is_synced && session.is_some() && self.world.machine.is_some();
        self.config.readiness.set(is_ready);
        self.check_removed()
    }

    /// A removed node's agent ends when nothing of the node is left.
    fn check_removed(&self) -> Result<(), AgentError> {
        let is_removed = self.world.is_synced && self.world.node_created().is_none();
        if is_removed && self.world.machine.is_some() && self.world.is_clear() {
            return Err(AgentError::Removed { node: self.config.node.clone() });
        }
        Ok(())
    }

    fn act(&mut self, key: &TaskRef, actions: Vec<Action>) {
        let subject = Subject::Task(key.clone());
        if !actions.iter().any(|action| matches!(action, Action::Write { .. })) {
            self.outbox.withdraw(&subject);
        }
        for action in actions {
            match action {
                Action::Write { change, is_urgent } => {
                    self.outbox.put(subject.clone(), change, is_urgent, Instant::now());
                }
                Action::Do(job) => self.begin(key, job),
                Action::GiveUpFetching => {
                    if let Some(fetch) = self.fetches.get(key) {
                        fetch.cancel();
                    }
                }
                Action::ReadRevision(id) => self.read_revision(id),
                Action::WaitToStop(wait, limit) => self.wait_to_stop(key, wait, limit.to_std()),
                Action::ConfirmRemoval => self.confirm_removal(key),
                Action::Forget => self.world.forget(key),
            }
        }
    }

    fn begin(&mut self, key: &TaskRef, job: Job) {
        self.world.local_mut(key).begin(&job);
        let given_up = CancellationToken::new();
        if job.kind() == JobKind::Fetch {
            self.fetches.insert(key.clone(), given_up.clone());
        }
        tracing::debug!(task = %key, ?job, "begin");
        let deadline = self.keeper.held().map_or_else(Instant::now, |held| held.deadline);
        let order = Order {
            key: key.clone(),
            owner: self.world.owner.clone(),
            job,
            deadline,
            given_up,
            meter: self.meter.clone(),
            node: self.world.node_spec().map_or(&self.config.hostname, |spec| &spec.name).clone(),
            host: self.world.machine.as_ref().map(|machine| machine.host.clone()).unwrap_or_default(),
        };
        self.jobs.push(Box::pin(jobs::perform(Arc::clone(&self.engine), Arc::clone(&self.limits), order)));
    }

    /// Takes over what came of a job.
    pub(super) fn finish(&mut self, key: &TaskRef, outcome: Outcome) {
        tracing::debug!(task = %key, ?outcome, "end");
        self.fetches.remove(key);
        if let Err(error) = self.world.local_mut(key).learn(outcome) {
            tracing::warn!(task = %key, %error, "trying again");
            self.rest(key);
        }
        self.dirty.insert(key.clone());
    }

    /// Lets a task rest after a failure.
    pub(super) fn rest(&mut self, key: &TaskRef) {
        let local = self.world.local_mut(key);
        local.is_resting = true;
        local.failures = local.failures.saturating_add(1);
        let wait = retry::delay(local.failures - 1, &mut self.random);
        self.alarms.insert(Alarm::Task(key.clone()), Instant::now() + wait);
    }

    /// Lets the stop of a task wait, counted from when that was first asked for.
    fn wait_to_stop(&mut self, key: &TaskRef, wait: Wait, limit: Duration) {
        let alarm = Alarm::Stop(key.clone(), wait);
        self.alarms.entry(alarm).or_insert_with(|| Instant::now() + limit);
    }

    /// Tries again what has rested long enough.
    fn ring(&mut self) {
        let now = Instant::now();
        let due: Vec<Alarm> =
            self.alarms.iter().filter(|(_, at)| **at <= now).map(|(alarm, _)| alarm.clone()).collect();
        for alarm in due {
            self.alarms.remove(&alarm);
            match alarm {
                Alarm::Task(key) => {
                    self.world.local_mut(&key).is_resting = false;
                    self.dirty.insert(key);
                }
                Alarm::Revision(id) => {
                    self.world.revisions.remove(&id);
                    self.dirty.extend(self.world.tasks_of(&id));
                }
                Alarm::Stop(key, wait) => {
                    if let Some(local) = self.world.known_mut(&key) {
                        local.waited = local.waited.max(Some(wait));
                        self.dirty.insert(key);
                    }
                }
                Alarm::Disk => self.measure_disk(),
                Alarm::Clock => self.ask_for_time(),
            }
        }
    }

    fn read_revision(&mut self, id: RevisionId) {
        self.world.revisions.insert(id.clone(), RevisionState::Asked);
        let ranges =
            [Key::Revision(id.0.clone(), id.1), Key::Pin(id.0.clone(), id.1)].map(|key| Range::key(&key));
        let store = self.store.clone();
        self.calls.push(Box::pin(async move { Reply::Revision(id, store.list_all(&ranges).await) }));
    }

    /// Asks etcd, not the cache, whether the task is gone; a store that was restored meanwhile gives no answer.
    fn confirm_removal(&mut self, key: &TaskRef) {
        self.world.local_mut(key).removal = Removal::Asked;
        let keys = [Key::Task(key.clone()), Key::Node(self.config.node.clone())];
        let (store, key) = (self.store.clone(), key.clone());
        self.calls.push(Box::pin(async move {
            let listing = store.list_all(&keys.each_ref().map(Range::key)).await;
            let answer = match (listing, store.check_identity().await) {
                (Ok(listing), Ok(())) => Ok(keys.map(|key| {
                    let text = key.to_string();
                    listing.entries.iter().any(|kv| kv.key == text)
                })),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            Reply::Removal(key, answer.map(|[has_task, has_node]| !has_task || !has_node))
        }));
    }

    /// Sends the writes that are due.
    fn send(&mut self) {
        let batch = self.outbox.take(Instant::now());
        if batch.is_empty() {
            return;
        }
        for (subject, _) in &batch {
            match subject {
                Subject::Machine => self.is_reporting = true,
                Subject::Task(key) => self.world.local_mut(key).is_writing = true,
            }
        }
        let store = self.store.clone();
        self.calls.push(Box::pin(async move {
            let (mut sent, mut txns) = (Vec::new(), Vec::new());
            let mut results = Vec::new();
            for (subject, change) in batch {
                match change.txn() {
                    Ok(txn) => {
                        txns.push(txn);
                        sent.push((subject, change));
                    }
                    Err(error) => {
                        results.push((subject, change, Err(StoreError::Invalid { reason: error.reason })));
                    }
                }
            }
            let answers = store.commit_all(&[], txns).await;
            results.extend(
                sent.into_iter().zip(answers).map(|((subject, change), answer)| (subject, change, answer)),
            );
            Reply::Committed(results)
        }));
    }
}
