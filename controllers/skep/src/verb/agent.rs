//! `skep agent`: runs this machine's tasks in its Docker.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use prometheus_client::registry::Registry;
use skep_agent::api::{NodeApi, Socket};
use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::engine::Owner;
use skep_agent::{AgentConfig, Readiness};
use skep_api::node::Role;
use skep_runtime::process::Health;

use crate::cli::Context;
use crate::client::socket_of;
use crate::failure::Failure;
use crate::host;
use crate::up::supervisor::AGENT;
use crate::verb::process::{LogArgs, Process};

/// Run the agent: this machine's tasks, in its Docker
#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    node: NodeArgs,
    /// The unix socket on which the node's logs, commands and files are served [default: run/nodes/NODE.sock in the state directory]
    #[arg(long, value_name = "PATH")]
    api_socket: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// What others need to know of this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The address under which this machine's ports answer [default: that of the default route]
    #[arg(long, value_name = "IP", env = "SKEP_ADDRESS", hide_env_values = true)]
    pub(crate) address: Option<std::net::IpAddr>,
}

/// The Docker of this machine.
pub(crate) fn docker() -> Docker {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    Docker::new(host.unwrap_or_else(|| DEFAULT_HOST.to_owned()))
}

impl Agent {
    /// Runs it until a signal comes.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let process = Process::start(context, AGENT, self.log)?;
        let state = process.state().clone();
        let env = context.env.clone();
        let address = self.node.address.map_or_else(own_address, |address| address.to_string());
        let readiness = Readiness::default();
        let asked = readiness.clone();
        let health = Health::new(Registry::default(), move || asked.is_ready());
        process
            .run(health, async |store, shutdown| {
                let ended = |error: skep_agent::AgentError| Failure::Process {
                    name: AGENT.to_owned(),
                    source: error.into(),
                };
                let cluster = store.identity()?.cluster;
                let mut node = state.node(&env)?;
                let config = AgentConfig {
                    node: node.id.clone(),
                    hostname: host::name(),
                    address,
                    pid: std::process::id(),
                    readiness,
                };
                let socket = self.api_socket.clone().unwrap_or_else(|| socket_of(&state, &node.id));
                let socket = Socket::bind(socket)
                    .map_err(|error| Failure::Process { name: AGENT.to_owned(), source: error.into() })?;
                let owner = Owner { cluster: cluster.clone(), node: node.id.clone() };
                if node.joined.as_ref() != Some(&cluster) {
                    skep_agent::join(&store, &config, Role::Manager).await.map_err(ended)?;
                    node.joined = Some(cluster);
                    state.set_node(&node)?;
                }
                let docker = Arc::new(docker());
                let api = NodeApi::new(docker.clone(), owner).serve(socket);
                let run = skep_agent::run(env, store, docker, config, shutdown);
                tokio::select! {
                    biased;
                    result = run => result.map_err(ended),
                    result = api => result.map_err(|error| Failure::Process {
                        name: AGENT.to_owned(),
                        source: error.into(),
                    }),
                }
            })
            .await
    }
}

/// The address from which this machine would speak to others; nothing is sent to find out.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    socket.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}
