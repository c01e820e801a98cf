//! Delays between attempts: exponential, with full jitter, reset only by success that lasted.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The bound of the first delay.
const FIRST: Duration = Duration::from_millis(50);
/// The bound of every later delay.
const LONGEST: Duration = Duration::from_secs(10);
/// How long something must have worked before its next failure counts as the first.
const LASTED: Duration = Duration::from_secs(30);

/// The delays of one thing that is tried again and again.
#[derive(Debug)]
pub(crate) struct Backoff {
    bounds: ExponentialBackoff,
    random: fastrand::Rng,
}

impl Backoff {
    /// Starts with the shortest delays; `seed` decides the jitter.
    pub(crate) fn new(seed: u64) -> Self {
        Self { bounds: bounds(), random: fastrand::Rng::with_seed(seed) }
    }

    /// How long to wait after a failure, when what failed had worked for `worked`.
    pub(crate) fn after(&mut self, worked: Duration) -> Duration {
        if worked >= LASTED {
            self.bounds = bounds();
        }
        let bound = self.bounds.next().unwrap_or(LONGEST);
        bound.mul_f64(self.random.f64())
    }
}

fn bounds() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound_and_differ_by_seed() {
        let mut one = Backoff::new(1);
        let mut two = Backoff::new(2);
        let first: Vec<Duration> = (0..20).map(|_| one.after(Duration::ZERO)).collect();
        let second: Vec<Duration> = (0..20).map(|_| two.after(Duration::ZERO)).collect();
        assert_ne!(first, second);
        assert!(first.iter().take(1).all(|delay| *delay <= FIRST));
        assert!(first.iter().all(|delay| *delay <= LONGEST));
        assert!(first.iter().any(|delay| *delay > Duration::from_secs(2)));
    }

    #[test]
    fn only_what_worked_for_a_while_starts_again_with_short_delays() {
        let mut backoff = Backoff::new(1);
        for _ in 0..20 {
            backoff.after(Duration::from_secs(1));
        }
        assert!((0..20).map(|_| backoff.after(Duration::from_secs(1))).any(|delay| delay > FIRST));
        assert!(backoff.after(LASTED) <= FIRST);
    }
}
