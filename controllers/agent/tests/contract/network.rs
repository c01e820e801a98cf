//! The network between the agent and etcd, in the hand of the test.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use skep_store::fake::{Fault, Network};

/// A network that can be cut, and can lose what passes.
pub(crate) struct Switch(Mutex<Weather>);

/// What happens to what passes.
struct Weather {
    random: fastrand::Rng,
    is_cut: bool,
    cuts_reads: bool,
    cuts_writes: bool,
    lost_replies: u32,
    rate: f64,
}

impl Switch {
    pub(crate) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (is_cut, cuts_reads, cuts_writes) = (false, false, false);
        Self(Mutex::new(Weather { random, is_cut, cuts_reads, cuts_writes, lost_replies: 0, rate: 0.0 }))
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.0.lock().unwrap()
    }

    /// Nothing passes any more, or everything again.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.weather().is_cut = is_cut;
    }

    /// No question is answered any more, or every one again; what streams tell still passes.
    pub(crate) fn cut_reads(&self, is_cut: bool) {
        self.weather().cuts_reads = is_cut;
    }

    /// No transaction gets through any more, or every one again.
    pub(crate) fn cut_writes(&self, is_cut: bool) {
        self.weather().cuts_writes = is_cut;
    }

    /// Loses the replies of the next transactions.
    pub(crate) fn lose_replies(&self, count: u32) {
        self.weather().lost_replies = count;
    }

    /// Loses and delays requests, replies and streams, each with this probability.
    pub(crate) fn set_rate(&self, rate: f64) {
        self.weather().rate = rate;
    }

    /// What becomes of one thing that passes.
    fn pass(&self, fault: Fault) -> BoxFuture<'static, Result<(), Fault>> {
        let mut weather = self.weather();
        let (rate, is_cut) = (weather.rate, weather.is_cut);
        let is_lost = weather.random.f64() < rate;
        let delay = if weather.random.f64() < rate { weather.random.u64(0..3000) } else { 0 };
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            if is_cut {
                Err(Fault::Refused)
            } else if is_lost {
                Err(fault)
            } else {
                Ok(())
            }
        })
    }
}

impl Network for Switch {
    fn request(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let is_refused = {
            let weather = self.weather();
            weather.cuts_reads && method.ends_with("/Range")
                || weather.cuts_writes && method.ends_with("/Txn")
        };
        if is_refused {
            return Box::pin(async { Err(Fault::Refused) });
        }
        self.pass(Fault::Reset)
    }

    fn reply(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let is_lost = {
            let mut weather = self.weather();
            let is_lost = method.ends_with("/Txn") && weather.lost_replies > 0;
            weather.lost_replies -= u32::from(is_lost);
            is_lost
        };
        if is_lost { Box::pin(async { Err(Fault::Reset) }) } else { self.pass(Fault::Reset) }
    }

    fn message(&self, _: &str) -> BoxFuture<'static, Result<(), Fault>> {
        self.pass(Fault::Reset)
    }
}
