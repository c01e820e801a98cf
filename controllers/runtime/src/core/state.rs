//! What the core remembers of a key between two plans: writes on their way, and back-off.

use skep_api::time::{Span, Timestamp};

use super::Answer;
use crate::plan::Note;
use crate::retry;

/// Why a key is not planned now.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// Transactions without an answer.
    in_flight: usize,
    /// The highest revision that the cut must contain first: an own write, or what refused one.
    wait_for: Option<i64>,
    /// Not before this instant, after refusals.
    not_before: Option<Timestamp>,
    /// Refusals in a row.
    refusals: u32,
    /// What to tell people once a transaction is applied.
    notes: Vec<Note>,
    /// Whether one was applied.
    has_committed: bool,
}

impl KeyState {
    pub(super) fn must_rest(&self, now: Timestamp) -> bool {
        self.in_flight > 0 || self.wait_for.is_some() || self.not_before.is_some_and(|instant| instant > now)
    }

    /// When the back-off ends.
    pub(super) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.wait_for.is_none()
    }

    pub(super) fn started(&mut self, transactions: usize, notes: Vec<Note>) {
        self.in_flight += transactions;
        self.notes = notes;
        self.has_committed = false;
    }

    /// Takes an answer; returns when to plan again after a refusal.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        answer: Answer,
        random: &mut fastrand::Rng,
    ) -> Option<Timestamp> {
        self.in_flight = self.in_flight.saturating_sub(1);
        match answer {
            Answer::Committed { revision } => {
                self.has_committed = true;
                self.refusals = 0;
                self.wait_for = self.wait_for.max(Some(revision));
                return None;
            }
            Answer::Refused { revision } => self.wait_for = self.wait_for.max(Some(revision)),
            Answer::Failed => {}
        }
        let instant = now.after(retry::delay(self.refusals, random)).after(Span::from_millis(1));
        self.refusals = self.refusals.saturating_add(1);
        self.not_before = self.not_before.max(Some(instant));
        self.not_before
    }

    /// The revision that the cut must contain before the key is planned again.
    pub(super) fn waits_for(&self) -> Option<i64> {
        self.wait_for
    }

    /// The notes of a plan of which something was applied, once it is answered whole.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        if self.in_flight > 0 {
            return Vec::new();
        }
        let notes = std::mem::take(&mut self.notes);
        if self.has_committed { notes } else { Vec::new() }
    }

    /// The cut contains `revision`.
    pub(super) fn becomes_visible(&mut self, revision: i64) {
        self.wait_for = self.wait_for.filter(|wanted| *wanted > revision);
    }

    /// What the key is planned from has changed: trying again is not in vain.
    pub(super) fn clear_backoff(&mut self) {
        self.not_before = None;
    }
}
