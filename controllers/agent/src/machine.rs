//! How the machine is: whether its disk is nearly full, and whether its clock is right. No clock, no I/O.

use skep_api::node::{CLOCK_SKEW_MAX_MS, ClockAnswer, NodeReport};
use skep_api::time::Timestamp;

use crate::engine::Disk;

/// A disk that is fuller is nearly full.
const FULL_PERCENT: u64 = 90;
/// And so is one with less room. It is no reason on a disk that is smaller than ten times that, where the percentage says enough.
const FREE_MIN: u64 = 1 << 30;
/// A disk that was nearly full has room again when it is not fuller than that, so that it does not change with every file.
const ROOM_PERCENT: u64 = 85;
/// A difference of clocks is told in these steps, in milliseconds.
const SKEW_STEP_MS: i64 = 500;

/// What is known of the disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Measured {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It cannot be measured from here.
    Unseen,
    /// This.
    Seen(Disk),
}

/// What is known of the machine's condition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Condition {
    /// The disk.
    pub(crate) disk: Measured,
    /// When the node controller was last asked for the time, by this machine's clock.
    asked: Option<Timestamp>,
    /// Whether it has answered that.
    is_answered: bool,
    /// By how much this machine's clock is ahead, once that is certain; zero if it is right.
    skew_ms: Option<i64>,
}

impl Condition {
    /// The node controller is asked for the time.
    pub(crate) fn ask(&mut self, now: Timestamp) {
        self.asked = Some(now);
        self.is_answered = false;
    }

    /// The node controller's answer was seen at `now`. It read its clock at some instant between the question and now (as in
    /// NTP, RFC 5905): half of that time is how far the difference may be wrong, and only what is certain is taken.
    pub(crate) fn hear(&mut self, answer: ClockAnswer, now: Timestamp) {
        if self.is_answered || self.asked != Some(answer.asked) || now < answer.asked {
            return;
        }
        self.is_answered = true;
        let (asked, seen) = (answer.asked.as_millis(), now.as_millis());
        let doubt = (seen - asked) / 2;
        let ahead = asked + doubt - answer.answered.as_millis();
        if ahead.abs() - doubt > CLOCK_SKEW_MAX_MS {
            self.skew_ms = Some((ahead + ahead.signum() * SKEW_STEP_MS / 2) / SKEW_STEP_MS * SKEW_STEP_MS);
        } else if ahead.abs() + doubt <= CLOCK_SKEW_MAX_MS {
            self.skew_ms = Some(0);
        }
    }

    /// What to say of disk and clock, after `told`: what nobody could find out since then stays.
    pub(crate) fn report(&self, told: Option<&NodeReport>) -> NodeReport {
        let told_pressure = told.and_then(|told| told.disk_pressure.as_deref());
        let told_skew = told.and_then(|told| told.clock_skew_ms);
        NodeReport {
            disk_pressure: match &self.disk {
                Measured::Seen(disk) => pressure(disk, told_pressure),
                Measured::Unseen => None,
                Measured::Unknown => told_pressure.map(str::to_owned),
            },
            clock_asked: self.asked.or(told.and_then(|told| told.clock_asked)),
            clock_skew_ms: self.skew_ms.map_or(told_skew, |skew| Some(skew).filter(|skew| *skew != 0)),
            ..NodeReport::default()
        }
    }
}

/// What of the disk is nearly full, in a sentence. One that was told already stays as it is until there is room again.
fn pressure(disk: &Disk, told: Option<&str>) -> Option<String> {
    let used = disk.size.saturating_sub(disk.free).saturating_mul(100).checked_div(disk.size)?;
    let is_short = disk.free < FREE_MIN && disk.size >= 10 * FREE_MIN;
    let has_room = used <= ROOM_PERCENT && !is_short;
    if told.is_some() && !has_room {
        return told.map(str::to_owned);
    }
    let mebibytes = disk.free >> 20;
    let sentence = || format!("the disk of {} is {used}% full: {mebibytes} MiB are free", disk.path);
    (used > FULL_PERCENT || is_short).then(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn disk(size: u64, free: u64) -> Disk {
        Disk { path: "/var/lib/docker".to_owned(), size, free }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_disk_is_nearly_full_by_its_percentage_or_by_what_is_left() {
        assert_eq!(
            pressure(&disk(100 * GIB, 9 * GIB), None).as_deref(),
            Some("the disk of /var/lib/docker is 91% full: 9216 MiB are free")
        );
        assert_eq!(pressure(&disk(100 * GIB, 10 * GIB), None), None);
        assert!(pressure(&disk(10 * GIB, GIB - 1), None).is_some());
        assert_eq!(pressure(&disk(GIB, GIB / 2), None), None, "a small disk is not full for being small");
        assert_eq!(pressure(&disk(0, 0), None), None);
    }

    #[test]
    fn a_disk_that_was_nearly_full_has_room_only_when_it_has_some() {
        let told = pressure(&disk(100 * GIB, 9 * GIB), None);
        assert_eq!(pressure(&disk(100 * GIB, 14 * GIB), told.as_deref()), told, "the same words");
        assert_eq!(pressure(&disk(100 * GIB, 15 * GIB), told.as_deref()), None);
    }

    /// What is reported when the controller answers `answered` between `asked` and `seen`.
    fn skew(asked: i64, answered: i64, seen: i64) -> Option<i64> {
        let mut condition = Condition::default();
        condition.ask(at(asked));
        condition.hear(ClockAnswer { asked: at(asked), answered: at(answered) }, at(seen));
        condition.report(None).clock_skew_ms
    }

    #[test]
    fn a_clock_is_wrong_only_if_that_is_certain() {
        assert_eq!(skew(10_000, 10_050, 10_100), None);
        assert_eq!(skew(20_000, 10_000, 20_100), Some(10_000), "ahead");
        assert_eq!(skew(10_000, 14_200, 10_100), Some(-4_000), "behind");
        assert_eq!(skew(10_000, 14_200, 15_000), None, "the answer took so long that it may be right");
        assert_eq!(skew(0, -2_001, 0), Some(2_000));
        assert_eq!(skew(0, -2_000, 0), None);
    }

    #[test]
    fn what_was_told_stays_until_something_else_is_certain() {
        let told = NodeReport { clock_skew_ms: Some(3_000), ..NodeReport::default() };
        let mut condition = Condition::default();
        condition.ask(at(0));
        assert_eq!(condition.report(Some(&told)).clock_skew_ms, Some(3_000), "no answer yet");
        condition.hear(ClockAnswer { asked: at(-5), answered: at(0) }, at(1));
        assert_eq!(condition.report(Some(&told)).clock_skew_ms, Some(3_000), "to an earlier question");
        condition.hear(ClockAnswer { asked: at(0), answered: at(0) }, at(10_000));
        assert_eq!(condition.report(Some(&told)).clock_skew_ms, Some(3_000), "it took too long to tell");
        condition.ask(at(20_000));
        condition.hear(ClockAnswer { asked: at(20_000), answered: at(20_000) }, at(20_010));
        assert_eq!(condition.report(Some(&told)).clock_skew_ms, None);
        condition.hear(ClockAnswer { asked: at(20_000), answered: at(20_000) }, at(90_000));
        assert_eq!(condition.report(Some(&told)).clock_skew_ms, None, "the same answer, seen again");
    }

    #[test]
    fn what_was_told_of_a_disk_stays_until_it_is_measured() {
        let told = NodeReport { disk_pressure: Some("full".to_owned()), ..NodeReport::default() };
        let mut condition = Condition::default();
        assert_eq!(condition.report(Some(&told)).disk_pressure.as_deref(), Some("full"));
        condition.disk = Measured::Seen(disk(100 * GIB, 50 * GIB));
        assert_eq!(condition.report(Some(&told)).disk_pressure, None);
    }
}
