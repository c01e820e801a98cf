//! Waiting until nothing is left of services that were deleted: their tasks, rollouts, revisions.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, prefix};
use skep_api::object::Object;
use skep_api::time::Span;
use skep_store::{Event, KeyValue, Range, Store, Update};

use crate::failure::{Failure, count};
use crate::progress::screen::Screen;
use crate::progress::{resume, until};

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
    wait(store, Remains { services: services.collect(), keys: BTreeMap::new() }, limit).await
}

/// Waits until nothing of the names `services` is there, for at most `limit`: whatever has them.
///
/// # Errors
/// [`Failure::Timeout`], [`Failure::Interrupted`].
pub(crate) async fn deleted(store: &Store, services: Vec<ServiceRef>, limit: Span) -> Result<(), Failure> {
    let services = services.into_iter().map(|service| (service, None));
    wait(store, Remains { services: services.collect(), keys: BTreeMap::new() }, limit).await
}

async fn wait(store: &Store, mut remains: Remains, limit: Span) -> Result<(), Failure> {
    if remains.services.is_empty() {
        return Ok(());
    }
    let resume = resume(remains.services.iter().map(|(service, _)| service), "deleted");
    match until(limit, &resume, remains.follow(store)).await {
        Some(result) => result,
        None => {
            let words = remains.lines().into_iter().map(|(name, words)| format!("{name} {words}"));
            let words: Vec<String> = words.collect();
            Err(Failure::Timeout { what: format!("not gone: {}", words.join("; ")), limit })
        }
    }
}

struct Remains {
    services: Vec<(ServiceRef, Option<Uid>)>,
    /// What is left, with the place of its service among the services.
    keys: BTreeMap<Key, usize>,
}

impl Remains {
    async fn follow(&mut self, store: &Store) -> Result<(), Failure> {
        let mut follow = store.follow(self.ranges());
        let mut screen = Screen::new();
        loop {
            match follow.next().await? {
                Update::Resync(listing) => {
                    self.keys.clear();
                    listing.entries.iter().for_each(|kv| self.put(kv));
                }
                Update::Changed(batch) => batch.events.iter().for_each(|event| match event {
                    Event::Put(kv) => self.put(kv),
                    Event::Delete { key, .. } => {
                        Key::parse(key).and_then(|key| self.keys.remove(&key));
                    }
                }),
            }
            screen.show(self.lines().into_iter());
            if self.keys.is_empty() {
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

    fn put(&mut self, kv: &KeyValue) {
        let Some(key) = Key::parse(&kv.key) else { return };
        if let Some(index) = self.owner(&key, &kv.value) {
            self.keys.insert(key, index);
        }
    }

    /// The place of the service that a key belongs to, if it is one of those waited for.
    fn owner(&self, key: &Key, value: &[u8]) -> Option<usize> {
        let (service, uid) = match (key, Object::decode(key, value).ok()?) {
            (Key::Service(service), _) => (service.clone(), None),
            (Key::Task(_), Object::Task(task)) => (task.service.clone(), Some(task.uid.clone())),
            (Key::Rollout(uid), Object::Rollout(rollout)) => (rollout.service.clone(), Some(uid.clone())),
            (Key::Revision(uid, _), Object::Revision(revision)) => {
                (revision.service.clone(), Some(uid.clone()))
            }
            _ => return None,
        };
        self.services
            .iter()
            .position(|(name, wanted)| *name == service && (wanted.is_none() || *wanted == uid))
    }

    /// Each service, and what is left of it.
    fn lines(&self) -> Vec<(String, String)> {
        let line = |(index, (service, _)): (usize, &(ServiceRef, Option<Uid>))| {
            let left = self.keys.iter().filter(|(_, of)| **of == index).map(|(key, _)| key);
            (service.docker_name(), words(left))
        };
        self.services.iter().enumerate().map(line).collect()
    }
}

fn words<'a>(left: impl Iterator<Item = &'a Key>) -> String {
    let (tasks, rest): (Vec<&Key>, Vec<&Key>) = left.partition(|key| matches!(key, Key::Task(_)));
    if rest.iter().any(|key| matches!(key, Key::Service(_))) {
        return "is there".to_owned();
    }
    match (tasks.len(), rest.len()) {
        (0, 0) => "gone".to_owned(),
        (0, _) => "being deleted: its last records go".to_owned(),
        (tasks, _) => format!("being deleted: {} left", count(tasks, "task")),
    }
}
