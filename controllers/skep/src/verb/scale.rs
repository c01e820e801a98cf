//! `skep scale`: changes how many tasks services have.
//!
//! The number is nobody's afterwards: the document that was applied last is not touched. A file that names `replicas`
//! takes the number back when it is applied again, and says so; a file that does not name it leaves the number alone.

use std::str::FromStr;

use clap::Args;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::{Object, Service};
use skep_api::record::{ChangeAction, FieldChange, ObjectChange};
use skep_api::service::Mode;
use skep_api::time::Span;
use skep_store::{Put, Store, Txn};

use crate::apply::commit::{Report, Writer};
use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Goal};
use crate::verb::target::{StackArgs, no_services, service};

/// How often it is tried again because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;

/// Change how many tasks services have, and wait until they run
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// A service and the number of its tasks
    #[arg(value_name = "SERVICE=N", required = true)]
    sizes: Vec<Size>,
    #[command(flatten)]
    stack: StackArgs,
    /// Return as soon as it is written
    #[arg(long)]
    detach: bool,
    /// How long to wait until they run
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

#[derive(Debug, Clone)]
struct Size {
    service: String,
    replicas: u32,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, replicas) = text.split_once('=').ok_or("write SERVICE=N, such as web=5")?;
        // `service/web=5` is understood as well: it is how objects are named elsewhere.
        let service = service.strip_prefix("service/").or(service.strip_prefix("svc/")).unwrap_or(service);
        let replicas = replicas.parse().map_err(|_| format!("{replicas:?} is not a number of tasks"))?;
        Ok(Self { service: service.to_owned(), replicas })
    }
}

impl Scale {
    /// Scales them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let sizes: Vec<(ServiceRef, u32)> = self
            .sizes
            .iter()
            .map(|size| Ok((service(&self.stack.stack, &size.service)?, size.replicas)))
            .collect::<Result<_, Failure>>()?;
        let store = context.cluster.connect(&context.env).await?;
        let version = scale(&store, &sizes, &mut Writer::new(&store, &context.env)).await?;
        if self.detach {
            return Ok(());
        }
        let goals = sizes.into_iter().map(|(service, _)| Goal::new(service, version)).collect();
        progress::ready(&store, goals, self.timeout).await
    }
}

/// Writes the numbers, all in one transaction; returns the version from which on they hold.
async fn scale(store: &Store, sizes: &[(ServiceRef, u32)], writer: &mut Writer<'_>) -> Result<i64, Failure> {
    for _ in 0..TRIES_MAX {
        let keys = sizes.iter().map(|(service, _)| Key::Service(service.clone()));
        let snapshot = Snapshot::read(store, keys).await?;
        let is_missing = |service: &ServiceRef| snapshot.get(&Key::Service(service.clone())).is_none();
        let missing = sizes.iter().map(|(service, _)| service).filter(|service| is_missing(service));
        let missing: Vec<ServiceRef> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(no_services(store, &missing).await);
        }
        let Planned { txn, changes, lines } = plan(sizes, &snapshot)?;
        let written = if changes.is_empty() {
            let versions =
                sizes.iter().filter_map(|(service, _)| snapshot.get(&Key::Service(service.clone())));
            versions.map(|kv| kv.modified).min()
        } else {
            writer.commit(txn, changes, &mut Report::default()).await?
        };
        if let Some(version) = written {
            output::print(&output::lines(lines))?;
            return Ok(version);
        }
    }
    Err(Failure::Conflict(vec!["the services keep being changed by somebody else".to_owned()]))
}

/// What is written, what is noted, and what is said.
#[derive(Default)]
struct Planned {
    txn: Txn,
    changes: Vec<ObjectChange>,
    lines: Vec<String>,
}

fn plan(sizes: &[(ServiceRef, u32)], snapshot: &Snapshot) -> Result<Planned, Failure> {
    let mut planned = Planned::default();
    for (service, replicas) in sizes {
        let key = Key::Service(service.clone());
        let name = format!("Service/{service}");
        let mut scaled = read(&key, &name, snapshot)?;
        let old = std::mem::replace(&mut scaled.spec.replicas, *replicas);
        if old == *replicas {
            planned.lines.push(format!("{name}  unchanged"));
            continue;
        }
        let value = Object::from(scaled).encode(&key)?;
        Object::decode(&key, &value).map_err(|invalid| forbidden(&name, invalid.reason))?;
        planned.txn = planned.txn.guard(snapshot.guard(&key)).put(Put::new(key, value));
        let field = FieldChange {
            path: "spec.replicas".to_owned(),
            old: Some(old.into()),
            new: Some((*replicas).into()),
        };
        planned.lines.push(format!("{name}  changed  replicas {old} -> {replicas}"));
        planned.changes.push(ObjectChange {
            object: name,
            action: ChangeAction::Changed,
            fields: vec![field],
        });
    }
    Ok(planned)
}

fn read(key: &Key, name: &str, snapshot: &Snapshot) -> Result<Service, Failure> {
    match snapshot.object(key) {
        Some(Ok(Object::Service(service))) if service.spec.mode == Mode::Replicated => Ok((*service).clone()),
        Some(Ok(_)) => Err(forbidden(name, "only a replicated service has a number of tasks".to_owned())),
        Some(Err(invalid)) => Err(forbidden(name, invalid.reason)),
        None => Err(Failure::NotFound(vec![format!("no {name}")])),
    }
}

fn forbidden(name: &str, reason: String) -> Failure {
    Failure::Forbidden { object: name.to_owned(), reason }
}
