//! An agent with a real etcd and a real Docker.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use skep_agent::docker::{DEFAULT_HOST, Docker};
use skep_agent::policy::Policy;
use skep_agent::{AgentError, labels};
use skep_api::node::Role;
use skep_api::rollout::Revision;
use skep_runtime::clock::Env;
use skep_store::rig::Etcd;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::suite::hand::{self, Hand};

/// The image that everything runs.
pub(crate) const IMAGE: &str = "skep-demo";

/// How long an agent may take to end that was told to.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How often containers are looked for that are left.
const PASSES_MAX: u32 = 20;

pub(crate) struct Rig {
    pub(crate) etcd: Etcd,
    pub(crate) hand: Hand,
    agent: Option<JoinHandle<Result<(), AgentError>>>,
    policy: Policy,
    _cleanup: Cleanup,
}

/// Leaves no container of a cluster behind, also when a test fails.
pub(crate) struct Cleanup {
    pub(crate) cluster: String,
}

/// A revision of the demo image, with more of a template after it.
pub(crate) fn demo(task: &str, host_ports: &str) -> Revision {
    hand::revision(&format!("image: {IMAGE}, stopGracePeriod: 2s{task}"), host_ports)
}

/// What a command prints; it must not fail.
pub(crate) fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Rig {
    /// Everything, with the agent running.
    pub(crate) async fn start() -> Self {
        Self::start_under(Policy::default()).await
    }

    /// The same, with an agent that obeys `policy`.
    pub(crate) async fn start_under(policy: Policy) -> Self {
        let etcd = Etcd::start().await.unwrap();
        let store = etcd.store(fastrand::u64(..)).await.unwrap();
        let cluster = store.bootstrap().await.unwrap().cluster;
        let config = hand::config(fastrand::u64(..));
        skep_agent::join(&store, &config, Role::Worker).await.unwrap();
        let hand = Hand { store, config };
        let mut rig = Self { etcd, hand, agent: None, policy, _cleanup: Cleanup { cluster } };
        rig.start_agent();
        rig
    }

    pub(crate) fn start_agent(&mut self) {
        self.agent = Some(tokio::spawn(skep_agent::run(
            Env::system(),
            self.hand.store.clone(),
            Arc::new(Docker::new(DEFAULT_HOST).with_policy(self.policy.clone())),
            self.hand.config.clone(),
            CancellationToken::new(),
        )));
    }

    /// Ends the agent at this instant, as `kill -9` does.
    pub(crate) async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            let _ = agent.await;
        }
    }
}

impl Drop for Rig {
    /// The agent ends before its containers are removed, or it would go on making more.
    fn drop(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        agent.abort();
        let deadline = Instant::now() + END_LIMIT;
        while !agent.is_finished() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

impl Drop for Cleanup {
    /// Removes until nothing is left: Docker may still have been creating a container when its agent ended, and removing one may
    /// fail because somebody else does it. Nothing here panics: that would end all tests, and leave more behind.
    fn drop(&mut self) {
        let filter = format!("label={}={}", labels::CLUSTER, self.cluster);
        let mut times_clear = 0;
        for _ in 0..PASSES_MAX {
            let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output();
            let Ok(listed) = listed else { return };
            let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
            let ids: Vec<&str> = ids.split_whitespace().collect();
            times_clear = if ids.is_empty() { times_clear + 1 } else { 0 };
            if times_clear > 1 {
                return;
            }
            if !ids.is_empty() {
                let _ = Command::new("docker").args(["rm", "-fv"]).args(ids).output();
            }
        }
    }
}
