//! Many seeds on all cores, and what they add up to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Counts, Options, Outcome, run};

/// Seeds to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// How many of them, from the first one on, run twice, to see that they run alike.
    pub twice: u64,
    /// How each runs.
    pub options: Options,
}

/// What the seeds add up to.
#[derive(Debug, Default)]
pub struct Totals {
    /// How many seeds ran.
    pub seeds: u64,
    /// How many commits there were.
    pub commits: u64,
    /// How much time passed within.
    pub elapsed: Duration,
    /// How often each fault happened.
    pub faults: Counts,
    /// The seeds that broke an invariant, in order.
    pub failures: Vec<Outcome>,
    /// The seeds that did not run alike twice.
    pub unlike: Vec<u64>,
}

impl Campaign {
    /// Runs the seeds; `tell` hears of each one that is done.
    ///
    /// # Errors
    /// If this machine has no more room for a thread's runtime.
    pub fn run(&self, tell: impl Fn(&Outcome) + Sync) -> std::io::Result<Totals> {
        let next = AtomicU64::new(0);
        let totals = Mutex::new(Totals::default());
        let threads = std::thread::available_parallelism()?;
        std::thread::scope(|scope| {
            let work = || self.work(&next, &totals, &tell);
            let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
            let results = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(std::io::Error::other("the simulator itself panicked")))
            });
            results.collect::<std::io::Result<()>>()
        })?;
        let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        totals.failures.sort_by_key(|outcome| outcome.seed);
        totals.unlike.sort_unstable();
        Ok(totals)
    }

    fn work(
        &self,
        next: &AtomicU64,
        totals: &Mutex<Totals>,
        tell: &impl Fn(&Outcome),
    ) -> std::io::Result<()> {
        loop {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            if offset >= self.seeds {
                return Ok(());
            }
            let seed = self.first.wrapping_add(offset);
            let outcome = run(seed, self.options)?;
            let is_alike = offset >= self.twice || run(seed, self.options)?.trace == outcome.trace;
            tell(&outcome);
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.add(outcome, is_alike);
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: Outcome, is_alike: bool) {
        self.seeds += 1;
        self.commits += outcome.commits;
        self.elapsed += outcome.elapsed;
        self.faults.merge(&outcome.faults);
        if !is_alike {
            self.unlike.push(outcome.seed);
        }
        if outcome.violation.is_some() {
            self.failures.push(outcome);
        }
    }
}
