//! Waiting until nothing is left of services that were deleted: their tasks, rollouts, revisions.

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::object::Object;
use skep_api::time::Span;
use skep_store::{Range, Store};

use crate::cut::{Cut, Entry};
use crate::failure::{Failure, count};
use crate::progress::screen::{Line, Screen};
use crate::progress::{resume, until};

/// What is said of a service of which nothing is left.
const GONE: &str = "gone";

/// Waits until nothing is left of the objects `services`, for at most `limit`. Another service that was made under the
/// same name meanwhile is not waited for.
///
/// # Errors
/// [`Failure::Timeout`], [`Failure::Interrupted`].
pub(crate) async fn gone(
    store: &Store,
    services: Vec<(ServiceRef, Uid)>,
    limit: Span,
) -> Result<(), Failure> {
    let services = services.into_iter().map(|(service, uid)| (service, Some(uid)));
    wait(store, Remains { services: services.collect(), cut: Cut::new(store.identity()?.cluster) }, limit)
        .await
}

/// Waits until nothing of the names `services` is there, for at most `limit`: whatever has them.
///
/// # Errors
/// [`Failure::Timeout`], [`Failure::Interrupted`].
pub(crate) async fn deleted(store: &Store, services: Vec<ServiceRef>, limit: Span) -> Result<(), Failure> {
    let services = services.into_iter().map(|service| (service, None));
    wait(store, Remains { services: services.collect(), cut: Cut::new(store.identity()?.cluster) }, limit)
        .await
}

async fn wait(store: &Store, mut remains: Remains, limit: Span) -> Result<(), Failure> {
    if remains.services.is_empty() {
        return Ok(());
    }
    let resume = resume(remains.services.iter().map(|(service, _)| service), "deleted");
    let result = until(limit, &resume, remains.follow(store)).await;
    result.unwrap_or_else(|| {
        let words = remains.lines().into_iter().map(|(name, words)| format!("{name} {words}"));
        let details = words.collect::<Vec<_>>().join("; ");
        Err(Failure::Timeout { what: "not gone", details, limit })
    })
}

struct Remains {
    services: Vec<(ServiceRef, Option<Uid>)>,
    cut: Cut,
}

impl Remains {
    async fn follow(&mut self, store: &Store) -> Result<(), Failure> {
        let mut follow = store.follow(self.ranges());
        let mut screen = Screen::new();
        loop {
            self.cut.take(follow.next().await?);
            let lines = self.lines();
            let is_over = lines.iter().all(|(_, words)| words == GONE);
            screen.show(lines.into_iter().map(|(name, words)| Line { name, words, is_last: is_over }));
            if is_over {
                return Ok(());
            }
        }
    }

    fn ranges(&self) -> Vec<Range> {
        let names = self.services.iter().filter(|(_, uid)| uid.is_none());
        let specs = names.map(|(service, _)| Range::key(&Key::Service(service.clone())));
        let groups = [prefix::TASKS, prefix::ROLLOUTS, prefix::REVISIONS].map(Range::prefix);
        groups.into_iter().chain(specs).collect()
    }

    /// Each service, and what is left of it.
    fn lines(&self) -> Vec<(String, String)> {
        let line = |(service, uid): &(ServiceRef, Option<Uid>)| {
            let is_left = |key: &Key, entry: &Entry| match owner(key, entry) {
                Some((name, of)) => name == *service && (uid.is_none() || *uid == of),
                None => false,
            };
            let left = self.cut.iter().filter(|(key, entry)| is_left(key, entry)).map(|(key, _)| key);
            (service.docker_name(), words(left))
        };
        self.services.iter().map(line).collect()
    }
}

/// The service that a key belongs to; a spec is the service itself, whatever its uid.
fn owner(key: &Key, entry: &Entry) -> Option<(ServiceRef, Option<Uid>)> {
    match (key, &entry.value) {
        (Key::Service(service), _) => Some((service.clone(), None)),
        (Key::Task(_), Ok(Object::Task(task))) => Some((task.service.clone(), Some(task.uid.clone()))),
        (Key::Rollout(uid), Ok(Object::Rollout(rollout))) => {
            Some((rollout.service.clone(), Some(uid.clone())))
        }
        (Key::Revision(uid, _), Ok(Object::Revision(revision))) => {
            Some((revision.service.clone(), Some(uid.clone())))
        }
        _ => None,
    }
}

fn words<'a>(left: impl Iterator<Item = &'a Key>) -> String {
    let (tasks, rest): (Vec<&Key>, Vec<&Key>) = left.partition(|key| matches!(key, Key::Task(_)));
    if rest.iter().any(|key| matches!(key, Key::Service(_))) {
        return "is there".to_owned();
    }
    match (tasks.len(), rest.len()) {
        (0, 0) => GONE.to_owned(),
        (0, _) => "being deleted: its last records go".to_owned(),
        (tasks, _) => format!("being deleted: {} left", count(tasks, "task")),
    }
}
