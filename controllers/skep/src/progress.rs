//! Waiting for what was asked for, and showing how far it is.

mod gone;
mod judge;
mod screen;

use std::collections::BTreeMap;

use skep_api::condition;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::service::ServiceStatus;
use skep_api::time::Span;
use skep_store::{Event, KeyValue, Range, Store, Update};
use tokio::time::Instant;

use crate::failure::Failure;
pub(crate) use crate::progress::gone::{deleted, gone};
use crate::progress::judge::{Seen, Verdict, judge};
use crate::progress::screen::Screen;

/// A service that is to run as one version of its spec says.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    service: ServiceRef,
    version: i64,
}

impl Goal {
    /// The service `service` is to run as the spec with this version says, or a later one.
    pub(crate) fn new(service: ServiceRef, version: i64) -> Self {
        Self { service, version }
    }
}

/// Waits until every goal is reached, for at most `limit`. What happens is shown on standard error.
///
/// # Errors
/// [`Failure::Timeout`]; [`Failure::Unplaceable`] if then no node fits; [`Failure::RolloutFailed`] at once;
/// [`Failure::Conflict`] if a service is deleted meanwhile; [`Failure::Interrupted`] by Ctrl-C.
pub(crate) async fn ready(store: &Store, goals: Vec<Goal>, limit: Span) -> Result<(), Failure> {
    let resume = resume(goals.iter().map(|goal| &goal.service), "ready");
    let mut watch = Watch { began: Instant::now(), goals, statuses: BTreeMap::new(), specs: BTreeMap::new() };
    let mut screen = Screen::new();
    if watch.goals.is_empty() {
        return Ok(());
    }
    let result = until(limit, &resume, watch.follow(store, &mut screen)).await;
    match result {
        Some(result) => result,
        None => Err(watch.overdue(limit)),
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
    statuses: BTreeMap<ServiceRef, ServiceStatus>,
    /// The versions of the specs.
    specs: BTreeMap<ServiceRef, i64>,
}

impl Watch {
    async fn follow(&mut self, store: &Store, screen: &mut Screen) -> Result<(), Failure> {
        let mut follow = store.follow(self.ranges());
        loop {
            match follow.next().await? {
                Update::Resync(listing) => {
                    self.statuses.clear();
                    self.specs.clear();
                    listing.entries.iter().for_each(|kv| self.put(kv));
                }
                Update::Changed(batch) => batch.events.iter().for_each(|event| match event {
                    Event::Put(kv) => self.put(kv),
                    Event::Delete { key, .. } => self.delete(key),
                }),
            }
            if self.look(screen)? {
                return Ok(());
            }
        }
    }

    fn ranges(&self) -> Vec<Range> {
        let keys = self
            .goals
            .iter()
            .flat_map(|goal| [Key::Service(goal.service.clone()), Key::ServiceStatus(goal.service.clone())]);
        keys.map(|key| Range::key(&key)).collect()
    }

    fn put(&mut self, kv: &KeyValue) {
        let Some(key) = Key::parse(&kv.key) else { return };
        if let Key::Service(service) = key {
            self.specs.insert(service, kv.modified);
        } else if let (Key::ServiceStatus(service), Ok(Object::ServiceStatus(status))) =
            (&key, Object::decode(&key, &kv.value))
        {
            self.statuses.insert(service.clone(), (*status).clone());
        }
    }

    fn delete(&mut self, key: &str) {
        match Key::parse(key) {
            Some(Key::Service(service)) => drop(self.specs.remove(&service)),
            Some(Key::ServiceStatus(service)) => drop(self.statuses.remove(&service)),
            _ => {}
        }
    }

    fn seen(&self, goal: &Goal) -> Seen<'_> {
        Seen { spec: self.specs.get(&goal.service).copied(), status: self.statuses.get(&goal.service) }
    }

    /// Shows how far everything is; whether all of it is there.
    fn look(&self, screen: &mut Screen) -> Result<bool, Failure> {
        let seconds = self.began.elapsed().as_secs();
        let verdicts: Vec<(&Goal, Verdict)> =
            self.goals.iter().map(|goal| (goal, judge(goal.version, self.seen(goal)))).collect();
        screen.show(
            verdicts.iter().map(|(goal, verdict)| (goal.service.docker_name(), verdict.words(seconds))),
        );
        for (goal, verdict) in &verdicts {
            if let Some(failure) = verdict.failure(&goal.service) {
                return Err(failure);
            }
        }
        Ok(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::Ready(_))))
    }

    /// What is missing when the time is over.
    fn overdue(&self, limit: Span) -> Failure {
        let late = self.goals.iter().filter_map(|goal| match judge(goal.version, self.seen(goal)) {
            Verdict::Ready(_) => None,
            verdict => Some((goal, verdict)),
        });
        let late: Vec<(&Goal, Verdict)> = late.collect();
        let words: Vec<String> = late
            .iter()
            .map(|(goal, verdict)| format!("{} {}", goal.service.docker_name(), verdict))
            .collect();
        let is_unplaceable = |goal: &Goal| {
            let status = self.statuses.get(&goal.service);
            let placed = status.and_then(|status| condition::find(&status.conditions, "Placed"));
            placed.is_some_and(|placed| placed.status == condition::Truth::False)
        };
        if late.iter().any(|(goal, _)| is_unplaceable(goal)) {
            return Failure::Unplaceable(format!("no node fits after {limit}: {}", words.join("; ")));
        }
        Failure::Timeout { what: format!("not ready: {}", words.join("; ")), limit }
    }
}
