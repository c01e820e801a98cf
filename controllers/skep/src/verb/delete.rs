//! `skep delete`: takes objects away, and waits until nothing of them is left.

use std::fmt;

use clap::Args;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_api::record::{ChangeAction, ObjectChange};
use skep_store::{Guard, Store, Txn};

use crate::apply::commit::{Report, Writer};
use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::progress;
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::files::OptionalFiles;
use crate::verb::target::{StackArgs, Target, no_services, node};
use crate::view::Kind;

/// How often a deletion is tried again because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;

/// Delete services and nodes, and wait until nothing of them is left
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// KIND/NAME, such as service/web
    #[arg(value_name = "KIND/NAME", required_unless_present = "files")]
    targets: Vec<Target>,
    #[command(flatten)]
    files: OptionalFiles,
    #[command(flatten)]
    stack: StackArgs,
    /// Delete a node although its agent lives: it stops and removes its containers, and does not come back by itself
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Something that can be deleted.
enum Doomed {
    Service(ServiceRef),
    Node {
        id: NodeId,
        /// Even if its agent lives.
        is_forced: bool,
    },
}

impl Delete {
    /// Deletes them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let described = self.described()?;
        let store = context.cluster.connect(&context.env).await?;
        let named = self.named(&store).await?;
        let cluster = store.identity()?.cluster;
        let mut writer = self.message.writer(&store, context);
        let mut services = Vec::new();
        for object in named.into_iter().chain(described) {
            let created = delete(&store, &object, &mut writer).await?;
            let word = if created.is_some() { "deleted" } else { "was not there" };
            output::print(&format!("{object}  {word}\n"))?;
            if let (Doomed::Node { is_forced: true, .. }, Some(_)) = (&object, created) {
                say("its agent stops and removes its containers; their tasks are replaced on other nodes");
            }
            if let (Doomed::Service(service), Some(created)) = (&object, created) {
                services.push((service.clone(), Uid::derive(&cluster, &object.key().to_string(), created)));
            }
        }
        if self.wait.detach {
            return Ok(());
        }
        progress::gone(&store, services, self.wait.timeout).await
    }

    /// What is named on the command line. Nothing is deleted if one of the names is wrong.
    async fn named(&self, store: &Store) -> Result<Vec<Doomed>, Failure> {
        let (nodes, services): (Vec<&Target>, Vec<&Target>) =
            self.targets.iter().partition(|target| target.kind == Kind::Nodes);
        let services: Vec<ServiceRef> =
            services.into_iter().map(|target| target.service(&self.stack)).collect::<Result<_, _>>()?;
        let keys = services.iter().map(|service| Key::Service(service.clone()));
        let snapshot = Snapshot::read(store, keys).await?;
        let is_missing = |service: &&ServiceRef| snapshot.get(&Key::Service((*service).clone())).is_none();
        let missing: Vec<ServiceRef> = services.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            return Err(no_services(store, &missing).await);
        }
        let mut named: Vec<Doomed> = services.into_iter().map(Doomed::Service).collect();
        for target in nodes {
            named.push(Doomed::Node { id: node(store, &target.name).await?, is_forced: self.force });
        }
        Ok(named)
    }

    /// What the files describe. It may be gone already; and a machine is not a file's to delete.
    fn described(&self) -> Result<Vec<Doomed>, Failure> {
        let documents = self.files.read()?.into_iter().filter_map(|document| match document.value {
            Manifest::Service(service) => Some(Doomed::Service(service.reference())),
            Manifest::Volume(_) => None,
            Manifest::Node { id, .. } => {
                say(&format!("Node/{id} is a machine: name it, to delete it"));
                None
            }
        });
        Ok(documents.collect())
    }
}

/// Deletes one object with all that belongs to it, and notes it; returns where it had been created, if it was there.
async fn delete(store: &Store, object: &Doomed, writer: &mut Writer<'_>) -> Result<Option<i64>, Failure> {
    for _ in 0..TRIES_MAX {
        let snapshot = Snapshot::read(store, [vec![object.key()], object.belongings()].concat()).await?;
        let Some(found) = snapshot.get(&object.key()) else { return Ok(None) };
        let txn = object.plan(&snapshot)?;
        let change =
            ObjectChange { object: object.to_string(), action: ChangeAction::Deleted, fields: Vec::new() };
        if writer.commit(txn, vec![change], &mut Report::default()).await?.is_some() {
            return Ok(Some(found.created));
        }
    }
    Err(Failure::Conflict(vec![format!("{object} keeps being changed by somebody else")]))
}

impl Doomed {
    fn key(&self) -> Key {
        match self {
            Self::Service(service) => Key::Service(service.clone()),
            Self::Node { id, .. } => Key::Node(id.clone()),
        }
    }

    /// What must be read beside the object itself.
    fn belongings(&self) -> Vec<Key> {
        match self {
            Self::Service(service) => vec![Key::ServiceOwners(service.clone()), Key::name_claim(service)],
            Self::Node { id, .. } => vec![Key::NodeOwners(id.clone()), Key::NodeSession(id.clone())],
        }
    }

    fn plan(&self, snapshot: &Snapshot) -> Result<Txn, Failure> {
        let (owners, other) = match self {
            Self::Service(service) => {
                let claim = Key::name_claim(service);
                let is_own = snapshot.get(&claim).is_some_and(|kv| is_claim_of(service, &kv.value));
                (Key::ServiceOwners(service.clone()), is_own.then_some(claim))
            }
            Self::Node { id, is_forced } => {
                if !is_forced && snapshot.get(&Key::NodeSession(id.clone())).is_some() {
                    let reason = "its agent lives, and would stop and remove its containers: drain it and stop the agent first, \
                                  or delete it with --force";
                    return Err(Failure::Conflict(vec![format!("{self}: {reason}")]));
                }
                (Key::NodeOwners(id.clone()), None)
            }
        };
        let owners = snapshot.get(&owners).map(|_| owners);
        let mut txn = Txn::new();
        for key in [Some(self.key()), owners, other].into_iter().flatten() {
            txn = txn.guard(snapshot.guard(&key)).delete(key);
        }
        Ok(match self {
            Self::Node { id, is_forced: false } => txn.guard(Guard::absent(Key::NodeSession(id.clone()))),
            Self::Service(_) | Self::Node { .. } => txn,
        })
    }
}

impl fmt::Display for Doomed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "Service/{service}"),
            Self::Node { id, .. } => write!(f, "Node/{id}"),
        }
    }
}

fn is_claim_of(service: &ServiceRef, value: &[u8]) -> bool {
    value.trim_ascii() == service.to_string().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    /// Swarm 6.3: `node rm` refuses a node that is not down, unless it is forced.
    #[tokio::test]
    async fn a_node_whose_agent_lives_is_deleted_only_by_force() {
        let cluster = Cluster::new().await;
        let id: NodeId = "aaaaaaaaaaaa".parse().unwrap();
        let key = Key::Node(id.clone());
        cluster
            .put(&key, "{apiVersion: skep/v1, kind: Node, metadata: {name: aaaaaaaaaaaa}, spec: {name: n1}}")
            .await;
        let session = "{holder: 'n1:1', since: '2026-01-31T12:00:00Z'}";
        cluster.put(&Key::NodeSession(id.clone()), session).await;
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        let gently = Doomed::Node { id: id.clone(), is_forced: false };
        let error = delete(&cluster.store, &gently, &mut writer).await.unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        let forced = Doomed::Node { id, is_forced: true };
        assert!(delete(&cluster.store, &forced, &mut writer).await.unwrap().is_some());
        assert!(cluster.get(&key).await.is_none());
        assert_eq!(cluster.changes().await[0].1.objects[0].object, "Node/aaaaaaaaaaaa");
    }
}
