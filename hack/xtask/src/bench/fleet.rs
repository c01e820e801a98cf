//! Nodes whose containers are simulated, in this process: each with its own connection, lease and watches.

use std::path::Path;
use std::sync::Arc;

use skep_agent::engine::{Image, Machine};
use skep_agent::simulated::{Latency, SimulatedEngine};
use skep_agent::{AgentConfig, Readiness};
use skep_api::ident::NodeId;
use skep_api::node::{Engine, Platform, Resources, Role};
use skep_runtime::clock::Env;
use skep_store::{Config, Store};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::observe;

/// A constraint that only these nodes meet.
pub(super) const CONSTRAINT: &str = "engine.labels.bench == simulated";

/// Nodes that run until this is dropped.
pub(super) struct Fleet {
    runtime: Option<Runtime>,
    shutdown: CancellationToken,
}

impl Fleet {
    /// Joins `count` nodes to the cluster with this state directory. Every call of their engines takes what `latency` says.
    pub(super) fn join(state: &Path, count: u64, image: &str, latency: &Latency) -> Result<Self, String> {
        Self::with(&observe::config(state)?, count, image, latency)
    }

    /// The same for the cluster behind the etcd of `config`.
    pub(super) fn with(config: &Config, count: u64, image: &str, latency: &Latency) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let shutdown = CancellationToken::new();
        for number in 0..count {
            let env = Env::system();
            let engine = SimulatedEngine::new(env.clone(), machine());
            engine.set_latency(latency.clone());
            engine.add_image(image, Image { id: format!("sha256:{image}"), repo_digests: Vec::new() });
            let agent = serve(env, config.clone(), number, engine, shutdown.clone());
            runtime.spawn(async move {
                if let Err(error) = agent.await {
                    eprintln!("simulated node {number}: {error}");
                }
            });
        }
        Ok(Self { runtime: Some(runtime), shutdown })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
        }
    }
}

fn machine() -> Machine {
    let labels = [("bench".to_owned(), "simulated".to_owned())].into();
    Machine {
        capacity: Resources::default(),
        platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
        engine: Engine { version: "simulated".to_owned(), labels },
        ..Machine::default()
    }
}

async fn serve(
    env: Env,
    mut etcd: Config,
    number: u64,
    engine: SimulatedEngine,
    shutdown: CancellationToken,
) -> Result<(), String> {
    etcd.seed = env.seed;
    let store = Store::connect(etcd).await.map_err(|error| error.to_string())?;
    let config = AgentConfig {
        node: NodeId::from_random(env.seed),
        hostname: format!("simulated-{number}"),
        address: "192.0.2.1".to_owned(),
        pid: std::process::id(),
        readiness: Readiness::default(),
    };
    skep_agent::join(&store, &config, Role::Worker).await.map_err(|error| error.to_string())?;
    let ended = skep_agent::run(env, store, Arc::new(engine), config, shutdown).await;
    ended.map_err(|error| error.to_string())
}
