//! How long to wait before something is tried again: doubling, with full jitter, so that agents do not march in step.

use std::time::Duration;

/// The first wait is at most this long. SwarmKit's agent retries after a second as well.
const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// No wait is shorter than this.
const SHORTEST: Duration = Duration::from_millis(50);

/// The waits of one thing that fails again and again.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    random: fastrand::Rng,
    failures: u32,
}

impl Retry {
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self { random, failures: 0 }
    }

    /// It worked: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let wait = delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// How long to wait after `failures` earlier failures in a row.
pub(crate) fn delay(failures: u32, random: &mut fastrand::Rng) -> Duration {
    let longest = FIRST.saturating_mul(1 << failures.min(8)).min(LONGEST);
    longest.mul_f64(random.f64()).max(SHORTEST)
}

/// The wait for what hardly mends itself.
pub(crate) const fn longest() -> Duration {
    LONGEST
}
