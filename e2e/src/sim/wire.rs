//! The network between one process and etcd: slow, and while the storm lasts, broken in every way that seeds think of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use skep_store::Guard;
use skep_store::fake::{Fault as NetworkFault, Network};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fault::{Fault, Menu, Tally};
use super::plant::Plant;
use super::role::Role;

/// What is on its way when nothing is wrong takes up to so many milliseconds.
const LATENCY_MS: u64 = 3;
/// The longest delay of a request.
const REQUEST_DELAY: Duration = Duration::from_secs(30);
/// The longest delay of a watch event that is merely late.
const EVENT_DELAY: Duration = Duration::from_millis(1500);
/// The longest silence of a watch: more than the store tolerates.
const WATCH_SILENCE: Duration = Duration::from_secs(40);

/// What all processes of one run share.
#[derive(Clone)]
pub(crate) struct Weather {
    /// Which faults happen.
    pub(crate) menu: Menu,
    /// How often they did.
    pub(crate) tally: Tally,
    /// When they end: whatever is late then arrives.
    pub(crate) calm_from: Instant,
    /// The bug that is planted, if any.
    pub(crate) plant: Option<Plant>,
    /// Ends the run: what was lost without a word, and waits for ever, need not any more.
    pub(crate) end: CancellationToken,
}

impl Weather {
    /// Whether faults are over.
    pub(crate) fn is_calm(&self) -> bool {
        Instant::now() >= self.calm_from
    }
}

/// Which direction of a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Requests do not arrive.
    Requests,
    /// Replies and events do not arrive.
    Replies,
    /// Nothing arrives.
    Both,
}

/// The wire between one process and etcd. Clones are the same wire.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Arc<str>,
    role: Role,
    weather: Weather,
    state: Arc<Mutex<State>>,
}

struct State {
    random: fastrand::Rng,
    cut: Option<(Cut, Instant)>,
}

/// What becomes of something on its way.
enum Fate {
    Arrives(Instant),
    Breaks(NetworkFault),
    /// For good, and without a word until the run ends.
    IsLost(CancellationToken),
}

impl Wire {
    /// The wire of the process that is called `client`.
    pub(crate) fn new(client: &str, role: Role, weather: Weather, random: fastrand::Rng) -> Self {
        let state = State { random, cut: None };
        Self { client: client.into(), role, weather, state: Arc::new(Mutex::new(state)) }
    }

    /// Cuts it until `until`, or until the storm is over.
    pub(crate) fn cut(&self, cut: Cut, until: Instant) {
        self.lock().cut = Some((cut, until.min(self.weather.calm_from)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request_fate(&self) -> Fate {
        let mut state = self.lock();
        if let Some(healed) = state.is_cut([Cut::Requests, Cut::Both]) {
            return if state.random.bool() { self.is_lost() } else { Fate::Arrives(healed) };
        }
        if self.happens(&mut state, Fault::Refuse) {
            return Fate::Breaks(NetworkFault::Refused);
        }
        if self.happens(&mut state, Fault::Reset) {
            return Fate::Breaks(NetworkFault::Reset);
        }
        if self.happens(&mut state, Fault::LoseRequest) {
            return self.is_lost();
        }
        if self.happens(&mut state, Fault::DelayRequest) {
            return Fate::Arrives(self.within(&mut state, REQUEST_DELAY));
        }
        Fate::Arrives(state.soon())
    }

    fn reply_fate(&self) -> Fate {
        let mut state = self.lock();
        if let Some(healed) = state.is_cut([Cut::Replies, Cut::Both]) {
            return if state.random.bool() { self.is_lost() } else { Fate::Arrives(healed) };
        }
        if self.happens(&mut state, Fault::LoseReply) {
            return self.is_lost();
        }
        if self.happens(&mut state, Fault::ResetReply) {
            return Fate::Breaks(NetworkFault::Reset);
        }
        Fate::Arrives(state.soon())
    }

    /// Events of an open stream are late, but none is lost while the stream lives: TCP sees to that.
    fn event_fate(&self) -> Fate {
        let mut state = self.lock();
        if let Some(healed) = state.is_cut([Cut::Replies, Cut::Both]) {
            let breaks = state.random.bool();
            return if breaks { Fate::Breaks(NetworkFault::Reset) } else { Fate::Arrives(healed) };
        }
        if self.happens(&mut state, Fault::DelayWatch) {
            return Fate::Arrives(self.within(&mut state, EVENT_DELAY));
        }
        if self.happens(&mut state, Fault::StallWatch) {
            return Fate::Arrives(self.within(&mut state, WATCH_SILENCE));
        }
        Fate::Arrives(state.soon())
    }

    fn is_lost(&self) -> Fate {
        Fate::IsLost(self.weather.end.clone())
    }

    /// Whether `fault` happens now.
    fn happens(&self, state: &mut State, fault: Fault) -> bool {
        let rate = self.weather.menu.rate(fault);
        let happens = rate > 0.0 && !self.weather.is_calm() && state.random.f64() < rate;
        if happens {
            self.weather.tally.add(fault);
        }
        happens
    }

    /// An instant within `limit`, but no later than the end of the storm.
    fn within(&self, state: &mut State, limit: Duration) -> Instant {
        (Instant::now() + limit.mul_f64(state.random.f64())).min(self.weather.calm_from)
    }
}

impl State {
    /// Until when one of `cuts` lasts, if it does.
    fn is_cut(&self, cuts: [Cut; 2]) -> Option<Instant> {
        let (cut, until) = self.cut?;
        (cuts.contains(&cut) && Instant::now() < until).then_some(until)
    }

    fn soon(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(..LATENCY_MS))
    }
}

impl Fate {
    fn wait(self) -> BoxFuture<'static, Result<(), NetworkFault>> {
        match self {
            Self::Arrives(at) if at <= Instant::now() => future::ready(Ok(())).boxed(),
            Self::Arrives(at) => tokio::time::sleep_until(at).map(Ok).boxed(),
            Self::Breaks(fault) => future::ready(Err(fault)).boxed(),
            Self::IsLost(end) => end.cancelled_owned().map(|()| Err(NetworkFault::Reset)).boxed(),
        }
    }
}

impl Network for Wire {
    fn client(&self) -> &str {
        &self.client
    }

    fn heeds(&self, guard: &Guard) -> bool {
        self.weather.plant.is_none_or(|plant| !plant.is_deaf_to(self.role, guard))
    }

    fn request(&self, _: &str) -> BoxFuture<'static, Result<(), NetworkFault>> {
        self.request_fate().wait()
    }

    fn reply(&self, _: &str) -> BoxFuture<'static, Result<(), NetworkFault>> {
        self.reply_fate().wait()
    }

    fn message(&self, _: &str) -> BoxFuture<'static, Result<(), NetworkFault>> {
        self.event_fate().wait()
    }

    fn broken(&self, _: &str) -> BoxFuture<'static, ()> {
        let mut state = self.lock();
        if !self.happens(&mut state, Fault::BreakWatch) {
            return future::pending().boxed();
        }
        let at = self.within(&mut state, WATCH_SILENCE);
        tokio::time::sleep_until(at).boxed()
    }
}
