//! `skep down`: stops what `skep up` started.

use std::time::Duration;

use clap::Args;
use futures::future::try_join_all;
use skep_agent::docker::Docker;
use skep_agent::engine::{Engine, EngineError, Owner};

use crate::cli::Context;
use crate::failure::{Failure, count};
use crate::output::{say, warn};
use crate::up::UpError;
use crate::up::nodes::{self, LocalNode, ending};
use crate::up::process::ProcessId;
use crate::up::state::{NodeFile, NodeHome, StateDir};
use crate::up::supervisor::{SUPERVISOR, end_leftovers};
use crate::verb::agent::docker;

/// How long a supervisor may take: its children end first, then etcd, each of them with a patience of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stop Skep on this machine, and its containers
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Leave the containers running
    #[arg(long)]
    keep: bool,
    /// Remove the state directory as well: the cluster is gone for good
    #[arg(long, conflicts_with = "keep")]
    purge: bool,
    /// Only this further node of this machine, until the next `skep up`; with --keep, only its agent
    #[arg(long, value_name = "NAME", conflicts_with = "purge")]
    node: Option<String>,
    /// End that node as if its machine lost its power: everything of it at once, and nobody is told
    #[arg(long, requires = "node", conflicts_with = "keep")]
    cut_off: bool,
}

impl Down {
    /// Stops everything.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        let Some(cluster) = state.cluster()? else {
            say(&format!("there is no cluster in {}", state.path().display()));
            return Ok(());
        };
        if let Some(name) = &self.node {
            return self.end_node(&state, name).await;
        }
        say(if end_processes(&state)? { "skep is down" } else { "skep was not up" });
        if !self.keep {
            remove_containers(&state.home(), &docker()).await?;
            let nodes = nodes::list(&state);
            for node in nodes.iter().filter(|node| node.has_docker()) {
                remove_containers(&node.home(), &Docker::new(node.docker_host())).await?;
            }
            ending::take_all_down(&state, &nodes)?;
        }
        if self.purge {
            state.purge()?;
            say(&format!("removed {}", state.path().display()));
            if cluster.ports.is_none() {
                warn(&format!("what lies in the etcd at {} stays there", cluster.access.endpoints.join(",")));
            }
        }
        Ok(())
    }

    /// Ends one further node, which stays a node of the cluster: as others see it, its machine is away.
    async fn end_node(&self, state: &StateDir, name: &str) -> Result<(), Failure> {
        let Some(node) = nodes::find(state, name) else {
            let further = nodes::list(state).iter().map(LocalNode::name).collect::<Vec<_>>().join(", ");
            let rule = format!("no further node of this machine; there are: {further}");
            return Err(Failure::Argument { argument: name.to_owned(), rule });
        };
        node.hold()?;
        ending::end_agent(state, &node).await?;
        if self.cut_off {
            ending::cut_off(state, &node)?;
        } else if !self.keep {
            ending::shut_down(state, &node)?;
        }
        say(&format!("{name} is down; `skep up --detach` starts it again"));
        Ok(())
    }
}

/// Removes the containers of one node from its Docker.
async fn remove_containers(home: &NodeHome, engine: &Docker) -> Result<(), Failure> {
    let Some(NodeFile { id: node, joined: Some(cluster) }) = home.known()? else { return Ok(()) };
    let failed = |error: EngineError| Failure::Process { name: "docker".to_owned(), source: error.into() };
    let containers = engine.list(&Owner { cluster, node }).await.map_err(failed)?;
    let stop = containers.iter().map(|container| async {
        // A container that cannot be asked is removed all the same.
        let _ = engine.stop(&container.id).await;
        match engine.remove(&container.id).await {
            Err(EngineError::NotFound(_)) => Ok(()),
            other => other,
        }
    });
    try_join_all(stop).await.map_err(failed)?;
    if !containers.is_empty() {
        say(&format!("removed {}", count(containers.len(), "container")));
    }
    Ok(())
}

/// Ends the supervisor, and whatever it could not end; says whether there was anything to end.
fn end_processes(state: &StateDir) -> Result<bool, UpError> {
    let supervisor = state.run_file(SUPERVISOR)?.and_then(|run| run.process);
    let was_up = supervisor.as_ref().is_some_and(ProcessId::is_alive);
    if let Some(process) = supervisor {
        process.end(PATIENCE).map_err(|source| UpError::End { name: SUPERVISOR.to_owned(), source })?;
    }
    end_leftovers(state)?;
    Ok(was_up)
}
