//! The supervisor's part for further nodes: follows which are wanted, and keeps what each of them needs running.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use skep_runtime::clock::Env;
use tokio_util::sync::CancellationToken;

use crate::up::UpError;
use crate::up::child::{Keeper, PAUSE_MAX, Program};
use crate::up::nodes::network::Network;
use crate::up::nodes::{LocalNode, daemons, ending, list};
use crate::up::state::StateDir;
use crate::up::supervisor::own;
use crate::verb::agent::PolicyArgs;

/// How often it is looked which nodes are wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What further nodes are kept running with.
#[derive(Clone, Copy)]
pub(crate) struct Further<'a> {
    /// The clock and the randomness.
    pub(crate) env: &'a Env,
    /// The state directory.
    pub(crate) state: &'a StateDir,
    /// What tasks may do on them: the same as on the machine itself.
    pub(crate) policy: &'a PolicyArgs,
}

impl Further<'_> {
    /// Keeps the nodes that are wanted running, until `stop`.
    pub(crate) async fn follow(self, stop: &CancellationToken) {
        let mut kept: BTreeMap<u32, CancellationToken> = BTreeMap::new();
        let mut running = FuturesUnordered::new();
        while !stop.is_cancelled() {
            for node in list(self.state) {
                let is_wanted = !node.is_held() && !node.is_removed();
                match kept.get(&node.number()) {
                    Some(stop) if !is_wanted => stop.cancel(),
                    None if !node.is_held() => {
                        let stop = stop.child_token();
                        kept.insert(node.number(), stop.clone());
                        running.push(async move {
                            self.keep(&node, &stop).await;
                            node.number()
                        });
                    }
                    Some(_) | None => {}
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(number) = running.next() => drop(kept.remove(&number)),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        while running.next().await.is_some() {}
    }

    /// Keeps one node running until `stop`; one that people removed from the cluster is then taken down for good.
    async fn keep(self, node: &LocalNode, stop: &CancellationToken) {
        if !node.is_removed() {
            match self.programs(node) {
                Ok(programs) => {
                    let keepers = programs.into_iter().map(|program| {
                        let (state, env, stop) = (self.state.clone(), self.env.clone(), stop.clone());
                        Keeper { program, state, env, stop }.keep()
                    });
                    join_all(keepers).await;
                }
                Err(error) => self.rest(node, &error, stop).await,
            }
        }
        if node.is_removed() {
            let (state, doomed) = (self.state.clone(), node.clone());
            let end = move || ending::take_down(&state, &doomed).and_then(|()| ending::forget(&doomed));
            match tokio::task::spawn_blocking(end).await {
                Ok(Ok(())) => {
                    tracing::info!(node = node.name(), "was removed from the cluster and is taken down");
                }
                Ok(Err(error)) => self.rest(node, &error, stop).await,
                Err(error) => tracing::error!(node = node.name(), %error, "cannot be taken down"),
            }
        }
    }

    /// Says why a node cannot be, and waits before it is tried again.
    async fn rest(self, node: &LocalNode, error: &UpError, stop: &CancellationToken) {
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(node = node.name(), %error, source, "a node of this machine cannot be started or removed");
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE_MAX) => {}
        }
    }

    /// Makes the network of `node`; what it needs running. Its agent is in the machine's own namespace, where etcd is.
    fn programs(self, node: &LocalNode) -> Result<Vec<Program>, UpError> {
        let network = Network::ensure(self.state, self.env)?;
        network.join(node)?;
        let number = node.number().to_string();
        let address = network.address(node);
        let agent = own(self.state, &node.agent(), &["agent", "--local", &number, "--address", &address]);
        let mut agent = agent.map_err(UpError::file("/proc/self/exe"))?;
        agent.args.extend(self.policy.args());
        Ok(daemons::programs(node, &network)?.into_iter().chain([agent]).collect())
    }
}
