//! `skep delete`: takes objects away, and waits until nothing of them is left.

use clap::Args;
use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::manifest::Manifest;
use skep_api::record::{ChangeAction, ObjectChange};
use skep_api::time::Span;
use skep_store::{Guard, Store, Txn};

use crate::apply::commit::{Report, Writer};
use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::progress;
use crate::verb::files::OptionalFiles;
use crate::verb::target::{StackArgs, Target};
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
    /// Return as soon as it is written
    #[arg(long)]
    detach: bool,
    /// How long to wait until nothing is left
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

/// Something to delete.
struct Doomed {
    key: Key,
    name: String,
    /// Whether it must be there: what a file describes may be gone already.
    must_exist: bool,
}

impl Delete {
    /// Deletes them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let doomed = self.doomed()?;
        let store = context.cluster.connect(&context.env).await?;
        check_all(&store, &doomed).await?;
        let cluster = store.identity()?.cluster;
        let mut writer = Writer::new(&store, &context.env);
        let mut report = Report::default();
        let mut services = Vec::new();
        for object in &doomed {
            let Some(created) = delete(&store, object, &mut writer, &mut report).await? else {
                output::print(&format!("{}  was not there\n", object.name))?;
                continue;
            };
            output::print(&format!("{}  deleted\n", object.name))?;
            if let Key::Service(service) = &object.key {
                services.push((service.clone(), Uid::derive(&cluster, &object.key.to_string(), created)));
            }
        }
        if self.detach {
            return Ok(());
        }
        progress::gone(&store, services, self.timeout).await
    }

    fn doomed(&self) -> Result<Vec<Doomed>, Failure> {
        let mut doomed = Vec::new();
        for target in &self.targets {
            let manifest_key = match target.kind {
                Kind::Nodes => Key::Node(target.node()?),
                _ => Key::Service(target.service(&self.stack)?),
            };
            doomed.push(Doomed { name: name(&manifest_key), key: manifest_key, must_exist: true });
        }
        for document in self.files.read()? {
            match document.value {
                Manifest::Service(service) => {
                    let key = Key::Service(service.reference());
                    doomed.push(Doomed { name: name(&key), key, must_exist: false });
                }
                Manifest::Node { id, .. } => say(&format!("Node/{id} is a machine, and stays")),
            }
        }
        Ok(doomed)
    }
}

fn name(key: &Key) -> String {
    match key {
        Key::Service(service) => format!("Service/{service}"),
        Key::Node(node) => format!("Node/{node}"),
        other => other.to_string(),
    }
}

/// Nothing is deleted if one of the names is wrong.
async fn check_all(store: &Store, doomed: &[Doomed]) -> Result<(), Failure> {
    let keys = doomed.iter().map(|object| object.key.clone());
    let snapshot = Snapshot::read(store, keys).await?;
    let missing = doomed.iter().filter(|object| object.must_exist && snapshot.get(&object.key).is_none());
    let missing: Vec<String> = missing.map(|object| format!("no {}", object.name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::NotFound(missing)) }
}

/// Deletes one object with its owners' documents and its claim, and notes it; returns where it had been created.
async fn delete(
    store: &Store,
    object: &Doomed,
    writer: &mut Writer<'_>,
    report: &mut Report,
) -> Result<Option<i64>, Failure> {
    for _ in 0..TRIES_MAX {
        let snapshot = Snapshot::read(store, keys(&object.key)).await?;
        let Some(found) = snapshot.get(&object.key) else { return Ok(None) };
        let txn = plan(&object.key, &snapshot)?;
        let change =
            ObjectChange { object: object.name.clone(), action: ChangeAction::Deleted, fields: Vec::new() };
        if writer.commit(txn, vec![change], report).await?.is_some() {
            return Ok(Some(found.created));
        }
    }
    Err(Failure::Conflict(vec![format!("{} keeps being changed by somebody else", object.name)]))
}

fn keys(key: &Key) -> Vec<Key> {
    let mut keys = vec![key.clone()];
    match key {
        Key::Service(service) => keys.extend([Key::ServiceOwners(service.clone()), Key::name_claim(service)]),
        Key::Node(node) => keys.push(Key::NodeSession(node.clone())),
        _ => {}
    }
    keys
}

fn plan(key: &Key, snapshot: &Snapshot) -> Result<Txn, Failure> {
    let mut txn = Txn::new().guard(snapshot.guard(key)).delete(key.clone());
    match key {
        Key::Service(service) => {
            let claim = Key::name_claim(service);
            for key in [Key::ServiceOwners(service.clone()), claim.clone()] {
                if snapshot.get(&key).is_some() && (key != claim || is_own_claim(snapshot, &claim, service)) {
                    txn = txn.guard(snapshot.guard(&key)).delete(key);
                }
            }
        }
        Key::Node(node) => {
            let session = Key::NodeSession(node.clone());
            if snapshot.get(&session).is_some() {
                let reason =
                    "its agent lives: stop it first, or it would have to kill its containers".to_owned();
                return Err(Failure::Conflict(vec![format!("Node/{node}: {reason}")]));
            }
            txn = txn.guard(Guard::absent(session));
        }
        _ => {}
    }
    Ok(txn)
}

fn is_own_claim(snapshot: &Snapshot, claim: &Key, service: &ServiceRef) -> bool {
    snapshot.get(claim).is_some_and(|kv| kv.value.trim_ascii() == service.to_string().as_bytes())
}
