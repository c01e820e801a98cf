//! `skep delete`: takes objects away, and waits until nothing of them is left.

use std::fmt;

use clap::Args;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::manifest::Manifest;
use skep_api::object::{Object, Service, Typed};
use skep_api::record::{ChangeAction, ObjectChange};
use skep_store::{Guard, Range, Store, Txn};

use crate::apply::claim::Claim;
use crate::apply::commit::{Report, Writer};
use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::progress;
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::files::OptionalFiles;
use crate::verb::target::{StackArgs, Target, node, nothing_of};
use crate::view::Kind;
use crate::view::volume::mounts;

/// How often a deletion is tried again because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;

/// Why the cluster's settings are not deleted, and what to do instead.
const CLUSTER_STAYS: &str =
    "its settings are changed, not deleted; apply one with `spec: {}` to have every default again";

/// Delete services, volumes and nodes, and wait until nothing of them is left
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
    Volume(ServiceRef),
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
            if let (Doomed::Volume(volume), Some(_)) = (&object, created) {
                let name = volume.docker_name();
                say(&format!(
                    "what is in it stays on the nodes: on each, `docker volume rm {name}` removes it"
                ));
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
        if self.targets.iter().any(|target| target.kind == Kind::Cluster) {
            return Err(Failure::Forbidden {
                object: "Cluster".to_owned(),
                reason: CLUSTER_STAYS.to_owned(),
            });
        }
        let of = |kind: Kind| self.targets.iter().filter(move |target| target.kind == kind);
        let is_other = |target: &&Target| !matches!(target.kind, Kind::Nodes | Kind::Volumes);
        let services: Vec<ServiceRef> = self
            .targets
            .iter()
            .filter(is_other)
            .map(|target| target.service(&self.stack))
            .collect::<Result<_, _>>()?;
        let volumes: Vec<ServiceRef> =
            of(Kind::Volumes).map(|target| target.reference(&self.stack)).collect::<Result<_, _>>()?;
        all_there(store, Kind::Services, &services, Key::Service).await?;
        all_there(store, Kind::Volumes, &volumes, Key::Volume).await?;
        let volumes = volumes.into_iter().map(Doomed::Volume);
        let mut named: Vec<Doomed> = services.into_iter().map(Doomed::Service).chain(volumes).collect();
        for target in of(Kind::Nodes) {
            named.push(Doomed::Node { id: node(store, &target.name).await?, is_forced: self.force });
        }
        Ok(named)
    }

    /// What the files describe, volumes last because services mount them. It may be gone already; and a machine is not a
    /// file's to delete.
    fn described(&self) -> Result<Vec<Doomed>, Failure> {
        let documents = self.files.read()?.into_iter().filter_map(|document| match document.value {
            Manifest::Service(service) => Some(Doomed::Service(service.reference())),
            Manifest::Volume(volume) => Some(Doomed::Volume(volume.reference())),
            Manifest::Node { id, .. } => {
                say(&format!("Node/{id} is a machine: name it, to delete it"));
                None
            }
            Manifest::Cluster(_) => {
                say(&format!("the Cluster stays: {CLUSTER_STAYS}"));
                None
            }
        });
        let (volumes, others): (Vec<Doomed>, Vec<Doomed>) =
            documents.partition(|object| matches!(object, Doomed::Volume(_)));
        Ok(others.into_iter().chain(volumes).collect())
    }
}

/// That all of `objects` are there.
async fn all_there(
    store: &Store,
    kind: Kind,
    objects: &[ServiceRef],
    key: fn(ServiceRef) -> Key,
) -> Result<(), Failure> {
    let snapshot = Snapshot::read(store, objects.iter().cloned().map(key)).await?;
    let missing: Vec<ServiceRef> =
        objects.iter().filter(|object| snapshot.get(&key((*object).clone())).is_none()).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(nothing_of(store, kind, &missing).await) }
}

/// That no service of its stack mounts `volume`. One that comes to do so in this instant finds no Volume, which is allowed:
/// it then gets one of Docker's own.
async fn is_unused(store: &Store, volume: &ServiceRef) -> Result<(), Failure> {
    let prefix = format!("{}{}/", prefix::SERVICES, volume.stack);
    let listing = store.list_all(&[Range::prefix(prefix)]).await?;
    let users = listing.entries.iter().filter_map(|kv| {
        let object = Object::decode(&Key::parse(&kv.key)?, &kv.value).ok()?;
        let service = Service::from_object(&object).filter(|service| mounts(service, volume))?;
        Some(format!("Volume/{volume}: Service/{} mounts it: delete that first", service.reference()))
    });
    let users: Vec<String> = users.collect();
    if users.is_empty() { Ok(()) } else { Err(Failure::Conflict(users)) }
}

/// Deletes one object with all that belongs to it, and notes it; returns where it had been created, if it was there.
async fn delete(store: &Store, object: &Doomed, writer: &mut Writer<'_>) -> Result<Option<i64>, Failure> {
    for _ in 0..TRIES_MAX {
        if let Doomed::Volume(volume) = object {
            is_unused(store, volume).await?;
        }
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
            Self::Volume(volume) => Key::Volume(volume.clone()),
            Self::Node { id, .. } => Key::Node(id.clone()),
        }
    }

    /// The name that it has in Docker, if its kind has one.
    fn claim(&self) -> Option<Claim> {
        match self {
            Self::Service(service) => Some(Claim::of_service(service.clone())),
            Self::Volume(volume) => Some(Claim::of_volume(volume.clone())),
            Self::Node { .. } => None,
        }
    }

    /// What must be read beside the object itself.
    fn belongings(&self) -> Vec<Key> {
        let claim = self.claim().map(|claim| claim.key());
        match self {
            Self::Service(service) => {
                [Key::ServiceOwners(service.clone())].into_iter().chain(claim).collect()
            }
            Self::Volume(volume) => [Key::VolumeOwners(volume.clone())].into_iter().chain(claim).collect(),
            Self::Node { id, .. } => vec![Key::NodeOwners(id.clone()), Key::NodeSession(id.clone())],
        }
    }

    fn plan(&self, snapshot: &Snapshot) -> Result<Txn, Failure> {
        let owners = match self {
            Self::Service(service) => Key::ServiceOwners(service.clone()),
            Self::Volume(volume) => Key::VolumeOwners(volume.clone()),
            Self::Node { id, is_forced } => {
                if !is_forced && snapshot.get(&Key::NodeSession(id.clone())).is_some() {
                    let reason = "its agent lives, and would stop and remove its containers: drain it and stop the agent first, \
                                  or delete it with --force";
                    return Err(Failure::Conflict(vec![format!("{self}: {reason}")]));
                }
                Key::NodeOwners(id.clone())
            }
        };
        let other = self.claim().filter(|claim| claim.is_held(snapshot)).map(|claim| claim.key());
        let owners = snapshot.get(&owners).map(|_| owners);
        let mut txn = Txn::new();
        for key in [Some(self.key()), owners, other].into_iter().flatten() {
            txn = txn.guard(snapshot.guard(&key)).delete(key);
        }
        Ok(match self {
            Self::Node { id, is_forced: false } => txn.guard(Guard::absent(Key::NodeSession(id.clone()))),
            Self::Service(_) | Self::Volume(_) | Self::Node { .. } => txn,
        })
    }
}

impl fmt::Display for Doomed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "Service/{service}"),
            Self::Volume(volume) => write!(f, "Volume/{volume}"),
            Self::Node { id, .. } => write!(f, "Node/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::testing::Cluster;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        delete: Delete,
    }

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

    #[tokio::test]
    async fn the_settings_of_the_cluster_are_not_deleted_and_nothing_else_is() {
        let cluster = Cluster::new().await;
        let (web, _) = cluster.service("web", "task: {image: x}").await;
        let line = Line::try_parse_from(["skep", "service/web", "cluster"]).unwrap();
        let error = line.delete.named(&cluster.store).await.err().unwrap();
        assert!(
            matches!(&error, Failure::Forbidden { reason, .. } if reason.contains("spec: {}")),
            "{error}"
        );
        assert!(cluster.get(&web).await.is_some());
    }

    #[tokio::test]
    async fn a_volume_is_deleted_with_its_name_unless_a_service_of_its_stack_mounts_it() {
        let cluster = Cluster::new().await;
        let reference = |name: &str| ServiceRef::new("shop".parse().unwrap(), name.parse().unwrap());
        let (volume, db) = (reference("data"), Key::Service(reference("db")));
        let claim = Claim::of_volume(volume.clone()).key();
        let text = "{apiVersion: skep/v1, kind: Volume, metadata: {name: data, stack: shop}, spec: {}}";
        cluster.put(&Key::Volume(volume.clone()), text).await;
        cluster.put(&claim, "shop/data").await;
        let service = "{apiVersion: skep/v1, kind: Service, metadata: {name: db, stack: shop}, \
            spec: {task: {image: x, mounts: [{source: data, target: /d}]}}}";
        cluster.put(&db, service).await;
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        let doomed = Doomed::Volume(volume.clone());
        let error = delete(&cluster.store, &doomed, &mut writer).await.unwrap_err();
        assert!(error.to_string().contains("Service/shop/db mounts it"), "{error}");
        cluster.put(&db, service.replace("source: data", "source: other")).await;
        assert!(delete(&cluster.store, &doomed, &mut writer).await.unwrap().is_some());
        assert!(cluster.get(&Key::Volume(volume)).await.is_none() && cluster.get(&claim).await.is_none());
        assert_eq!(cluster.changes().await[0].1.objects[0].object, "Volume/shop/data");
        assert!(delete(&cluster.store, &doomed, &mut writer).await.unwrap().is_none(), "it was not there");
    }
}
