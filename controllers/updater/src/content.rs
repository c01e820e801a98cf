//! What a service's containers are made of: the content of its next revision, and whether it differs from the last one.

use std::sync::Arc;

use skep_api::container::{MountType, TaskTemplate};
use skep_api::ident::Name;
use skep_api::key::{Key, ServiceRef};
use skep_api::rollout::{Revision, Rollout};
use skep_runtime::plan::Guard;

use crate::scope::{Scope, expect};
use crate::world::World;

/// What a look at the spec and at what it names comes to.
#[derive(Debug)]
pub(crate) enum Look {
    /// The same as in the latest revision: no task need be replaced.
    Same,
    /// Something else: this is the next revision.
    Changed(Wanted),
    /// Nobody can tell, because a Volume that it mounts does not decode.
    BadVolume,
    /// Nobody can tell, because the latest revision does not decode.
    BadRevision,
}

/// The content of a revision that is not made yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) revision: Arc<Revision>,
    /// The volumes as they are.
    pub(crate) volumes: Vec<Guard>,
}

/// Compares what the service wants with the latest revision, whether slots move to that or were taken back from it: what
/// has been rolled back is not tried again until something differs.
pub(crate) fn look(world: &World, scope: &Scope<'_>, rollout: &Rollout) -> Look {
    let is_observed = rollout.observed_version == scope.service.stamp.modified;
    let latest = world.numbers(scope.uid).next_back().map(|number| (scope.uid.clone(), number));
    if latest.as_ref().is_some_and(|key| world.revisions.invalid(key).is_some()) {
        return if is_observed { Look::Same } else { Look::BadRevision };
    }
    let latest = latest.and_then(|key| world.revisions.get(&key));
    let has_volumes = || mounted(&scope.service.spec.task).next().is_some();
    if is_observed && (latest.is_none() || !has_volumes()) {
        return Look::Same;
    }
    let Some(wanted) = wanted(world, scope) else { return Look::BadVolume };
    if latest.is_some_and(|latest| latest.makes_same_containers(&wanted.revision)) {
        Look::Same
    } else {
        Look::Changed(wanted)
    }
}

/// What the service wants now; nothing if a Volume that it mounts does not decode.
pub(crate) fn wanted(world: &World, scope: &Scope<'_>) -> Option<Wanted> {
    let service = scope.service;
    let mut revision = Revision::of(scope.name, &service.spec).with_labels(&service.metadata.labels);
    revision.version = service.stamp.modified;
    let mut volumes = Vec::new();
    for name in mounted(&service.spec.task) {
        let volume = ServiceRef::new(scope.name.stack.clone(), name.clone());
        if world.volumes.invalid(&volume).is_some() {
            return None;
        }
        if let Some(found) = world.volumes.get(&volume) {
            revision.volumes.insert(name, found.spec.clone());
        }
        let expect = expect(world.volumes.stamp(&volume));
        volumes.push(Guard { key: Key::Volume(volume), expect });
    }
    Some(Wanted { revision: revision.into(), volumes })
}

/// The volumes that tasks mount by name, whether there is a Volume of that name or not. What a template will name is
/// known only on the node, so that no Volume stands behind it.
pub(crate) fn mounted(task: &TaskTemplate) -> impl Iterator<Item = Name> {
    let volumes = task.mounts.iter().filter(|mount| mount.kind == MountType::Volume);
    let mut names: Vec<Name> = volumes.filter_map(|mount| mount.source.as_ref()?.parse().ok()).collect();
    names.sort();
    names.dedup();
    names.into_iter()
}
