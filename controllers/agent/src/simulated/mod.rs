//! An engine in memory, for the simulator and for clusters larger than the machine.
//!
//! What it holds survives the agent, as Docker does. It is deterministic: time is tokio's, and latencies and faults come from the
//! seed of its [`Env`].

mod machine;
mod process;
mod watch;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_api::time::Timestamp;
use skep_runtime::clock::Env;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::engine::{
    Call, Container, ContainerSpec, Disk, Engine, EngineError, Image, Machine, Meter, Owner, Phase, Progress,
    Sights,
};
use crate::labels;
use machine::{DAEMON_DIED, Notice, State};

pub use machine::{End, Incident};

/// Notices that a slow watcher may lag behind; one that lags more has to list again.
const NOTICES_MAX: usize = 1024;
/// Tells the engine's randomness from the agent's.
const RANDOM: u64 = 0xD0C_4E7;
/// How large an image is that is pulled, in bytes, and in how many steps that is told.
const PULL_BYTES: u64 = 40 << 20;
const PULL_STEPS: u32 = 4;

/// How long the engine takes for its calls, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// To answer what it knows.
    pub read: Range<u64>,
    /// To create a container.
    pub create: Range<u64>,
    /// To start one.
    pub start: Range<u64>,
    /// To stop one: how long its process takes to end.
    pub stop: Range<u64>,
    /// To fetch an image.
    pub pull: Range<u64>,
}

/// What goes wrong, each as a probability from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// A call is done, and its answer lost.
    pub lose_answer: f64,
    /// A start is refused.
    pub refuse_start: f64,
    /// A pull is refused.
    pub refuse_pull: f64,
}

/// A machine with its engine. Cheap to clone; all clones are the same machine.
#[derive(Clone)]
pub struct SimulatedEngine {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    state: Mutex<State>,
    random: Mutex<fastrand::Rng>,
    notices: broadcast::Sender<Notice>,
}

impl Default for Latency {
    /// About what Docker takes on a small machine.
    fn default() -> Self {
        Self { read: 1..4, create: 30..90, start: 80..300, stop: 20..400, pull: 500..5000 }
    }
}

impl SimulatedEngine {
    /// An empty machine that runs, with what `machine` says of itself.
    pub fn new(env: Env, machine: Machine) -> Self {
        let random = Mutex::new(env.random(RANDOM));
        let (notices, _) = broadcast::channel(NOTICES_MAX);
        Self { shared: Arc::new(Shared { env, state: Mutex::new(State::new(machine)), random, notices }) }
    }

    /// Sets how long calls take, from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.state().latency = latency;
    }

    /// Sets what goes wrong, from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Tells `witness` of every start and end of a container, at the instant it happens: for oracles.
    pub fn set_witness(&self, witness: impl Fn(&Incident) + Send + Sync + 'static) {
        self.state().witness = Some(Arc::new(witness));
    }

    /// Puts an image on the machine, as if it was built here or pulled before.
    pub fn add_image(&self, reference: &str, image: Image) {
        self.state().images.insert(reference.to_owned(), image);
    }

    /// Puts an image into the registry, from which it can be pulled by this reference.
    pub fn publish_image(&self, reference: &str, image: Image) {
        self.state().registry.insert(reference.to_owned(), image);
    }

    /// Puts a container on the machine that the agent did not create.
    pub fn add_container(&self, container: Container) {
        self.state().add(container);
    }

    /// Every container, in the order of their creation.
    pub fn containers(&self) -> Vec<Container> {
        self.state().containers().cloned().collect()
    }

    /// Sets how full the disk is.
    pub fn set_disk(&self, disk: Disk) {
        self.state().disk = Some(disk);
    }

    /// Changes what the machine says of itself, from the next time that its engine was away.
    pub fn set_machine(&self, machine: Machine) {
        self.state().machine = machine;
    }

    /// Ends the process of a container, as if by itself. Whether there was one that ran.
    pub fn exit(&self, id: &str, code: i64) -> bool {
        self.end(id, Phase::Exited { code, oom_killed: false }, End::ByItself)
    }

    /// The kernel kills the process of a container for want of memory. Whether there was one that ran.
    pub fn run_out_of_memory(&self, id: &str) -> bool {
        self.end(id, Phase::Exited { code: 137, oom_killed: true }, End::ByItself)
    }

    /// Stops a container behind the agent's back, as `docker stop` does; its process ends with `code`. Whether there was one that ran.
    pub fn stop_by_hand(&self, id: &str, code: i64) -> bool {
        self.state().signal(id);
        self.end(id, Phase::Exited { code, oom_killed: false }, End::ByPeople)
    }

    fn end(&self, id: &str, phase: Phase, by: End) -> bool {
        let has_ended = self.state().end(id, phase, by, self.shared.env.now());
        if has_ended {
            self.notify(Notice::Changed(id.to_owned()));
        }
        has_ended
    }

    /// Removes a container behind the agent's back, as `docker rm -f` does. Whether there was one.
    pub fn remove_by_force(&self, id: &str) -> bool {
        let has_removed = self.state().remove(id, End::ByPeople, self.shared.env.now());
        if has_removed {
            self.notify(Notice::Gone(id.to_owned()));
        }
        has_removed
    }

    /// The daemon dies, and every container with it; nothing answers until [`SimulatedEngine::come_back`].
    pub fn crash(&self) {
        self.go_away(DAEMON_DIED);
    }

    /// The daemon shuts down and stops every container, whose processes end with `code`; nothing answers until
    /// [`SimulatedEngine::come_back`].
    pub fn shut_down(&self, code: i64) {
        self.go_away(code);
    }

    fn go_away(&self, code: i64) {
        self.state().go_away(code, self.shared.env.now());
        self.notify(Notice::Away);
    }

    /// The daemon starts again.
    pub fn come_back(&self) {
        self.state().is_up = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets happen what was to happen by now.
    fn settle(&self) {
        let changed = self.state().settle(Instant::now(), self.shared.env.now());
        for id in changed {
            self.notify(Notice::Changed(id));
        }
    }

    fn notify(&self, notice: Notice) {
        // Nobody may be watching.
        let _ = self.shared.notices.send(notice);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.shared.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something of this probability happens.
    fn happens(&self, probability: f64) -> bool {
        self.draw(fastrand::Rng::f64) < probability
    }

    /// A call: it takes effect at one instant within its time, if the engine is up, and its answer may be lost. Dropped before that
    /// instant it has no effect.
    async fn call<T>(
        &self,
        latency: impl FnOnce(&Latency) -> Range<u64>,
        effect: impl FnOnce(&mut State) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let range = latency(&self.state().latency);
        let (before, after) = self.draw(|random| {
            let total = if range.is_empty() { range.start } else { random.u64(range) };
            let before = random.u64(0..=total);
            (before, total - before)
        });
        tokio::time::sleep(Duration::from_millis(before)).await;
        self.settle();
        let answer = {
            let mut state = self.state();
            if state.is_up { effect(&mut state) } else { Err(unreachable("it does not run")) }
        };
        tokio::time::sleep(Duration::from_millis(after)).await;
        let faults = self.state().faults;
        if self.happens(faults.lose_answer) { Err(unreachable("its answer was lost")) } else { answer }
    }
}

impl Engine for SimulatedEngine {
    fn watch(&self, owner: &Owner) -> Sights {
        watch::watch(self.clone(), owner.clone())
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> Call<'a, Vec<Container>> {
        Box::pin(self.call(|latency| latency.read.clone(), move |state| Ok(state.owned(owner))))
    }

    fn inspect<'a>(&'a self, name: &'a str) -> Call<'a, Container> {
        Box::pin(self.call(|latency| latency.read.clone(), move |state| state.find(name).cloned()))
    }

    fn image<'a>(&'a self, reference: &'a str) -> Call<'a, Image> {
        Box::pin(self.call(
            |latency| latency.read.clone(),
            move |state| {
                let missing = || EngineError::NotFound(format!("No such image: {reference}"));
                state.images.get(reference).cloned().ok_or_else(missing)
            },
        ))
    }

    fn pull<'a>(&'a self, reference: &'a str, meter: Meter<'a>) -> Call<'a, ()> {
        Box::pin(async move {
            let refuses = self.happens(self.state().faults.refuse_pull);
            let steps = async {
                let pause = Duration::from_millis(self.state().latency.pull.start) / PULL_STEPS;
                for step in 0..u64::from(PULL_STEPS) {
                    meter(Progress { done: PULL_BYTES * step / u64::from(PULL_STEPS), total: PULL_BYTES });
                    tokio::time::sleep(pause).await;
                }
                std::future::pending::<()>().await;
            };
            let call = self.call(
                |latency| latency.pull.clone(),
                |state| if refuses { Err(refused("toomanyrequests")) } else { state.pull(reference) },
            );
            tokio::select! {
                biased;
                answer = call => answer,
                () = steps => Ok(()),
            }
        })
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Call<'a, String> {
        Box::pin(self.call(|latency| latency.create.clone(), move |state| state.create(spec)))
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let refuses = self.happens(self.state().faults.refuse_start);
            self.call(
                |latency| latency.start.clone(),
                |state| {
                    if refuses {
                        return Err(refused("OCI runtime create failed"));
                    }
                    state.start(id, self.shared.env.now())?;
                    self.notify(Notice::Changed(id.to_owned()));
                    Ok(())
                },
            )
            .await
        })
    }

    fn stop<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(
            |latency| latency.stop.clone(),
            move |state| {
                state.find(id)?;
                state.signal(id);
                let now = self.shared.env.now();
                if state.end(id, Phase::Exited { code: 143, oom_killed: false }, End::Stopped, now) {
                    self.notify(Notice::Changed(id.to_owned()));
                }
                Ok(())
            },
        ))
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(self.call(
            |latency| latency.read.clone(),
            move |state| {
                state.find(id)?;
                state.remove(id, End::Removed, self.shared.env.now());
                self.notify(Notice::Gone(id.to_owned()));
                Ok(())
            },
        ))
    }

    fn tail<'a>(&'a self, id: &'a str, lines: usize) -> Call<'a, Vec<String>> {
        Box::pin(self.call(|latency| latency.read.clone(), move |state| state.tail(id, lines)))
    }

    fn was_signalled<'a>(&'a self, id: &'a str, _: Timestamp) -> Call<'a, bool> {
        Box::pin(self.call(|latency| latency.read.clone(), move |state| state.was_signalled(id)))
    }

    fn disk(&self) -> Call<'_, Option<Disk>> {
        Box::pin(self.call(|latency| latency.read.clone(), |state| Ok(state.disk.clone())))
    }
}

impl std::fmt::Debug for SimulatedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedEngine")
            .field("containers", &self.containers().len())
            .finish_non_exhaustive()
    }
}

fn unreachable(reason: &str) -> EngineError {
    EngineError::Unreachable(reason.to_owned())
}

fn refused(words: &str) -> EngineError {
    EngineError::Refused(words.to_owned())
}

/// Whether `container` is one of `owner`'s.
fn is_owned(container: &Container, owner: &Owner) -> bool {
    labels::of_owner(owner).iter().all(|(name, value)| container.labels.get(*name) == Some(value))
}
