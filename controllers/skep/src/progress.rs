//! Waiting for what was asked for, and showing how far it is.

mod drained;
mod gone;
mod judge;
mod moved;
mod nodes;
mod screen;
mod words;

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::object::Object;
use skep_api::rollout::Rollout;
use skep_api::time::Span;
use skep_store::{Range, Store};
use tokio::time::{Instant, timeout};

use crate::apply::snapshot::Snapshot;
use crate::cut::Cut;
use crate::failure::Failure;
pub(crate) use crate::progress::drained::drained;
pub(crate) use crate::progress::gone::{deleted, gone};
pub(crate) use crate::progress::judge::Aim;
use crate::progress::judge::{Seen, Since, Verdict, judge};
pub(crate) use crate::progress::moved::moved;
pub(crate) use crate::progress::nodes::nodes;
use crate::progress::screen::{Line, Screen};

/// A service, and what it is to come to.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    service: ServiceRef,
    since: Since,
    /// Any of them is enough.
    aims: Vec<Aim>,
}

impl Goal {
    /// The service `service` is to run as the spec with this version says, or a later one.
    pub(crate) fn new(service: ServiceRef, version: i64) -> Self {
        Self { service, since: Since { version, ..Since::default() }, aims: vec![Aim::Ready] }
    }

    /// The same, for any of `aims`.
    #[must_use]
    pub(crate) fn aiming(mut self, aims: Vec<Aim>) -> Self {
        self.aims = aims;
        self
    }

    /// The same, once the updater has obeyed the Control that was written at the revision `control`.
    #[must_use]
    pub(crate) fn after_control(mut self, control: i64) -> Self {
        self.since.control = control;
        self
    }

    /// The same; a failed update counts even if the spec was edited since.
    #[must_use]
    pub(crate) fn with_past(mut self) -> Self {
        self.since.has_past = true;
        self
    }
}

/// Waits until every goal is reached, for at most `limit`. What happens is shown on standard error.
///
/// # Errors
/// [`Failure::Timeout`]; [`Failure::Unplaceable`] if then no node fits; [`Failure::RolloutFailed`] at once;
/// [`Failure::Conflict`] if a service is deleted meanwhile; [`Failure::Interrupted`] by Ctrl-C.
pub(crate) async fn ready(store: &Store, goals: Vec<Goal>, limit: Span) -> Result<(), Failure> {
    if goals.is_empty() {
        return Ok(());
    }
    let resume = resume(goals.iter().map(|goal| &goal.service), "ready");
    let mut watch = Watch::new(store, goals).await?;
    let mut screen = Screen::new();
    let result = until(limit, &resume, watch.follow(store, &mut screen)).await;
    match result {
        Some(result) => result,
        None => Err(watch.overdue(limit)),
    }
}

/// How far every goal is now, in a line each.
///
/// # Errors
/// [`Failure::RolloutFailed`] if one of them will not be reached.
pub(crate) async fn glance(store: &Store, goals: Vec<Goal>) -> Result<Vec<String>, Failure> {
    let mut watch = Watch::new(store, goals).await?;
    watch.cut.take(skep_store::Update::Resync(store.list_all(&watch.ranges()).await?));
    let lines = watch.goals.iter().map(|goal| (goal, watch.verdict(goal)));
    let lines: Vec<(&Goal, Verdict)> = lines.collect();
    match lines.iter().find_map(|(goal, verdict)| verdict.failure(&goal.service)) {
        Some(failure) => Err(failure),
        None => Ok(lines
            .iter()
            .map(|(goal, verdict)| format!("{}  {verdict}", goal.service.docker_name()))
            .collect()),
    }
}

/// Runs `wait` for at most `limit`, or until Ctrl-C; `None`: the time is over.
pub(crate) async fn until(
    limit: Span,
    resume: &str,
    wait: impl Future<Output = Result<(), Failure>>,
) -> Option<Result<(), Failure>> {
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Some(Err(Failure::Interrupted { resume: resume.to_owned() })),
        result = tokio::time::timeout(limit.to_std(), wait) => result.ok(),
    }
}

/// The command that waits for the same again.
pub(crate) fn resume<'a>(services: impl Iterator<Item = &'a ServiceRef>, what: &str) -> String {
    let names: Vec<String> = services.map(|service| format!("service/{service}")).collect();
    format!("skep wait {} --for {what}", names.join(" "))
}

struct Watch {
    began: Instant,
    goals: Vec<Goal>,
    /// Which services are meant: those that have the names now.
    uids: BTreeMap<ServiceRef, Uid>,
    /// After how many seconds each service was ready.
    ready_after_s: BTreeMap<ServiceRef, u64>,
    cut: Cut,
}

impl Watch {
    async fn new(store: &Store, goals: Vec<Goal>) -> Result<Self, Failure> {
        let cluster = store.identity()?.cluster;
        let keys = goals.iter().map(|goal| Key::Service(goal.service.clone()));
        let snapshot = Snapshot::read(store, keys).await?;
        let uids = goals.iter().filter_map(|goal| {
            let key = Key::Service(goal.service.clone());
            let created = snapshot.get(&key)?.created;
            Some((goal.service.clone(), Uid::derive(&cluster, &key.to_string(), created)))
        });
        let uids = uids.collect();
        Ok(Self {
            began: Instant::now(),
            goals,
            uids,
            ready_after_s: BTreeMap::new(),
            cut: Cut::new(cluster),
        })
    }

    fn ranges(&self) -> Vec<Range> {
        let keys = self
            .goals
            .iter()
            .flat_map(|goal| [Key::Service(goal.service.clone()), Key::ServiceStatus(goal.service.clone())]);
        let rollouts = self.uids.values().map(|uid| Key::Rollout(uid.clone()));
        let revisions = self.uids.values().map(|uid| Range::prefix(prefix::revisions_of(uid)));
        let mut ranges: Vec<Range> =
            keys.chain(rollouts).map(|key| Range::key(&key)).chain(revisions).collect();
        ranges.sort();
        ranges.dedup();
        ranges
    }

    async fn follow(&mut self, store: &Store, screen: &mut Screen) -> Result<(), Failure> {
        let mut follow = store.follow(self.ranges());
        loop {
            if let Ok(update) = timeout(screen::INTERVAL, follow.next()).await {
                self.cut.take(update?);
            }
            if self.cut.revision() > 0 && self.look(screen)? {
                return Ok(());
            }
        }
    }

    fn seen(&self, goal: &Goal) -> Seen<'_> {
        let key = Key::Service(goal.service.clone());
        let uid = self.uids.get(&goal.service);
        let spec = self.cut.entry(&key).filter(|entry| uid == Some(&self.cut.uid(&key, entry)));
        let status = match self.cut.object(&Key::ServiceStatus(goal.service.clone())) {
            Some(Object::ServiceStatus(status)) => Some(&**status),
            _ => None,
        };
        let rollout = match uid.and_then(|uid| self.cut.object(&Key::Rollout(uid.clone()))) {
            Some(Object::Rollout(rollout)) => Some(&**rollout),
            _ => None,
        };
        let failed = rollout.and_then(|rollout| self.failed(uid?, rollout));
        Seen { spec: spec.map(|entry| entry.modified), status, rollout, failed }
    }

    /// The version of the spec that the revision was made of by which the update failed.
    fn failed(&self, uid: &Uid, rollout: &Rollout) -> Option<i64> {
        let number = rollout.failure.as_ref()?.revision;
        match self.cut.object(&Key::Revision(uid.clone(), number)) {
            Some(Object::Revision(revision)) => Some(revision.version),
            _ => None,
        }
    }

    fn verdict(&self, goal: &Goal) -> Verdict {
        let seen = self.seen(goal);
        let verdicts = goal.aims.iter().map(|aim| judge(aim, goal.since, seen));
        Verdict::any(verdicts).unwrap_or(Verdict::Deleted)
    }

    /// Shows how far everything is; whether all of it is there.
    fn look(&mut self, screen: &mut Screen) -> Result<bool, Failure> {
        let verdicts: Vec<(ServiceRef, Verdict)> =
            self.goals.iter().map(|goal| (goal.service.clone(), self.verdict(goal))).collect();
        let now = self.began.elapsed().as_secs();
        let mut lines = Vec::new();
        for (service, verdict) in &verdicts {
            let words = if verdict.is_ready() {
                format!("{verdict} in {}s", self.ready_after_s.entry(service.clone()).or_insert(now))
            } else {
                self.ready_after_s.remove(service);
                verdict.to_string()
            };
            lines.push(Line { name: service.docker_name(), words, is_last: !verdict.is_waiting() });
        }
        screen.show(lines.into_iter());
        let failure = verdicts.iter().find_map(|(service, verdict)| verdict.failure(service));
        failure.map_or(Ok(verdicts.iter().all(|(_, verdict)| verdict.is_ready())), Err)
    }

    /// What is missing when the time is over.
    fn overdue(&self, limit: Span) -> Failure {
        let verdicts = self.goals.iter().map(|goal| (goal, self.verdict(goal)));
        let late: Vec<(&Goal, Verdict)> = verdicts.filter(|(_, verdict)| !verdict.is_ready()).collect();
        let words = late.iter().map(|(goal, verdict)| format!("{} {verdict}", goal.service.docker_name()));
        let words = words.collect::<Vec<_>>().join("; ");
        let back = late.iter().find_map(|(goal, _)| Some((goal, self.seen(goal).rolling_back()?)));
        if let Some((goal, words)) = back {
            return Failure::RolloutFailed(format!("{} {words}", goal.service.docker_name()));
        }
        if late.iter().any(|(goal, _)| self.seen(goal).is_unplaceable()) {
            return Failure::Unplaceable(format!("no node fits after {limit}: {words}"));
        }
        Failure::Timeout { what: "not ready", details: words, limit }
    }
}
