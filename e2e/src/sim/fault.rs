//! What can go wrong, what of it goes wrong under one seed, and how often it did.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process ends at whatever instruction it is.
    Kill,
    /// A process is told to end.
    Stop,
    /// A process stands still for up to 30 s, and then goes on with what it knew.
    Pause,
    /// A process and etcd do not hear each other, in one direction or both.
    Partition,
    /// A connection is not made.
    Refuse,
    /// A connection breaks before the request arrives.
    Reset,
    /// A request is lost without a word.
    LoseRequest,
    /// A request arrives up to 30 s late.
    DelayRequest,
    /// etcd applies a request, and its reply is lost without a word.
    LoseReply,
    /// etcd applies a request, and the connection breaks.
    ResetReply,
    /// Watch events arrive late.
    DelayWatch,
    /// A watch is silent for up to 40 s.
    StallWatch,
    /// A watch breaks.
    BreakWatch,
    /// etcd forgets its history.
    Compact,
    /// etcd restarts: streams end, leases begin anew.
    RestartEtcd,
    /// etcd's disk is full for a while.
    FillEtcd,
    /// A container ends by itself.
    CrashContainer,
    /// A container engine answers late, or not at all.
    FailEngine,
    /// A machine is lost for ever.
    LoseMachine,
    /// Processes disagree about the time.
    SkewClocks,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Kill,
        Self::Stop,
        Self::Pause,
        Self::Partition,
        Self::Refuse,
        Self::Reset,
        Self::LoseRequest,
        Self::DelayRequest,
        Self::LoseReply,
        Self::ResetReply,
        Self::DelayWatch,
        Self::StallWatch,
        Self::BreakWatch,
        Self::Compact,
        Self::RestartEtcd,
        Self::FillEtcd,
        Self::CrashContainer,
        Self::FailEngine,
        Self::LoseMachine,
        Self::SkewClocks,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::Stop => "stops",
            Self::Pause => "pauses",
            Self::Partition => "partitions",
            Self::Refuse => "refused connections",
            Self::Reset => "broken connections",
            Self::LoseRequest => "lost requests",
            Self::DelayRequest => "late requests",
            Self::LoseReply => "lost replies",
            Self::ResetReply => "broken replies",
            Self::DelayWatch => "late watch events",
            Self::StallWatch => "silent watches",
            Self::BreakWatch => "broken watches",
            Self::Compact => "compactions",
            Self::RestartEtcd => "etcd restarts",
            Self::FillEtcd => "full disks",
            Self::CrashContainer => "container crashes",
            Self::FailEngine => "engine failures",
            Self::LoseMachine => "lost machines",
            Self::SkewClocks => "wrong clocks",
        }
    }
}

/// Which faults a seed has, and how likely each is: from none at all to all of them.
///
/// Faults hide each other (a process that is killed all the time is never paused at the wrong moment), so every seed
/// draws a subset.
#[derive(Debug, Clone)]
pub(crate) struct Menu {
    rates: [f64; Fault::ALL.len()],
}

/// One seed in so many has no fault at all.
const CALM_ONE_IN: u32 = 20;
/// How likely an enabled fault is, whenever there is an opportunity: one of these, by seed.
const RATES: [f64; 3] = [0.002, 0.01, 0.04];

impl Menu {
    /// Draws the faults of one seed.
    pub(crate) fn draw(random: &mut fastrand::Rng) -> Self {
        let is_calm = random.u32(..CALM_ONE_IN) == 0;
        let rates = Fault::ALL.map(|_| {
            let rate = random.choice(RATES).unwrap_or_default();
            if is_calm || random.bool() { 0.0 } else { rate }
        });
        Self { rates }
    }

    /// No fault at all.
    pub(crate) fn calm() -> Self {
        Self { rates: Fault::ALL.map(|_| 0.0) }
    }

    /// How likely `fault` is at one opportunity, 0 to 1.
    pub(crate) fn rate(&self, fault: Fault) -> f64 {
        self.rates.get(fault as usize).copied().unwrap_or_default()
    }

    /// Whether `fault` happens under this seed.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.rate(fault) > 0.0
    }
}

/// How often each fault happened. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    counts: Arc<Mutex<Counts>>,
}

/// How often each fault happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Fault::ALL.len()]);

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&self, fault: Fault) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.0.get_mut(fault as usize) {
            *count += 1;
        }
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Adds other counts to these.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counted = Fault::ALL.iter().zip(self.0).collect::<Vec<_>>();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words: Vec<String> =
            counted.into_iter().map(|(fault, count)| format!("{count} {}", fault.words())).collect();
        f.write_str(&words.join(", "))
    }
}
