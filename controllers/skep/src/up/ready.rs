//! What `skep up` waits for: etcd answers, every controller has a leader, and this machine's node is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use skep_api::condition;
use skep_api::ident::NodeId;
use skep_api::key::{Key, prefix};
use skep_api::node::{NodeState, NodeStatus, Session};
use skep_api::object::Object;
use skep_api::time::Span;
use skep_runtime::clock::Env;
use skep_store::{Range, Store};
use tokio::time::{Instant, timeout, timeout_at};

use crate::cluster::Access;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::host;
use crate::up::UpError;
use crate::up::nodes::network::Network;
use crate::up::nodes::{self, LocalNode};
use crate::up::state::{NodeHome, StateDir};
use crate::up::supervisor::AGENT;
use crate::verb::controller::CONTROLLERS;

/// How often an etcd that does not answer yet is asked again, and how often files of the state directory are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Connects as soon as etcd answers, and makes a cluster of it if it is none yet.
pub(crate) async fn bootstrap(access: &Access, env: &Env) -> Result<Store, Failure> {
    let store = connect(access, env).await?;
    store.bootstrap().await?;
    Ok(store)
}

/// Connects as soon as etcd answers.
async fn connect(access: &Access, env: &Env) -> Result<Store, Failure> {
    loop {
        match Store::connect(access.config(env)?).await {
            Ok(store) => return Ok(store),
            Err(error) if error.is_retryable() => tokio::time::sleep(LOOK_INTERVAL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the cluster can run services and this machine is part of it, for at most `limit`.
///
/// # Errors
/// [`UpError::NotReady`] says what is missing when the time is over.
pub(crate) async fn wait(
    state: &StateDir,
    access: &Access,
    env: &Env,
    limit: Span,
) -> Result<Ready, Failure> {
    let deadline = Instant::now() + limit.to_std();
    let mut missing = vec!["etcd does not answer".to_owned()];
    match timeout_at(deadline, follow(state, access, env, &mut missing)).await {
        Ok(result) => result,
        Err(_) => Err(UpError::NotReady { limit, missing: missing.join(", ") }.into()),
    }
}

/// What is there when everything is.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The cluster's id.
    pub(crate) cluster: String,
    /// How many nodes are ready.
    pub(crate) nodes: usize,
    /// The further nodes of this machine: their names and addresses.
    pub(crate) local: Vec<(String, String)>,
}

/// Follows the cluster until nothing is missing; keeps saying what is.
async fn follow(
    state: &StateDir,
    access: &Access,
    env: &Env,
    missing: &mut Vec<String>,
) -> Result<Ready, Failure> {
    let store = bootstrap(access, env).await?;
    let cluster = store.identity()?.cluster;
    let mut follow = store.follow([prefix::SESSIONS, prefix::NODE_STATUSES].map(Range::prefix).to_vec());
    let mut cut = Cut::new(cluster.clone());
    loop {
        // Who runs on this machine is said by files, whose news come by no watch.
        if let Ok(update) = timeout(LOOK_INTERVAL, follow.next()).await {
            cut.take(update?);
        }
        let seen = Seen { state, cut: &cut };
        *missing = seen.missing()?;
        if missing.is_empty() {
            return Ok(Ready { cluster, nodes: seen.ready_nodes(), local: seen.local_nodes()? });
        }
    }
}

struct Seen<'a> {
    state: &'a StateDir,
    cut: &'a Cut,
}

impl Seen<'_> {
    /// What is not there yet, in words.
    fn missing(&self) -> Result<Vec<String>, UpError> {
        let leading: BTreeSet<&str> =
            self.sessions().filter_map(|(key, session)| self.leader(key, session)).collect();
        let missing = CONTROLLERS.iter().filter(|name| !leading.contains(*name));
        let mut missing: Vec<String> =
            missing.map(|name| format!("the {name} controller has no leader")).collect();
        missing.extend(self.why_not_there(&self.state.home(), &host::name(), AGENT)?);
        for node in self.wanted() {
            let why = self.why_not_there(&node.home(), &node.name(), &node.agent())?;
            // Its agent lives before its Docker does, and images are to be copied there.
            let no_docker = || (!node.has_docker()).then(|| "its Docker does not answer".to_owned());
            let why = why.or_else(no_docker);
            missing.extend(why.map(|why| format!("{}: {why}", node.name())));
        }
        Ok(missing)
    }

    /// The further nodes of this machine that are to run.
    fn wanted(&self) -> impl Iterator<Item = LocalNode> {
        nodes::list(self.state).into_iter().filter(|node| !node.is_held() && !node.is_removed())
    }

    fn local_nodes(&self) -> Result<Vec<(String, String)>, UpError> {
        let Some(network) = Network::known(self.state)? else { return Ok(Vec::new()) };
        Ok(self.wanted().map(|node| (node.name(), network.address(&node))).collect())
    }

    fn sessions(&self) -> impl Iterator<Item = (&Key, &Session)> {
        self.cut.iter().filter_map(|(key, entry)| match &entry.value {
            Ok(Object::Session(session)) => Some((key, &**session)),
            _ => None,
        })
    }

    /// The controller that `key` names a living leader of.
    fn leader<'a>(&self, key: &'a Key, session: &Session) -> Option<&'a str> {
        let Key::Leader(name) = key else { return None };
        self.is_current(name.as_str(), &host::name(), session).then_some(name.as_str())
    }

    /// Whether the holder is another machine's, or the process `name`, which calls its machine `own`, as it runs now: a lease
    /// outlives a process that was killed, and must not be taken for the one that was started after it.
    fn is_current(&self, name: &str, own: &str, session: &Session) -> bool {
        let Some((host, pid)) = host::parse_holder(&session.holder) else { return true };
        let running = || self.state.run_file(name).ok().flatten().and_then(|run| run.process);
        host != own || running().is_some_and(|process| process.pid == pid)
    }

    /// Why the node that `home` says is not ready yet; its agent is the process `agent`, and calls its machine `host`.
    fn why_not_there(&self, home: &NodeHome, host: &str, agent: &str) -> Result<Option<String>, UpError> {
        let node = home.known()?;
        Ok(match node {
            Some(node) => self.why_not_ready(&node.id, host, agent),
            None => Some("the agent has not started".to_owned()),
        })
    }

    fn why_not_ready(&self, node: &NodeId, host: &str, agent: &str) -> Option<String> {
        let Some(Object::Session(session)) = self.cut.object(&Key::NodeSession(node.clone())) else {
            return Some("the agent has no session".to_owned());
        };
        let status = self.node(node);
        if self.is_current(agent, host, session)
            && status.is_some_and(|status| status.state == NodeState::Ready)
        {
            return None;
        }
        let why = status.and_then(|status| condition::find(&status.conditions, "Ready"));
        Some(why.map_or("the node is not ready".to_owned(), |why| {
            format!("the node is not ready ({})", why.message)
        }))
    }

    fn node(&self, node: &NodeId) -> Option<&NodeStatus> {
        match self.cut.object(&Key::NodeStatus(node.clone())) {
            Some(Object::NodeStatus(status)) => Some(status),
            _ => None,
        }
    }

    fn ready_nodes(&self) -> usize {
        let is_ready = |object: &Object| matches!(object, Object::NodeStatus(status) if status.state == NodeState::Ready);
        self.cut.iter().filter(|(_, entry)| entry.value.as_ref().is_ok_and(is_ready)).count()
    }
}
