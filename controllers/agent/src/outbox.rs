//! Writes that wait for etcd: folded while they wait, sent at once when idle, and in batches under load.
//!
//! A task that takes another's place needs a few writes one after the other, and people wait for it: so a few go at once.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::key::TaskRef;
use tokio::time::Instant;

use crate::change::Change;

/// The least time between two batches, on the average.
const SPACING: Duration = Duration::from_millis(50);
/// How many batches may go one right after the other, after a rest.
const BURST: u32 = 4;
/// How long what only shows progress waits for something better to say.
const PROGRESS_DELAY: Duration = Duration::from_millis(250);

/// Of what a write speaks: each has one write at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// The machine itself.
    Machine,
    /// A task.
    Task(TaskRef),
}

/// Writes that wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<Subject, Waiting>,
    not_before: Option<Instant>,
    /// Until when the spacing is used up by what was sent (a leaky bucket).
    used_until: Option<Instant>,
    is_sending: bool,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    due: Instant,
}

impl Outbox {
    /// Replaces what waits for `subject`.
    pub(crate) fn put(&mut self, subject: Subject, change: Change, is_urgent: bool, now: Instant) {
        let earlier = self.waiting.get(&subject).map(|waiting| waiting.due);
        let due = if is_urgent { now } else { earlier.unwrap_or(now + PROGRESS_DELAY) };
        self.waiting.insert(subject, Waiting { change, due });
    }

    /// Nothing is to be written for `subject` any more.
    pub(crate) fn withdraw(&mut self, subject: &Subject) {
        self.waiting.remove(subject);
    }

    /// When the next batch may go; `None` while one is on its way, or there is nothing to send.
    pub(crate) fn next(&self) -> Option<Instant> {
        let first = self.waiting.values().map(|waiting| waiting.due).min().filter(|_| !self.is_sending)?;
        Some(self.not_before.map_or(first, |not_before| first.max(not_before)))
    }

    /// Takes the batch that is due at `now`; it is on its way until [`Outbox::answered`].
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(Subject, Change)> {
        if self.next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        let (due, later) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, waiting)| waiting.due <= now);
        self.waiting = later;
        self.is_sending = true;
        let used_until = self.used_until.map_or(now, |used| used.max(now)) + SPACING;
        self.used_until = Some(used_until);
        self.not_before = used_until.checked_sub(SPACING * (BURST - 1));
        let due: BTreeMap<Subject, Waiting> = due;
        due.into_iter().map(|(subject, waiting)| (subject, waiting.change)).collect()
    }

    /// The batch has an answer.
    pub(crate) fn answered(&mut self) {
        self.is_sending = false;
    }

    /// Sends nothing before `instant`: etcd did not take the last batch.
    pub(crate) fn hold_until(&mut self, instant: Instant) {
        self.not_before = Some(instant);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_api::ident::NodeId;
    use skep_api::node::NodeReport;

    use super::*;

    /// A change that is told apart by `number`.
    fn change(number: i64) -> Change {
        let report = Arc::new(NodeReport::default());
        Change::Machine { report, node: (NodeId::from_random(1), number), modified: None }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_urgent_goes_at_once_when_idle_and_in_batches_under_load() {
        let mut outbox = Outbox::default();
        let start = Instant::now();
        for number in 0..i64::from(BURST) {
            outbox.put(Subject::Machine, change(number), true, start);
            assert_eq!(outbox.take(start), [(Subject::Machine, change(number))]);
            assert_eq!(outbox.next(), None, "one batch at a time");
            outbox.answered();
        }
        outbox.put(Subject::Machine, change(9), true, start);
        assert_eq!(outbox.next(), Some(start + SPACING));
        assert_eq!(outbox.take(start), []);
        assert_eq!(outbox.take(start + SPACING), [(Subject::Machine, change(9))]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_no_more_batches_go_than_one_for_each_interval() {
        let mut outbox = Outbox::default();
        let mut now = Instant::now();
        let end = now + SPACING * 20;
        let mut sent = 0;
        while now < end {
            outbox.put(Subject::Machine, change(sent), true, now);
            sent += i64::from(!outbox.take(now).is_empty());
            outbox.answered();
            now += Duration::from_millis(1);
        }
        assert_eq!(sent, 20 + i64::from(BURST) - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_waits_and_is_folded_into_what_comes_after_it() {
        let mut outbox = Outbox::default();
        let start = Instant::now();
        outbox.put(Subject::Machine, change(1), false, start);
        assert_eq!(outbox.next(), Some(start + PROGRESS_DELAY));
        let later = start + SPACING;
        outbox.put(Subject::Machine, change(2), false, later);
        assert_eq!(
            outbox.next(),
            Some(start + PROGRESS_DELAY),
            "it does not wait longer for being planned again"
        );
        outbox.put(Subject::Machine, change(3), true, later);
        assert_eq!(outbox.take(later), [(Subject::Machine, change(3))]);
        outbox.answered();
        outbox.put(Subject::Machine, change(4), false, later);
        outbox.withdraw(&Subject::Machine);
        assert_eq!(outbox.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_while_etcd_is_left_alone() {
        let mut outbox = Outbox::default();
        let start = Instant::now();
        outbox.hold_until(start + PROGRESS_DELAY);
        outbox.put(Subject::Machine, change(1), true, start);
        assert_eq!(outbox.take(start + SPACING), []);
        assert_eq!(outbox.take(start + PROGRESS_DELAY).len(), 1);
    }
}
