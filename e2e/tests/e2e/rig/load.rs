//! Requests without mercy: a new connection for each, no retries; resets and time-outs count as failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cluster;
use super::endpoints::Endpoints;
use super::http;

/// How many clients ask at once, and how often each.
const CLIENTS: usize = 8;
const EVERY: Duration = Duration::from_millis(30);
/// The least rate at which a run proves anything, in requests per second.
pub(crate) const RATE_MIN: f64 = 200.0;

/// Clients that ask a service's published addresses in turn.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
    begin: Instant,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) asked: u32,
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Begins to ask `service`.
    #[allow(clippy::disallowed_methods)] // A rate of requests is measured in real time.
    pub(crate) fn start(cluster: &Cluster, service: &str) -> Self {
        let endpoints = Arc::new(Endpoints::follow(cluster, service));
        super::eventually("addresses are published", || {
            if endpoints.addresses().is_empty() { Err("none yet".to_owned()) } else { Ok(()) }
        });
        let (stop, turn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let client = || {
            let (stop, turn, endpoints) = (Arc::clone(&stop), Arc::clone(&turn), Arc::clone(&endpoints));
            std::thread::spawn(move || ask(&endpoints, &turn, &stop))
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self { stop, clients, begin: Instant::now() }
    }

    /// Stops asking, and tells what came of it. It must have been enough to mean something.
    pub(crate) fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.begin.elapsed().as_secs_f64();
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            all.asked += tally.asked;
            all.failures.extend(tally.failures);
        }
        let rate = f64::from(all.asked) / took;
        eprintln!("{} requests, {rate:.0}/s, {} failed", all.asked, all.failures.len());
        assert!(rate >= RATE_MIN, "only {rate:.0} requests per second");
        all
    }
}

/// Asks until told to stop, at a steady pace.
#[allow(clippy::disallowed_methods)] // A rate of requests is measured in real time.
fn ask(endpoints: &Endpoints, turn: &AtomicU32, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let addresses = endpoints.addresses();
        let number = turn.fetch_add(1, Ordering::Relaxed) as usize;
        tally.asked += 1;
        match addresses.get(number % addresses.len().max(1)) {
            Some(address) => tally
                .failures
                .extend(http::get_from(*address).err().map(|error| format!("{address}: {error}"))),
            None => tally.failures.push("no address".to_owned()),
        }
        next += EVERY;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    tally
}
