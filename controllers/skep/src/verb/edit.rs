//! Edits of objects that are there: one transaction with one Change, guarded by what was read, tried again when somebody
//! else was faster.

use clap::Args;
use skep_api::key::Key;
use skep_api::manifest::Manifest;
use skep_api::object::Object;
use skep_api::record::{ChangeAction, ObjectChange};
use skep_api::time::Span;
use skep_store::{Put, Store, Txn};

use crate::apply::commit::{Applied, Report, Writer};
use crate::apply::plan::Planned;
use crate::apply::snapshot::Snapshot;
use crate::apply::{diff, object, show};
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Goal};
use crate::verb::target;

/// How often an edit is tried again because somebody else wrote at the same time.
const TRIES_MAX: usize = 5;

/// Why something is changed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MessageArgs {
    /// Why, for `skep rollout history` [default: the command line]
    #[arg(short, long, value_name = "MESSAGE")]
    pub(crate) message: Option<String>,
}

/// Whether, and for how long, to wait for what was asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// Return as soon as it is written
    #[arg(long)]
    pub(crate) detach: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) timeout: Span,
}

impl MessageArgs {
    /// Writes in the name of the person at the terminal, with these words.
    pub(crate) fn writer<'a>(&self, store: &'a Store, context: &'a Context) -> Writer<'a> {
        let writer = Writer::new(store, &context.env);
        match &self.message {
            Some(message) => writer.saying(message),
            None => writer,
        }
    }
}

impl WaitArgs {
    /// Prints what was written, and waits until the services in it run.
    pub(crate) async fn finish(&self, store: &Store, report: &Report) -> Result<(), Failure> {
        output::print(&show::report(report))?;
        if self.detach { Ok(()) } else { progress::ready(store, goals(report), self.timeout).await }
    }
}

/// The services of a report, as versions to wait for.
pub(crate) fn goals(report: &Report) -> Vec<Goal> {
    let goals = report.objects.iter().filter_map(|object| match &object.planned.object {
        Manifest::Service(service) => Some(Goal::new(service.reference(), object.version)),
        Manifest::Volume(_) | Manifest::Node { .. } | Manifest::Cluster(_) => None,
    });
    goals.collect()
}

/// Changes the objects at `keys`, all or none, and notes it. Nothing is written if nothing moves.
///
/// # Errors
/// [`Failure::NotFound`] with what might be meant, [`Failure::Forbidden`] for what an object may not be,
/// [`Failure::Conflict`] if others kept writing, and what `change` says.
pub(crate) async fn edit(
    store: &Store,
    writer: &mut Writer<'_>,
    keys: &[Key],
    change: impl Fn(&mut Manifest) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let mut report = Report::by(writer);
    for _ in 0..TRIES_MAX {
        let snapshot = Snapshot::read(store, keys.iter().cloned()).await?;
        let missing: Vec<&Key> = keys.iter().filter(|key| snapshot.get(key).is_none()).collect();
        if !missing.is_empty() {
            return Err(target::missing_keys(store, &missing).await);
        }
        let plans: Vec<Planned> =
            keys.iter().map(|key| plan(key, &snapshot, &change)).collect::<Result<_, _>>()?;
        let txn = plans.iter().fold(Txn::new(), |mut txn, planned| {
            txn.guards.extend(planned.guards.iter().cloned());
            txn.puts.extend(planned.puts.iter().cloned());
            txn
        });
        let changes: Vec<ObjectChange> = plans.iter().filter_map(changed).collect();
        let revision =
            if changes.is_empty() { Some(0) } else { writer.commit(txn, changes, &mut report).await? };
        let Some(revision) = revision else { continue };
        report.objects.extend(plans.into_iter().map(|planned| {
            let version = if planned.action.is_some() { revision } else { planned.version };
            Applied { planned, version }
        }));
        return Ok(report);
    }
    Err(Failure::Conflict(vec!["the objects keep being changed by somebody else".to_owned()]))
}

fn plan(
    key: &Key,
    snapshot: &Snapshot,
    change: &impl Fn(&mut Manifest) -> Result<(), Failure>,
) -> Result<Planned, Failure> {
    let live = read(key, snapshot)?;
    let mut new = live.clone();
    change(&mut new)?;
    let (before, after) = (object::document(&live)?, object::document(&new)?);
    let fields = diff::fields(&before, &after);
    let version = snapshot.get(key).map_or(0, |kv| kv.modified);
    let mut planned =
        Planned { action: None, fields, object: new, version, guards: Vec::new(), puts: Vec::new() };
    if planned.fields.is_empty() {
        return Ok(planned);
    }
    let forbidden = |reason| Failure::Forbidden { object: live.to_string(), reason };
    planned.object = object::typed(&live, after).map_err(|invalid| forbidden(invalid.reason))?;
    planned.action = Some(ChangeAction::Changed);
    planned.guards.push(snapshot.guard(key));
    planned.puts.push(Put::new(key.clone(), planned.object.object().encode(key)?));
    Ok(planned)
}

/// The object at `key`, which is there.
fn read(key: &Key, snapshot: &Snapshot) -> Result<Manifest, Failure> {
    let forbidden = |reason| Failure::Forbidden { object: key.to_string(), reason };
    match (key, snapshot.object(key)) {
        (_, Some(Ok(Object::Service(service)))) => Ok(Manifest::Service(Box::new((*service).clone()))),
        (_, Some(Ok(Object::Volume(volume)))) => Ok(Manifest::Volume((*volume).clone())),
        (Key::Node(id), Some(Ok(Object::Node(spec)))) => {
            Ok(Manifest::Node { id: id.clone(), spec: (*spec).clone() })
        }
        (_, Some(Ok(Object::Cluster(spec)))) => Ok(Manifest::Cluster((*spec).clone())),
        (_, Some(Err(invalid))) => Err(forbidden(format!("it does not decode: {invalid}"))),
        _ => Err(forbidden("it cannot be edited".to_owned())),
    }
}

fn changed(planned: &Planned) -> Option<ObjectChange> {
    let action = planned.action?;
    Some(ObjectChange { object: planned.object.to_string(), action, fields: planned.fields.clone() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use skep_store::fake::{Fault, Network};

    use super::*;
    use crate::testing::{Cluster, service_key};
    use crate::verb::set::set_replicas;

    fn three(object: &mut Manifest) -> Result<(), Failure> {
        set_replicas(object, 3)
    }

    #[tokio::test]
    async fn an_edit_of_several_objects_is_one_change_that_says_who_and_why() {
        let cluster = Cluster::new().await;
        let (web, _) = cluster.service("web", "task: {image: a}").await;
        let (db, _) = cluster.service("db", "task: {image: a}").await;
        let message = MessageArgs { message: Some("more of them".to_owned()) };
        let mut writer = message.writer(&cluster.store, &cluster.context);
        let report = edit(&cluster.store, &mut writer, &[web.clone(), db.clone()], three).await.unwrap();
        let [(revision, change)] = cluster.changes().await.try_into().unwrap();
        assert_eq!(change.message, "more of them");
        assert_eq!(change.actor, crate::host::person());
        let objects: Vec<&str> = change.objects.iter().map(|object| object.object.as_str()).collect();
        assert_eq!(objects, ["Service/default/web", "Service/default/db"]);
        assert_eq!(change.objects[0].fields[0].path, "spec.replicas");
        for (key, applied) in [web, db].iter().zip(&report.objects) {
            let modified = cluster.get(key).await.unwrap().modified;
            assert_eq!(
                (modified, applied.version),
                (revision, revision),
                "the change has the spec's version"
            );
        }
    }

    #[tokio::test]
    async fn an_edit_that_moves_nothing_writes_nothing() {
        let cluster = Cluster::new().await;
        let (web, _) = cluster.service("web", "task: {image: a}, replicas: 3").await;
        let before = cluster.etcd.revision();
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        let report = edit(&cluster.store, &mut writer, &[web], three).await.unwrap();
        assert_eq!((cluster.etcd.revision(), report.objects[0].version), (before, before));
        assert!(report.objects[0].planned.action.is_none());
    }

    #[tokio::test]
    async fn nothing_is_written_if_one_of_the_objects_is_not_there_or_may_not_be_so() {
        let cluster = Cluster::new().await;
        let (web, _) = cluster.service("web", "task: {image: a}").await;
        let (all, _) = cluster.service("all", "mode: global, task: {image: a}").await;
        let before = cluster.etcd.revision();
        let mut writer = MessageArgs::default().writer(&cluster.store, &cluster.context);
        let missing = [web.clone(), service_key("wbe")];
        let error = edit(&cluster.store, &mut writer, &missing, three).await.unwrap_err();
        assert!(
            matches!(&error, Failure::NotFound(lines) if lines[0].contains("did you mean `web`?")),
            "{error}"
        );
        let error = edit(&cluster.store, &mut writer, &[web.clone(), all], three).await.unwrap_err();
        assert!(matches!(error, Failure::Forbidden { .. }), "{error}");
        let absurd = |object: &mut Manifest| set_replicas(object, 1_000_000);
        let error = edit(&cluster.store, &mut writer, &[web], absurd).await.unwrap_err();
        assert!(
            matches!(&error, Failure::Forbidden { reason, .. } if reason.contains("10000") || reason.contains("10,000")),
            "{error}"
        );
        assert_eq!(cluster.etcd.revision(), before);
    }

    /// Somebody else writes right before the first transaction of this client arrives.
    struct Rival {
        other: Store,
        is_over: Arc<AtomicBool>,
    }

    impl Network for Rival {
        fn request(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
            if !method.ends_with("Txn") || self.is_over.swap(true, Ordering::Relaxed) {
                return std::future::ready(Ok(())).boxed();
            }
            let other = self.other.clone();
            async move {
                let key = service_key("web");
                let text =
                    "{apiVersion: skep/v1, kind: Service, metadata: {name: web}, spec: {task: {image: b}}}";
                other.commit(&Txn::new().put(Put::new(key, text))).await.unwrap();
                Ok(())
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn an_edit_that_meets_another_is_made_again_on_what_that_one_wrote() {
        let cluster = Cluster::new().await;
        let (web, _) = cluster.service("web", "task: {image: a}").await;
        let is_over = Arc::new(AtomicBool::new(true));
        let rival = Rival { other: cluster.store.clone(), is_over: Arc::clone(&is_over) };
        let store = cluster.over(Arc::new(rival)).await;
        is_over.store(false, Ordering::Relaxed);
        let mut writer = MessageArgs::default().writer(&store, &cluster.context);
        edit(&store, &mut writer, &[web], three).await.unwrap();
        let live = cluster.live("web").await;
        assert_eq!((live.spec.task.image.as_str(), live.spec.replicas), ("b", 3), "neither edit is lost");
        assert_eq!(cluster.changes().await.len(), 1);
    }
}
