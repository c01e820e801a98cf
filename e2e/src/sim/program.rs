//! What a process runs: the entry points that the binaries call.

use std::sync::Arc;
use std::time::Duration;

use skep_agent::{AgentConfig, AgentError, Readiness};
use skep_api::node::Role as NodeRole;
use skep_runtime::clock::Env;
use skep_runtime::driver::{self, DriverConfig, DriverError};
use skep_runtime::metrics::Metrics;
use skep_store::{Config, Error as StoreError, Store};
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::machine::Machine;
use super::oracle::Oracle;
use super::plant::{Forgetful, Plant};
use super::role::Role;
use super::user::User;
use super::wire::Wire;

/// How long a dead leader is waited for.
const LEADER_TTL: Duration = Duration::from_secs(5);

/// Why a process ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// etcd did not answer when it started.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// etcd did not take the node in.
    #[error(transparent)]
    Join(AgentError),
    /// A controller must start again.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// An agent cannot go on.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// One life of a process.
pub(crate) struct Program {
    /// What it does.
    pub(crate) role: Role,
    /// What it is called: as which it holds leases.
    pub(crate) name: String,
    /// The machine of an agent.
    pub(crate) machine: Option<Machine>,
    /// Its connection to etcd.
    pub(crate) wire: Wire,
    /// All its randomness.
    pub(crate) random: fastrand::Rng,
    /// Tells it to end.
    pub(crate) shutdown: CancellationToken,
}

impl Program {
    /// Runs it until it is told to end, or cannot go on.
    pub(crate) async fn run(mut self, ground: Ground) -> Result<(), Failure> {
        let env = ground.env(self.role, &mut self.random);
        let channel = ground.etcd.channel(Arc::new(self.wire));
        let store = Store::over(channel, Config::new(Vec::new(), self.random.u64(..))).await?;
        let config =
            DriverConfig { holder: self.name.clone(), leader_ttl: LEADER_TTL, metrics: Metrics::default() };
        let shutdown = self.shutdown;
        match (self.role, self.machine) {
            (Role::Replica, _) => control::<skep_replica::Replica>(env, store, config, shutdown).await,
            (Role::Updater, _) if ground.weather.plant == Some(Plant::OldLabels) => {
                control::<Forgetful<skep_updater::Updater>>(env, store, config, shutdown).await
            }
            (Role::Updater, _) => control::<skep_updater::Updater>(env, store, config, shutdown).await,
            (Role::Scheduler, _) => control::<skep_scheduler::Scheduler>(env, store, config, shutdown).await,
            (Role::Node, _) => control::<skep_node::NodeController>(env, store, config, shutdown).await,
            (Role::Agent, Some(machine)) => {
                serve(env, store, &self.name, &machine, ground.oracle, shutdown).await
            }
            (Role::User | Role::Agent, _) => {
                User::new(store, self.random, ground.weather.calm_from).work(&shutdown).await;
                Ok(())
            }
        }
    }
}

async fn control<C: skep_runtime::controller::Controller>(
    env: Env,
    store: Store,
    config: DriverConfig,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    Ok(driver::run::<C>(env, store, config, shutdown).await?)
}

/// The name of the process is `<host>:<life>`, as the agent's own words for the holder of its session.
async fn serve(
    env: Env,
    store: Store,
    name: &str,
    machine: &Machine,
    oracle: Oracle,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let (host, life) = name.rsplit_once(':').unwrap_or((name, "0"));
    let config = AgentConfig {
        node: machine.node.clone(),
        hostname: host.to_owned(),
        address: "192.0.2.1".to_owned(),
        pid: life.parse().unwrap_or_default(),
        readiness: Readiness::default(),
    };
    if !machine.has_joined() {
        skep_agent::join(&store, &config, NodeRole::Worker).await.map_err(Failure::Join)?;
        machine.set_joined();
    }
    let engine = machine.hands(name, oracle);
    Ok(skep_agent::run(env, store, engine, config, shutdown).await?)
}
