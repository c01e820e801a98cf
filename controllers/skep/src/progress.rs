//! Waiting for what was asked for, and showing how far it is.

mod gone;
mod judge;
mod screen;

use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::time::Span;
use skep_store::{Range, Store};
use tokio::time::{Instant, timeout};

use crate::cut::Cut;
use crate::failure::Failure;
pub(crate) use crate::progress::gone::{deleted, gone};
use crate::progress::judge::{Seen, Verdict, judge};
use crate::progress::screen::{Line, Screen};

/// A service that is to run as one version of its spec says.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    service: ServiceRef,
    version: i64,
    ready_after_s: Option<u64>,
}

impl Goal {
    /// The service `service` is to run as the spec with this version says, or a later one.
    pub(crate) fn new(service: ServiceRef, version: i64) -> Self {
        Self { service, version, ready_after_s: None }
    }
}

/// Waits until every goal is reached, for at most `limit`. What happens is shown on standard error.
///
/// # Errors
/// [`Failure::Timeout`]; [`Failure::Unplaceable`] if then no node fits; [`Failure::RolloutFailed`] at once;
/// [`Failure::Conflict`] if a service is deleted meanwhile; [`Failure::Interrupted`] by Ctrl-C.
pub(crate) async fn ready(store: &Store, goals: Vec<Goal>, limit: Span) -> Result<(), Failure> {
    let resume = resume(goals.iter().map(|goal| &goal.service), "ready");
    let mut watch = Watch { began: Instant::now(), goals, cut: Cut::new(store.identity()?.cluster) };
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
    cut: Cut,
}

impl Watch {
    async fn follow(&mut self, store: &Store, screen: &mut Screen) -> Result<(), Failure> {
        let keys = self
            .goals
            .iter()
            .flat_map(|goal| [Key::Service(goal.service.clone()), Key::ServiceStatus(goal.service.clone())]);
        let mut follow = store.follow(keys.map(|key| Range::key(&key)).collect());
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
        let spec = self.cut.entry(&Key::Service(goal.service.clone())).map(|entry| entry.modified);
        let status = match self.cut.object(&Key::ServiceStatus(goal.service.clone())) {
            Some(Object::ServiceStatus(status)) => Some(&**status),
            _ => None,
        };
        Seen { spec, status }
    }

    /// Shows how far everything is; whether all of it is there.
    fn look(&mut self, screen: &mut Screen) -> Result<bool, Failure> {
        let verdicts: Vec<Verdict> =
            self.goals.iter().map(|goal| judge(goal.version, self.seen(goal))).collect();
        let now = self.began.elapsed().as_secs();
        let mut lines = Vec::new();
        for (goal, verdict) in self.goals.iter_mut().zip(&verdicts) {
            let name = goal.service.docker_name();
            let words = if verdict.is_ready() {
                format!("{verdict} in {}s", goal.ready_after_s.get_or_insert(now))
            } else {
                goal.ready_after_s = None;
                verdict.to_string()
            };
            lines.push(Line { name, words, is_last: !verdict.is_waiting() });
        }
        screen.show(lines.into_iter());
        let failure =
            self.goals.iter().zip(&verdicts).find_map(|(goal, verdict)| verdict.failure(&goal.service));
        failure.map_or(Ok(verdicts.iter().all(Verdict::is_ready)), Err)
    }

    /// What is missing when the time is over.
    fn overdue(&self, limit: Span) -> Failure {
        let verdicts = self.goals.iter().map(|goal| (goal, judge(goal.version, self.seen(goal))));
        let late: Vec<(&Goal, Verdict)> = verdicts.filter(|(_, verdict)| !verdict.is_ready()).collect();
        let words = late.iter().map(|(goal, verdict)| format!("{} {verdict}", goal.service.docker_name()));
        let words = words.collect::<Vec<_>>().join("; ");
        if late.iter().any(|(goal, _)| self.seen(goal).is_unplaceable()) {
            return Failure::Unplaceable(format!("no node fits after {limit}: {words}"));
        }
        Failure::Timeout { what: "not ready", details: words, limit }
    }
}
