//! What a process may know of the outside: the time, and randomness. The simulator gives its own.

use std::sync::Arc;

use skep_api::time::Timestamp;

/// The clock and the randomness of one process. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where this process' random numbers begin.
    pub seed: u64,
}

impl Env {
    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        Self { now: Arc::new(system_now), seed: fastrand::u64(..) }
    }

    /// A clock and a seed that the caller controls: for simulations and tests.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static, seed: u64) -> Self {
        Self { now: Arc::new(now), seed }
    }

    /// The instant by this process' clock.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Randomness for one part of the process, told apart from others by `purpose`.
    pub fn random(&self, purpose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("seed", &self.seed).finish_non_exhaustive()
    }
}

#[allow(clippy::disallowed_methods)] // The one place that reads the machine's clock.
fn system_now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
