//! `skep rollout`: how updates of services went, and people's word on them.

mod control;
mod history;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::manifest::Manifest;
use skep_api::object::Object;
use skep_api::rollout::{Control, Revision, Rollout};
use skep_api::service::Mode;
use skep_store::{Guard, Range, Store, Update};

use crate::apply::snapshot::Snapshot;
use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Goal};
use crate::verb::edit::{MessageArgs, WaitArgs, edit};
use crate::verb::rollout::control::{Obey, Word};
use crate::verb::rollout::history::{Diff, History};
use crate::verb::rollout::undo::Undo;
use crate::verb::set::{named, spec_of};
use crate::verb::target::{StackArgs, no_services};

/// See how updates went, hold them, go back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep rollout status web           waits until the update is over; exit code 6 if it failed
  skep rollout history web          who changed what, when and why
  skep rollout diff web 3 5         what differs between two revisions
  skep rollout undo web --to 3      makes the containers what they were")]
pub(crate) struct RolloutVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show how an update goes, and wait until it is over
    Status(Status),
    History(History),
    Diff(Diff),
    Undo(Undo),
    /// Hold updates of a service: no further task is replaced until they are resumed
    Pause(Obey),
    /// Let an update go on that people or a failure have paused; its failures so far are forgiven
    Resume(Obey),
    /// Give an update up and go back to what ran before
    Abort(Obey),
    /// Replace every task by a new one of the same, as an update does
    Restart(Restart),
}

/// How an update goes.
#[derive(Debug, Args)]
struct Status {
    /// Which services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A rolling restart.
#[derive(Debug, Args)]
struct Restart {
    /// Which services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl RolloutVerb {
    /// Does it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        match &self.what {
            What::Status(verb) => verb.run(&store).await,
            What::History(verb) => verb.run(&store, context).await,
            What::Diff(verb) => verb.run(&store).await,
            What::Undo(verb) => verb.run(&store, context).await,
            What::Pause(verb) => verb.run(&store, context, Word::Pause).await,
            What::Resume(verb) => verb.run(&store, context, Word::Resume).await,
            What::Abort(verb) => verb.run(&store, context, Word::Abort).await,
            What::Restart(verb) => verb.run(&store, context).await,
        }
    }
}

impl Status {
    async fn run(&self, store: &Store) -> Result<(), Failure> {
        let services: Vec<ServiceRef> =
            self.services.iter().map(|name| named(&self.stack, name)).collect::<Result<_, _>>()?;
        let goals = goals(store, &services).await?;
        if self.wait.detach {
            output::print(&output::lines(progress::glance(store, goals).await?))?;
            return Ok(());
        }
        progress::ready(store, goals, self.wait.timeout).await
    }
}

/// The services as they are wanted now; a failure of the past counts.
pub(crate) async fn goals(store: &Store, services: &[ServiceRef]) -> Result<Vec<Goal>, Failure> {
    let keys = services.iter().map(|service| Key::Service(service.clone()));
    let snapshot = Snapshot::read(store, keys).await?;
    let version = |service: &ServiceRef| snapshot.get(&Key::Service(service.clone())).map(|kv| kv.modified);
    let missing: Vec<ServiceRef> =
        services.iter().filter(|service| version(service).is_none()).cloned().collect();
    if !missing.is_empty() {
        return Err(no_services(store, &missing).await);
    }
    let goal = |service: &ServiceRef| Some(Goal::new(service.clone(), version(service)?).with_past());
    Ok(services.iter().filter_map(goal).collect())
}

impl Restart {
    async fn run(&self, store: &Store, context: &Context) -> Result<(), Failure> {
        let keys = self.services.iter().map(|name| Ok(Key::Service(named(&self.stack, name)?)));
        let keys: Vec<Key> = keys.collect::<Result<_, Failure>>()?;
        let mut writer = self.message.writer(store, context);
        // Swarm 12.11: a restart is a difference of the template like any other.
        let change = |object: &mut Manifest| {
            if let Some(spec) = spec_of(object) {
                spec.task.force_update += 1;
            }
            Ok(())
        };
        let report = edit(store, &mut writer, &keys, change).await?;
        self.wait.finish(store, &report).await
    }
}

/// All that is known of the updates of one service, at one revision.
pub(super) struct Known {
    /// The service.
    pub(super) service: ServiceRef,
    /// Which one.
    pub(super) uid: Uid,
    /// Where its spec was created.
    pub(super) created: i64,
    /// Where its spec was written last.
    pub(super) version: i64,
    /// Whether it runs to an end.
    pub(super) is_job: bool,
    /// The state of its update.
    pub(super) rollout: Option<Arc<Rollout>>,
    /// By number.
    pub(super) revisions: BTreeMap<u64, Arc<Revision>>,
    /// The digests that revisions are pinned to.
    pub(super) digests: BTreeMap<u64, String>,
    /// People's word so far, and what guards it.
    pub(super) control: (Option<Arc<Control>>, Guard),
    /// Everything that was read.
    pub(super) cut: Cut,
}

impl Known {
    /// Reads it, and the keys of `more`.
    ///
    /// # Errors
    /// [`Failure::NotFound`] with what might be meant.
    pub(super) async fn read(store: &Store, service: &ServiceRef, more: &[Range]) -> Result<Self, Failure> {
        let cluster = store.identity()?.cluster;
        let key = Key::Service(service.clone());
        let snapshot = Snapshot::read(store, [key.clone()]).await?;
        let Some(found) = snapshot.get(&key) else {
            return Err(no_services(store, std::slice::from_ref(service)).await);
        };
        let uid = Uid::derive(&cluster, &key.to_string(), found.created);
        let keys = [key.clone(), Key::Rollout(uid.clone()), Key::Control(service.clone())];
        let revisions = Range::prefix(prefix::revisions_of(&uid));
        let ranges: Vec<Range> =
            keys.iter().map(Range::key).chain([revisions]).chain(more.iter().cloned()).collect();
        let mut cut = Cut::new(cluster);
        cut.take(Update::Resync(store.list_all(&ranges).await?));
        let known = Self::of(service, uid, cut);
        known.ok_or_else(|| Failure::Conflict(vec![format!("Service/{service} was deleted meanwhile")]))
    }

    fn of(service: &ServiceRef, uid: Uid, cut: Cut) -> Option<Self> {
        let key = Key::Service(service.clone());
        let entry = cut.entry(&key).filter(|entry| cut.uid(&key, entry) == uid)?;
        let (created, version) = (entry.created, entry.modified);
        let is_job = matches!(&entry.value, Ok(Object::Service(service))
            if matches!(service.spec.mode, Mode::ReplicatedJob | Mode::GlobalJob));
        let rollout = match cut.object(&Key::Rollout(uid.clone())) {
            Some(Object::Rollout(rollout)) => Some(Arc::clone(rollout)),
            _ => None,
        };
        let (mut revisions, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for (key, entry) in cut.iter() {
            match (key, &entry.value) {
                (Key::Revision(_, number), Ok(Object::Revision(revision))) => {
                    revisions.insert(*number, Arc::clone(revision));
                }
                (Key::Pin(_, number), Ok(Object::Pin(pin))) => {
                    digests.insert(*number, pin.digest.clone());
                }
                _ => {}
            }
        }
        let key = Key::Control(service.clone());
        let guard = match cut.entry(&key) {
            Some(entry) => Guard::modified(key.clone(), entry.modified),
            None => Guard::absent(key.clone()),
        };
        let word = match cut.object(&key) {
            Some(Object::Control(control)) if control.uid == uid => Some(Arc::clone(control)),
            _ => None,
        };
        let control = (word, guard);
        let service = service.clone();
        Some(Self { service, uid, created, version, is_job, rollout, revisions, digests, control, cut })
    }

    /// The revision `number`.
    ///
    /// # Errors
    /// [`Failure::NotFound`] with the numbers that there are.
    pub(super) fn revision(&self, number: u64) -> Result<&Arc<Revision>, Failure> {
        self.revisions.get(&number).ok_or_else(|| {
            let numbers: Vec<String> = self.revisions.keys().map(u64::to_string).collect();
            let there = if numbers.is_empty() {
                "it has none yet".to_owned()
            } else {
                format!("there are {}", numbers.join(", "))
            };
            Failure::NotFound(vec![format!("no revision {number} of Service/{}; {there}", self.service)])
        })
    }

    /// The revision before the one that the spec says: the stable one if the spec was never reached, else the newest
    /// before it.
    pub(super) fn previous(&self) -> Option<u64> {
        let latest = *self.revisions.keys().next_back()?;
        let stable = self.rollout.as_ref().and_then(|rollout| rollout.stable);
        stable
            .filter(|stable| *stable != latest && self.revisions.contains_key(stable))
            .or_else(|| self.revisions.keys().rev().nth(1).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    /// Swarm 12.11: `forceUpdate` lies in the template, so a restart is one more revision, and nothing else moves.
    #[tokio::test]
    async fn a_restart_is_a_difference_of_the_template_like_any_other() {
        let cluster = Cluster::new().await;
        cluster.service("web", "task: {image: a}, replicas: 3").await;
        let before = cluster.live("web").await;
        let verb = Restart {
            services: vec!["service/web".to_owned()],
            stack: StackArgs { stack: "default".to_owned() },
            message: MessageArgs::default(),
            wait: WaitArgs { detach: true, timeout: skep_api::time::Span::from_secs(1) },
        };
        for times in 1..=2 {
            verb.run(&cluster.store, &cluster.context).await.unwrap();
            let mut expected = before.spec.clone();
            expected.task.force_update = times;
            assert_eq!(cluster.live("web").await.spec, expected);
        }
    }
}
