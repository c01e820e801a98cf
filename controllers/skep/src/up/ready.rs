//! What `skep up` waits for: etcd answers, every controller has a leader, and a node is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_api::condition;
use skep_api::ident::NodeId;
use skep_api::key::{Key, prefix};
use skep_api::node::{NodeState, Session};
use skep_api::object::Object;
use skep_api::time::Span;
use skep_runtime::clock::Env;
use skep_store::{Event, KeyValue, Range, Store, Update};
use tokio::time::Instant;

use crate::cluster::Access;
use crate::failure::Failure;
use crate::host;
use crate::up::UpError;
use crate::up::state::StateDir;
use crate::up::supervisor::AGENT;
use crate::verb::controller::CONTROLLERS;

/// How often an etcd that does not answer yet is asked again.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

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
            Err(error) if error.is_retryable() => tokio::time::sleep(ASK_INTERVAL).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the cluster can run services and this machine's agent is part of it, for at most `limit`.
pub(crate) async fn wait(
    state: &StateDir,
    access: &Access,
    env: &Env,
    limit: Span,
) -> Result<Ready, Failure> {
    let deadline = Instant::now() + limit.to_std();
    let mut progress = Progress { state, has_store: false, values: BTreeMap::new() };
    match tokio::time::timeout_at(deadline, progress.follow(access, env)).await {
        Ok(result) => result,
        Err(_) => Err(UpError::NotReady { limit, missing: progress.missing().join(", ") }.into()),
    }
}

/// What is there when everything is.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The cluster's id.
    pub(crate) cluster: String,
    /// How many nodes are ready.
    pub(crate) nodes: usize,
}

struct Progress<'a> {
    state: &'a StateDir,
    has_store: bool,
    values: BTreeMap<Key, Object>,
}

impl Progress<'_> {
    async fn follow(&mut self, access: &Access, env: &Env) -> Result<Ready, Failure> {
        let store = bootstrap(access, env).await?;
        self.has_store = true;
        let ranges = [prefix::SESSIONS, prefix::NODE_STATUSES].map(Range::prefix);
        let mut follow = store.follow(ranges.to_vec());
        loop {
            match follow.next().await? {
                Update::Resync(listing) => {
                    self.values.clear();
                    listing.entries.into_iter().for_each(|kv| self.put(&kv));
                }
                Update::Changed(batch) => batch.events.into_iter().for_each(|event| match event {
                    Event::Put(kv) => self.put(&kv),
                    Event::Delete { key, .. } => {
                        drop(Key::parse(&key).and_then(|key| self.values.remove(&key)))
                    }
                }),
            }
            if self.missing().is_empty() {
                return Ok(Ready { cluster: store.identity()?.cluster, nodes: self.ready_nodes() });
            }
        }
    }

    fn put(&mut self, kv: &KeyValue) {
        if let Some(key) = Key::parse(&kv.key) {
            if let Ok(object) = Object::decode(&key, &kv.value) {
                self.values.insert(key, object);
            }
        }
    }

    /// What is not there yet, in words.
    fn missing(&self) -> Vec<String> {
        if !self.has_store {
            return vec!["etcd does not answer".to_owned()];
        }
        let leading: Vec<&str> =
            self.values.iter().filter_map(|(key, object)| self.leader(key, object)).collect();
        let mut missing: Vec<String> = CONTROLLERS
            .iter()
            .filter(|name| !leading.contains(name))
            .map(|name| format!("the {name} controller has no leader"))
            .collect();
        if self.ready_nodes() == 0 {
            missing.push(self.why_no_node());
        }
        missing
    }

    /// The controller that `key` names a living leader of.
    fn leader<'a>(&self, key: &'a Key, object: &Object) -> Option<&'a str> {
        match (key, object) {
            (Key::Leader(name), Object::Session(session)) => {
                self.is_current(name.as_str(), session).then_some(name.as_str())
            }
            _ => None,
        }
    }

    /// Whether the holder is another machine's, or a process that runs here now: a lease outlives a process that was
    /// killed, and must not be taken for the one that was started after it.
    fn is_current(&self, name: &str, session: &Session) -> bool {
        let Some((host, pid)) = host::parse_holder(&session.holder) else { return true };
        let running = || self.state.run_file(name).ok().flatten().and_then(|run| run.process);
        host != host::name() || running().is_some_and(|process| process.pid == pid)
    }

    fn ready_nodes(&self) -> usize {
        let is_ready = |node: &NodeId| {
            let status = self.values.get(&Key::NodeStatus(node.clone()));
            matches!(status, Some(Object::NodeStatus(status)) if status.state == NodeState::Ready)
        };
        let nodes = self.values.iter().filter_map(|(key, object)| match (key, object) {
            (Key::NodeSession(node), Object::Session(session)) => {
                self.is_current(AGENT, session).then_some(node)
            }
            _ => None,
        });
        nodes.filter(|node| is_ready(node)).count()
    }

    fn why_no_node(&self) -> String {
        let reasons = self.values.values().filter_map(|object| match object {
            Object::NodeStatus(status) => condition::find(&status.conditions, "Ready"),
            _ => None,
        });
        reasons
            .last()
            .map_or("no node is ready".to_owned(), |ready| format!("no node is ready ({})", ready.message))
    }
}
