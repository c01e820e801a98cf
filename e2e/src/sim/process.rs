//! The processes of one run: controllers twice over, an agent on every machine, and a person who edits.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use skep_agent::AgentConfig;
use skep_api::ident::{Name, NodeId};
use skep_api::node::Role as NodeRole;
use skep_api::time::{Span, Timestamp};
use skep_runtime::clock::Env;
use skep_runtime::driver::{self, DriverConfig};
use skep_runtime::metrics::Metrics;
use skep_store::fake::FakeEtcd;
use skep_store::{Config, Store};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::machine::Machine;
use super::oracle::Oracle;
use super::oracle::writers::Client;
use super::pause::Brake;
use super::user::User;
use super::wire::{Weather, Wire};

/// When the simulated time begins, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_700_000_000_000;
/// How long a dead leader is waited for.
const LEADER_TTL: Duration = Duration::from_secs(5);
/// How wrong an agent's clock may be, in milliseconds: agents' clocks decide nothing.
const AGENT_SKEW_MS: i64 = 3_600_000;
/// How wrong a controller's clock may be, in milliseconds.
const CONTROLLER_SKEW_MS: i64 = 500;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The replica controller.
    Replica,
    /// The updater.
    Updater,
    /// The scheduler.
    Scheduler,
    /// The node controller.
    Node,
    /// The agent of a machine.
    Agent,
    /// A person.
    User,
}

impl Role {
    /// The controllers.
    pub(crate) const CONTROLLERS: [Self; 4] = [Self::Replica, Self::Updater, Self::Scheduler, Self::Node];

    /// Whether it leads or stands by.
    pub(crate) fn is_controller(self) -> bool {
        Self::CONTROLLERS.contains(&self)
    }

    /// The name of the controller, if it is one.
    pub(crate) fn controller(self) -> Option<Name> {
        if self.is_controller() { self.to_string().parse().ok() } else { None }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replica => "replica",
            Self::Updater => "updater",
            Self::Scheduler => "scheduler",
            Self::Node => "node",
            Self::Agent => "agent",
            Self::User => "user",
        })
    }
}

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

/// Something that runs until it is told to end, with the reason why it ended before.
type Program = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// One process, through all its lives.
pub(crate) struct Process {
    /// What it does.
    pub(crate) role: Role,
    /// Which of its role.
    pub(crate) index: usize,
    /// The machine of an agent.
    pub(crate) machine: Option<Machine>,
    lives: u32,
    life: Option<Life>,
}

struct Life {
    wire: Wire,
    brake: Brake,
    shutdown: CancellationToken,
    handle: JoinHandle<Result<(), String>>,
}

/// How a process ended by itself.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It ended, with an error or without.
    Returned(Result<(), String>),
    /// It panicked.
    Panicked(String),
}

impl Ground {
    /// Randomness for one purpose, told apart from all others.
    pub(crate) fn random(&self, purpose: &str) -> fastrand::Rng {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hash = DefaultHasher::new();
        (self.seed, purpose).hash(&mut hash);
        fastrand::Rng::with_seed(hash.finish())
    }

    fn env(&self, role: Role, random: &mut fastrand::Rng) -> Env {
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

impl Process {
    /// A process that has not been started.
    pub(crate) fn new(role: Role, index: usize, machine: Option<Machine>) -> Self {
        Self { role, index, machine, lives: 0, life: None }
    }

    /// The node of an agent.
    pub(crate) fn node(&self) -> Option<&NodeId> {
        self.machine.as_ref().map(|machine| &machine.node)
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// What its present or last life is called.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}:{}", self.role, self.index, self.lives)
    }

    /// Starts it.
    pub(crate) fn start(&mut self, ground: &Ground) {
        self.lives += 1;
        let name = self.name();
        let mut random = ground.random(&name);
        let wire = Wire::new(&name, self.role, ground.weather.clone(), random.fork());
        let node = self.node().cloned();
        ground.oracle.introduce(&name, Client { role: self.role, node, holder: name.clone() });
        let shutdown = CancellationToken::new();
        let brake = Brake::default();
        let program = self.program(ground, &name, wire.clone(), random, shutdown.clone());
        let braked = brake.clone();
        let handle = tokio::task::spawn_local(async move { braked.run(program).await });
        self.life = Some(Life { wire, brake, shutdown, handle });
    }

    /// Ends it at whatever instruction it is.
    pub(crate) async fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.handle.abort();
            // It was told to end; how it ended says nothing.
            let _ = life.handle.await;
        }
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) {
        if let Some(life) = &self.life {
            life.shutdown.cancel();
        }
    }

    /// Lets it stand still.
    pub(crate) fn pause(&self) {
        if let Some(life) = &self.life {
            life.brake.pull();
        }
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        if let Some(life) = &self.life {
            life.brake.release();
        }
    }

    /// The wire of its present life.
    pub(crate) fn wire(&self) -> Option<&Wire> {
        self.life.as_ref().map(|life| &life.wire)
    }

    /// How it ended, if it did so by itself since this was last asked.
    pub(crate) async fn ending(&mut self) -> Option<Ending> {
        if !self.life.as_ref().is_some_and(|life| life.handle.is_finished()) {
            return None;
        }
        let life = self.life.take()?;
        Some(match life.handle.await {
            Ok(result) => Ending::Returned(result),
            Err(error) => Ending::Panicked(error.to_string()),
        })
    }

    fn program(
        &self,
        ground: &Ground,
        name: &str,
        wire: Wire,
        mut random: fastrand::Rng,
        shutdown: CancellationToken,
    ) -> Program {
        let env = ground.env(self.role, &mut random);
        let channel = ground.etcd.channel(Arc::new(wire));
        let config = Config::new(Vec::new(), random.u64(..));
        let (role, holder) = (self.role, name.to_owned());
        let machine = self.machine.clone();
        let oracle = ground.oracle.clone();
        let weather = ground.weather.clone();
        Box::pin(async move {
            let store = Store::over(channel, config).await.map_err(|error| error.to_string())?;
            let driver = DriverConfig { holder, leader_ttl: LEADER_TTL, metrics: Metrics::default() };
            match (role, machine) {
                (Role::Replica, _) => {
                    run_controller::<skep_replica::Replica>(env, store, driver, shutdown).await
                }
                (Role::Updater, _) => {
                    run_controller::<skep_updater::Updater>(env, store, driver, shutdown).await
                }
                (Role::Scheduler, _) => {
                    run_controller::<skep_scheduler::Scheduler>(env, store, driver, shutdown).await
                }
                (Role::Node, _) => {
                    run_controller::<skep_node::NodeController>(env, store, driver, shutdown).await
                }
                (Role::Agent, Some(machine)) => {
                    run_agent(env, store, &driver.holder, &machine, oracle, shutdown).await
                }
                (Role::User | Role::Agent, _) => {
                    User::new(store, random, weather.calm_from).work(&shutdown).await;
                    Ok(())
                }
            }
        })
    }
}

async fn run_controller<C: skep_runtime::controller::Controller>(
    env: Env,
    store: Store,
    config: DriverConfig,
    shutdown: CancellationToken,
) -> Result<(), String> {
    driver::run::<C>(env, store, config, shutdown).await.map_err(|error| error.to_string())
}

/// The name of the process is `<host>:<life>`, as the agent's own words for the holder of its session.
async fn run_agent(
    env: Env,
    store: Store,
    name: &str,
    machine: &Machine,
    oracle: Oracle,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let (host, life) = name.rsplit_once(':').unwrap_or((name, "0"));
    let config = AgentConfig {
        node: machine.node.clone(),
        hostname: host.to_owned(),
        address: "192.0.2.1".to_owned(),
        pid: life.parse().unwrap_or_default(),
    };
    if !machine.has_joined() {
        skep_agent::join(&store, &config, NodeRole::Worker).await.map_err(|error| error.to_string())?;
        machine.set_joined();
    }
    let engine = machine.hands(name, oracle);
    skep_agent::run(env, store, engine, config, shutdown).await.map_err(|error| error.to_string())
}

/// An instant that lies `limit` ahead at most.
pub(crate) fn within(random: &mut fastrand::Rng, limit: Duration) -> Instant {
    Instant::now() + limit.mul_f64(random.f64())
}
