//! Waiting for a state, with a limit.

use std::time::{Duration, Instant};

/// How often a state is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until `look` succeeds, at most [`super::LIMIT`].
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    within(super::LIMIT, what, look)
}

/// Waits until `look` succeeds, at most `limit`; what it said last is in the failure.
#[allow(clippy::disallowed_methods)] // A test of real processes waits in real time.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < end, "not within {limit:?}: {what}; last seen: {seen}"),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Lets real time pass: for how long something is away is part of what is tested.
#[allow(clippy::disallowed_methods)] // It is not waiting for a state.
pub(crate) fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// A watch, to print how long something took; nothing is asserted of it.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods)] // Real processes take real time.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
