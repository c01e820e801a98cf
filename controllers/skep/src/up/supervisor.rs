//! The supervisor: etcd first, then a process for every controller and the agent; ended in the other order.

use std::ffi::OsString;

use futures::future::join_all;
use skep_runtime::clock::Env;
use tokio_util::sync::CancellationToken;

use crate::cluster::Access;
use crate::failure::Failure;
use crate::up::UpError;
use crate::up::child::{Keeper, PATIENCE, Program};
use crate::up::etcd::{self, ETCD};
use crate::up::further::Further;
use crate::up::nodes;
use crate::up::nodes::network::Network;
use crate::up::pki::Pki;
use crate::up::process::ProcessId;
use crate::up::ready;
use crate::up::state::{ClusterFile, RunFile, StateDir};
use crate::verb::agent::NodeArgs;
use crate::verb::controller::CONTROLLERS;

/// The supervisor's own name, among the names of its processes.
pub(crate) const SUPERVISOR: &str = "supervisor";
/// The agent's name among them.
pub(crate) const AGENT: &str = "agent";

/// What is supervised.
pub(crate) struct Supervisor {
    env: Env,
    state: StateDir,
    cluster: ClusterFile,
    etcd: Option<Program>,
    node: NodeArgs,
}

impl Supervisor {
    /// Prepares the state directory, which the caller has locked, and ends what a supervisor that was killed left behind.
    pub(crate) fn prepare(
        env: Env,
        state: StateDir,
        foreign: Option<Access>,
        node: NodeArgs,
    ) -> Result<Self, UpError> {
        end_leftovers(&state)?;
        let last = state.cluster()?;
        let foreign = match (foreign, &last) {
            (Some(access), Some(last)) if last.ports.is_some() => {
                let known = last.access.endpoints.join(",");
                return Err(UpError::OtherCluster {
                    dir: state.path().to_owned(),
                    wanted: access.endpoints.join(","),
                    known,
                });
            }
            (None, Some(last)) if last.ports.is_none() => Some(last.access.clone()),
            (foreign, _) => foreign,
        };
        let (cluster, etcd) = if let Some(access) = foreign {
            (ClusterFile { access, ports: None }, None)
        } else {
            let binary = etcd::find()?;
            let pki = Pki::ensure(&state.pki())?;
            let ports = etcd::ports(last.and_then(|last| last.ports))?;
            let cluster = ClusterFile { access: etcd::access(ports, &pki), ports: Some(ports) };
            (cluster, Some(etcd::program(binary, &state, ports, &pki)))
        };
        state.set_cluster(&cluster)?;
        let own = ProcessId::own().map_err(UpError::file("/proc/self/stat"))?;
        let run = RunFile { process: Some(own), since: env.now(), restarts: 0, last_end: None };
        state.set_run_file(SUPERVISOR, &run)?;
        // Here, because what is wrong with the machine's network is to be said before anything runs.
        if !nodes::list(&state).is_empty() {
            Network::ensure(&state, &env)?;
        }
        Ok(Self { env, state, cluster, etcd, node })
    }

    /// The way to etcd.
    pub(crate) fn access(&self) -> &Access {
        &self.cluster.access
    }

    /// Runs everything until `stop`, then ends everything: etcd last, because the others still write to it.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let stop_etcd = CancellationToken::new();
        let store = async {
            if let Some(program) = &self.etcd {
                self.keeper(program.clone(), stop_etcd.clone()).keep().await;
            }
        };
        let further = Further { env: &self.env, state: &self.state, policy: &self.node.policy };
        let others = async {
            let (result, ()) = futures::join!(self.run_others(&stop), further.follow(&stop));
            stop_etcd.cancel();
            result
        };
        let ((), others) = futures::join!(store, others);
        self.state.remove_run_file(SUPERVISOR)?;
        others
    }

    async fn run_others(&self, stop: &CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            result = ready::bootstrap(&self.cluster.access, &self.env) => if let Err(failure) = result {
                stop.cancel();
                return Err(failure);
            },
        };
        let programs = self.programs().map_err(UpError::file("/proc/self/exe"))?;
        let keepers = programs.into_iter().map(|program| self.keeper(program, stop.clone()).keep());
        join_all(keepers).await;
        Ok(())
    }

    fn keeper(&self, program: Program, stop: CancellationToken) -> Keeper {
        Keeper { program, state: self.state.clone(), env: self.env.clone(), stop }
    }

    /// The controllers and the agent of this machine.
    fn programs(&self) -> std::io::Result<Vec<Program>> {
        let controllers = CONTROLLERS.iter().map(|name| own(&self.state, name, &["controller", name]));
        let agent = own(&self.state, AGENT, &["agent"]).map(|mut agent| {
            agent.args.extend(self.node.args());
            agent
        });
        controllers.chain([agent]).collect()
    }
}

/// A process of this very binary.
pub(crate) fn own(state: &StateDir, name: &str, verb: &[&str]) -> std::io::Result<Program> {
    let mut args: Vec<OsString> = verb.iter().map(OsString::from).collect();
    args.extend(["--state-dir".into(), state.path().into()]);
    Ok(Program::new(name, std::env::current_exe()?, args))
}

/// Ends the processes that a supervisor left behind when it was killed. Containers keep running, and so do the daemons that
/// they need.
pub(crate) fn end_leftovers(state: &StateDir) -> Result<(), UpError> {
    let names = state.run_names().into_iter().filter(|name| !nodes::is_daemon(name));
    let (store, others): (Vec<String>, Vec<String>) = names.partition(|name| name == ETCD);
    // etcd last: the others still give back what they hold.
    for group in [others, store] {
        let mut living = Vec::new();
        for name in &group {
            if let Some(process) =
                state.run_file(name)?.and_then(|run| run.process).filter(ProcessId::is_alive)
            {
                tracing::info!(
                    process = name,
                    pid = process.pid,
                    "ending what an earlier supervisor left behind"
                );
                process.ask_to_end().map_err(end_error(name))?;
                living.push((name, process));
            }
        }
        for (name, process) in living {
            process.end(PATIENCE).map_err(end_error(name))?;
        }
        group.iter().try_for_each(|name| state.remove_run_file(name))?;
    }
    Ok(())
}

fn end_error(name: &str) -> impl FnOnce(std::io::Error) -> UpError {
    let name = name.to_owned();
    |source| UpError::End { name, source }
}
