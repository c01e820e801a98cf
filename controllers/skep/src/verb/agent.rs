//! `skep agent`: runs this machine's tasks in its Docker.

use std::ffi::OsString;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use prometheus_client::registry::Registry;
use skep_agent::api::{NodeApi, Socket};
use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::engine::Owner;
use skep_agent::generic::{self, GenericError, Generics};
use skep_agent::policy::{Policy, PolicyError};
use skep_agent::{AgentConfig, AgentError, Readiness};
use skep_api::node::Role;
use skep_runtime::clock::Env;
use skep_runtime::process::Health;
use skep_store::Store;

use crate::cli::Context;
use crate::client::socket_of;
use crate::failure::Failure;
use crate::host;
use crate::up::nodes::LocalNode;
use crate::up::state::{NodeHome, StateDir};
use crate::up::supervisor::AGENT;
use crate::verb::process::{LogArgs, Process};

/// Run the agent: this machine's tasks, in its Docker
#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    node: NodeArgs,
    /// The node's host name, and its name in the cluster until people change it [default: the machine's]
    #[arg(long, value_name = "NAME", env = "SKEP_NODE_NAME", hide_env_values = true)]
    name: Option<String>,
    /// Serve the further node of this machine with this number, instead of the machine itself
    #[arg(long, value_name = "N", hide = true)]
    local: Option<u32>,
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
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[command(flatten)]
    pub(crate) generic: GenericArgs,
}

/// What this machine has beside cores and memory.
#[derive(Debug, Clone, Args)]
pub(crate) struct GenericArgs {
    /// A resource that tasks may reserve, by its name (GPU=uuid1) or by how many there are (SSD=4); may be repeated [default: what
    /// Docker was told as node-generic-resources]
    #[arg(long = "generic-resource", value_name = "KIND=VALUE")]
    declared: Vec<String>,
}

impl GenericArgs {
    /// What is declared, which goes before what Docker says of the same kinds.
    pub(crate) fn load(&self) -> Result<Generics, GenericError> {
        generic::parse(self.declared.iter().map(String::as_str))
    }

    /// The same on a command line.
    fn args(&self) -> impl Iterator<Item = OsString> {
        self.declared.iter().flat_map(|declared| ["--generic-resource".into(), declared.into()])
    }
}

/// What tasks may do on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyArgs {
    /// What tasks may do on this machine, whatever the cluster wants; read once [default: /etc/skep/policy.yaml, if there is one]
    #[arg(long, value_name = "FILE", env = "SKEP_POLICY", hide_env_values = true)]
    policy: Option<PathBuf>,
}

impl PolicyArgs {
    /// The policy.
    pub(crate) fn load(&self) -> Result<Policy, PolicyError> {
        Policy::load(self.policy.as_deref())
    }

    /// The same on a command line.
    pub(crate) fn args(&self) -> Vec<OsString> {
        let file = self.policy.clone().map(|file| ["--policy".into(), file.into()]);
        file.into_iter().flatten().collect()
    }
}

impl NodeArgs {
    /// The same on a command line.
    pub(crate) fn args(&self) -> Vec<OsString> {
        let address = self.address.map(|address| ["--address".into(), address.to_string().into()]);
        address.into_iter().flatten().chain(self.policy.args()).chain(self.generic.args()).collect()
    }
}

/// Which node an agent serves.
struct Served {
    /// Where it is kept which node it is.
    home: NodeHome,
    /// The further node of this machine; `None` is the machine itself.
    local: Option<LocalNode>,
}

impl Served {
    fn new(state: &StateDir, local: Option<u32>) -> Self {
        let local = local.map(|number| LocalNode::new(state, number));
        Self { home: local.as_ref().map_or_else(|| state.home(), LocalNode::home), local }
    }

    /// The agent's name among the processes of the machine.
    fn process(&self) -> String {
        self.local.as_ref().map_or_else(|| AGENT.to_owned(), LocalNode::agent)
    }

    /// Its host name.
    fn hostname(&self) -> String {
        self.local.as_ref().map_or_else(host::name, LocalNode::name)
    }

    /// Its Docker.
    fn docker(&self) -> Docker {
        self.local.as_ref().map_or_else(docker, |node| Docker::new(node.docker_host()))
    }

    /// Joins the cluster, unless it was done before.
    async fn join(&self, env: &Env, store: &Store, config: &AgentConfig) -> Result<(), Failure> {
        let mut node = self.home.draw(env)?;
        let cluster = store.identity()?.cluster;
        if node.joined.as_ref() != Some(&cluster) {
            skep_agent::join(store, config, Role::Manager).await.map_err(|error| self.ended(error))?;
            node.joined = Some(cluster);
            self.home.set(&node)?;
        }
        Ok(())
    }

    /// The failure of an agent that ended so. That people removed a further node is remembered: then it is taken down.
    fn ended(&self, error: AgentError) -> Failure {
        if let (AgentError::Removed { .. }, Some(node)) = (&error, &self.local)
            && let Err(error) = node.set_removed()
        {
            return error.into();
        }
        self.failed(error)
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        Failure::Process { name: self.process(), source: error.into() }
    }
}

/// The Docker of this machine.
pub(crate) fn docker() -> Docker {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    Docker::new(host.unwrap_or_else(|| DEFAULT_HOST.to_owned()))
}

impl Agent {
    /// Runs it until a signal comes.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let served = Served::new(&context.cluster.state(), self.local);
        let policy = self.node.policy.load().map_err(|error| served.failed(error))?;
        let generic = self.node.generic.load().map_err(|error| served.failed(error))?;
        let process = Process::start(context, &served.process(), self.log)?;
        let state = process.state().clone();
        let env = context.env.clone();
        let readiness = Readiness::default();
        let asked = readiness.clone();
        let health = Health::new(Registry::default(), move || asked.is_ready());
        process
            .run(health, async |store, shutdown| {
                let config = AgentConfig {
                    node: served.home.draw(&env)?.id,
                    hostname: self.name.clone().unwrap_or_else(|| served.hostname()),
                    address: self.node.address.map_or_else(own_address, |address| address.to_string()),
                    pid: std::process::id(),
                    readiness,
                };
                let socket = self.api_socket.clone().unwrap_or_else(|| socket_of(&state, &config.node));
                let socket = Socket::bind(socket).map_err(|error| served.failed(error))?;
                served.join(&env, &store, &config).await?;
                let docker = Arc::new(served.docker().with_policy(policy).with_generic(generic));
                let owner = Owner { cluster: store.identity()?.cluster, node: config.node.clone() };
                let api = NodeApi::new(docker.clone(), owner).serve(socket);
                let run = skep_agent::run(env, store, docker, config, shutdown);
                tokio::select! {
                    biased;
                    result = run => result.map_err(|error| served.ended(error)),
                    result = api => result.map_err(|error| served.failed(error)),
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
