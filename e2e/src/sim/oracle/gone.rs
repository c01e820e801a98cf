//! Invariant 29, at rest: with a service goes everything that was made for it.

use std::collections::BTreeSet;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::task::DesiredState;

use super::invariant::{DELETES_CASCADE, OWNED, Violation};
use super::rest::Rest;
use super::view::{Seen, View};

/// Nothing is left of services that are gone, except for tasks on machines that nobody hears of, and what explains those.
/// `known` are the services that are there.
pub(super) fn check(rest: &Rest<'_>, known: &BTreeSet<Uid>, tasks: &[Seen]) -> Result<(), Violation> {
    let view = rest.view;
    let orphans: Vec<&Seen> = tasks.iter().filter(|task| !known.contains(&task.task.uid)).collect();
    for task in &orphans {
        OWNED.check(task.task.desired == DesiredState::Remove, || {
            format!("{} is wanted {:?}, but its service is gone", task.key, task.task.desired)
        })?;
        DELETES_CASCADE.check(rest.is_lost(&task.key.place), || format!("{} is left", task.key))?;
    }
    let is_explained = |uid: &Uid| known.contains(uid) || orphans.iter().any(|task| task.task.uid == *uid);
    let left = rollout(view, &is_explained)
        .or_else(|| revision(view, &is_explained))
        .or_else(|| control(view, known))
        .or_else(|| named(view))
        .or_else(|| container(rest, known));
    DELETES_CASCADE.check(left.is_none(), || format!("{} is left", left.unwrap_or_default()))
}

fn rollout(view: &View, is_explained: &impl Fn(&Uid) -> bool) -> Option<String> {
    let (uid, _) = view.rollouts.iter().find(|(uid, _)| !is_explained(uid))?;
    Some(format!("the rollout of {uid}"))
}

/// Revisions with their pins, valid or not.
#[allow(clippy::wildcard_enum_match_arm)] // No other key is looked at.
fn revision(view: &View, is_explained: &impl Fn(&Uid) -> bool) -> Option<String> {
    let is_left = |key: &&Key| match key {
        Key::Pin(uid, number) => !view.revisions.has(&(uid.clone(), *number)),
        _ => false,
    };
    let revision = view.revisions.iter().find(|((uid, _), _)| !is_explained(uid));
    let revision = revision.map(|((uid, number), _)| format!("revision {number} of {uid}"));
    revision.or_else(|| Some(view.others.iter().find(is_left)?.to_string()))
}

fn control(view: &View, known: &BTreeSet<Uid>) -> Option<String> {
    let (service, _) = view.controls.iter().find(|(_, control)| !known.contains(&control.uid))?;
    Some(format!("the word of people on {service}"))
}

/// What is kept by the name of a service, or of a task.
#[allow(clippy::wildcard_enum_match_arm)] // The same.
fn named(view: &View) -> Option<String> {
    let has = |service: &ServiceRef| view.services.has(service);
    let status = view.service_statuses.iter().map(|(service, _)| service).find(|service| !has(service));
    if let Some(service) = status {
        return Some(format!("the status of {service}"));
    }
    let eviction = view.evictions.iter().map(|(task, _)| task).find(|task| view.task_at(task).is_none());
    if let Some(task) = eviction {
        return Some(format!("the eviction of {task}"));
    }
    let is_claimed = |name: &str| {
        let mut services =
            view.services.iter().map(|(service, _)| service).chain(view.services.invalid_keys());
        services.any(|service| service.docker_name() == name)
    };
    let is_left = |key: &&Key| match key {
        Key::ServiceOwners(service) => !has(service),
        Key::ServiceNameClaim(name) => !is_claimed(name),
        _ => false,
    };
    Some(view.others.iter().find(is_left)?.to_string())
}

fn container(rest: &Rest<'_>, known: &BTreeSet<Uid>) -> Option<String> {
    let is_known = |service: &str| known.iter().any(|uid| uid.to_string() == service);
    let mut found = rest.machines.values().flatten();
    let left = found.find(|held| !is_known(&held.service))?;
    Some(format!("the container of {}", left.task))
}
