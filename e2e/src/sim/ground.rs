//! What all processes of one run share: etcd, the weather, the oracle, and the seed of everything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use skep_api::time::{Span, Timestamp};
use skep_runtime::clock::Env;
use skep_store::fake::FakeEtcd;
use tokio::time::Instant;

use super::fault::Fault;
use super::oracle::Oracle;
use super::role::Role;
use super::wire::Weather;

/// When the simulated time begins, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// How wrong an agent's clock may be, in milliseconds: agents' clocks decide nothing.
const AGENT_SKEW_MS: i64 = 3_600_000;
/// How wrong a controller's clock may be, in milliseconds.
const CONTROLLER_SKEW_MS: i64 = 500;

/// What all processes of one run share.
#[derive(Clone)]
pub(crate) struct Ground {
    /// etcd.
    pub(crate) etcd: FakeEtcd,
    /// The faults.
    pub(crate) weather: Weather,
    /// What watches.
    pub(crate) oracle: Oracle,
    /// The seed of the run.
    pub(crate) seed: u64,
}

impl Ground {
    /// Randomness for one purpose, told apart from all others.
    pub(crate) fn random(&self, purpose: &str) -> fastrand::Rng {
        let mut hash = DefaultHasher::new();
        (self.seed, purpose).hash(&mut hash);
        fastrand::Rng::with_seed(hash.finish())
    }

    /// The clock and the randomness of a process, whose clock may be wrong.
    pub(crate) fn env(&self, role: Role, random: &mut fastrand::Rng) -> Env {
        let most = if role == Role::Agent { AGENT_SKEW_MS } else { CONTROLLER_SKEW_MS };
        let drawn = random.i64(-most..=most);
        let skew = if self.weather.menu.has(Fault::SkewClocks) {
            self.weather.tally.add(Fault::SkewClocks);
            drawn
        } else {
            0
        };
        self.env_with(skew, random.u64(..))
    }

    /// A clock that is `skew_ms` wrong, and randomness from `seed`.
    pub(crate) fn env_with(&self, skew_ms: i64, seed: u64) -> Env {
        let oracle = self.oracle.clone();
        let now = move || {
            let elapsed = u64::try_from(oracle.elapsed().as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(EPOCH_MS.saturating_add(skew_ms)).after(Span::from_millis(elapsed))
        };
        Env::new(now, seed)
    }
}

/// An instant that lies `limit` ahead at most.
pub(crate) fn within(random: &mut fastrand::Rng, limit: Duration) -> Instant {
    Instant::now() + limit.mul_f64(random.f64())
}
