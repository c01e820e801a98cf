//! `skep down`: stops what `skep up` started.

use std::time::Duration;

use clap::Args;
use futures::future::try_join_all;
use skep_agent::engine::{Engine, EngineError, Owner};

use crate::cli::Context;
use crate::failure::{Failure, count};
use crate::output::{say, warn};
use crate::up::UpError;
use crate::up::process::ProcessId;
use crate::up::state::{NodeFile, StateDir};
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
}

impl Down {
    /// Stops everything.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        let Some(cluster) = state.cluster()? else {
            say(&format!("there is no cluster in {}", state.path().display()));
            return Ok(());
        };
        say(if end_processes(&state)? { "skep is down" } else { "skep was not up" });
        if !self.keep {
            remove_containers(&state).await?;
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
}

/// Removes this cluster's containers on this machine, as far as they are this node's.
async fn remove_containers(state: &StateDir) -> Result<(), Failure> {
    let Some(NodeFile { id: node, joined: Some(cluster) }) = state.known_node()? else { return Ok(()) };
    let engine = docker();
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
