//! What etcd answered.

use skep_api::key::{Key, TaskRef};
use skep_api::object::Object;
use skep_store::{Error as StoreError, Listing, Outcome, Range};
use tokio::time::Instant;

use super::{Agent, Alarm};
use crate::change::Change;
use crate::engine::{Disk, EngineError};
use crate::error::AgentError;
use crate::local::Removal;
use crate::outbox::Subject;
use crate::retry;
use crate::world::{RevisionId, RevisionState};

/// An answer, of etcd if nothing else is said.
pub(super) enum Reply {
    /// To a batch of writes.
    Committed(Vec<(Subject, Change, Result<Outcome, StoreError>)>),
    /// To a reading of what an ambiguous write may have changed.
    ReadBack(Subject, Change, Result<Listing, StoreError>),
    /// To a reading of a revision and its pin.
    Revision(RevisionId, Result<Listing, StoreError>),
    /// The engine's, to the question how full its disk is.
    Disk(Result<Option<Disk>, EngineError>),
    /// To the question whether a task is really gone.
    Removal(TaskRef, Result<bool, StoreError>),
}

impl Agent {
    pub(super) fn answer(&mut self, reply: Reply) -> Result<(), AgentError> {
        match reply {
            Reply::Committed(results) => {
                self.outbox.answered();
                self.mind_failures(results.iter().map(|(_, _, result)| result));
                for (subject, change, result) in results {
                    self.written(subject, change, result)?;
                }
                Ok(())
            }
            Reply::ReadBack(subject, change, result) => self.read_back(subject, change, result),
            Reply::Revision(id, result) => self.revision(id, result),
            Reply::Disk(result) => {
                self.see_disk(result);
                Ok(())
            }
            Reply::Removal(key, result) => self.removal(&key, result),
        }
    }

    /// Leaves etcd alone for a while if it did not take the batch.
    fn mind_failures<'a>(&mut self, mut results: impl Iterator<Item = &'a Result<Outcome, StoreError>>) {
        if results.all(Result::is_ok) {
            self.failures = 0;
            return;
        }
        let wait = retry::delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.outbox.hold_until(Instant::now() + wait);
    }

    fn written(
        &mut self,
        subject: Subject,
        change: Change,
        result: Result<Outcome, StoreError>,
    ) -> Result<(), AgentError> {
        match result {
            Ok(Outcome::Committed { revision }) => {
                if let Change::Claim { report, session, .. } = &change {
                    self.world.local_mut(&report.key).claim = Some(*session);
                }
                self.dirty.extend(self.world.committed(&change.key(), change.object(), revision));
                self.settle(&subject);
                Ok(())
            }
            Ok(Outcome::Refused { revision, failed }) => {
                self.settle(&subject);
                failed
                    .iter()
                    .try_for_each(|(key, found)| self.see_key(&key.to_string(), found.as_ref(), revision))
            }
            // Whether it came true is to be seen; until then nothing is decided on it, least of all a start.
            Err(StoreError::Ambiguous { reason }) => {
                tracing::debug!(key = %change.key(), reason, "reading back");
                self.ask_back(subject, change);
                Ok(())
            }
            Err(error @ StoreError::Restored { .. }) => Err(error.into()),
            Err(error) => {
                tracing::warn!(key = %change.key(), %error, "writing again");
                self.settle(&subject);
                Ok(())
            }
        }
    }

    /// The write of `subject` has its answer: it may be planned again.
    fn settle(&mut self, subject: &Subject) {
        match subject {
            Subject::Machine => self.is_reporting = false,
            Subject::Task(key) => {
                self.world.local_mut(key).is_writing = false;
                self.dirty.insert(key.clone());
            }
        }
    }

    /// Reads what a write with an unknown end may have changed. Should it still be on its way, it compares
    /// what any later write changes, so it comes true before that or never.
    fn ask_back(&mut self, subject: Subject, change: Change) {
        let mut ranges = vec![Range::key(&change.key())];
        if let Subject::Task(key) = &subject {
            ranges.push(Range::key(&Key::Task(key.clone())));
        }
        let store = self.store.clone();
        self.calls.push(Box::pin(async move {
            let listing = store.list_all(&ranges).await;
            Reply::ReadBack(subject, change, listing)
        }));
    }

    fn read_back(
        &mut self,
        subject: Subject,
        change: Change,
        result: Result<Listing, StoreError>,
    ) -> Result<(), AgentError> {
        let listing = match result {
            Ok(listing) => listing,
            Err(error) if error.is_retryable() => {
                self.ask_back(subject, change);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let task = match &subject {
            Subject::Machine => None,
            Subject::Task(key) => Some(Key::Task(key.clone())),
        };
        for key in std::iter::once(change.key()).chain(task) {
            let text = key.to_string();
            let found = listing.entries.iter().find(|kv| kv.key == text);
            self.see_key(&text, found, listing.revision)?;
        }
        self.settle(&subject);
        Ok(())
    }

    fn revision(&mut self, id: RevisionId, result: Result<Listing, StoreError>) -> Result<(), AgentError> {
        let state = match result {
            Ok(listing) => read_revision(&id, &listing),
            Err(error) if error.is_retryable() => {
                let wait = retry::delay(0, &mut self.random);
                self.alarms.insert(Alarm::Revision(id), Instant::now() + wait);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if matches!(state, RevisionState::Unusable(_)) {
            let wait = retry::longest();
            self.alarms.insert(Alarm::Revision(id.clone()), Instant::now() + wait);
        }
        self.dirty.extend(self.world.tasks_of(&id));
        self.world.revisions.insert(id, state);
        Ok(())
    }

    fn removal(&mut self, key: &TaskRef, result: Result<bool, StoreError>) -> Result<(), AgentError> {
        match result {
            Ok(true) => self.world.local_mut(key).removal = Removal::Confirmed,
            Ok(false) => {
                // It is there, and the watch is about to say so.
                self.world.local_mut(key).removal = Removal::Unasked;
                self.rest(key);
            }
            Err(error) if error.is_retryable() => {
                self.world.local_mut(key).removal = Removal::Unasked;
                self.rest(key);
            }
            Err(error) => return Err(error.into()),
        }
        self.dirty.insert(key.clone());
        Ok(())
    }
}

fn read_revision((uid, number): &RevisionId, listing: &Listing) -> RevisionState {
    let read = |key: Key| {
        let text = key.to_string();
        let found = listing.entries.iter().find(|kv| kv.key == text)?;
        Some(Object::decode(&key, &found.value))
    };
    let pin = match read(Key::Pin(uid.clone(), *number)) {
        Some(Ok(Object::Pin(pin))) => Some(pin.digest.clone()),
        _ => None,
    };
    match read(Key::Revision(uid.clone(), *number)) {
        Some(Ok(Object::Revision(revision))) => RevisionState::Known(revision, pin),
        Some(Err(error)) => RevisionState::Unusable(format!("revision {number} does not decode: {error}")),
        Some(Ok(_)) | None => RevisionState::Unusable(format!("revision {number} is not there")),
    }
}
