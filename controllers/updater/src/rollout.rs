//! How a rollout begins: the spec becomes the next revision, and the first slots may take it.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::Uid;
use skep_api::key::ServiceRef;
use skep_api::object::Service;
use skep_api::rollout::{Batch, Revision, Rollout, RolloutState};
use skep_api::service::PublishMode;
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Guard, Plan};
use skep_runtime::table::Versioned;

use crate::change::Change;
use crate::progress;
use crate::world::World;

/// What is planned, and when.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a ServiceRef,
    pub(crate) uid: &'a Uid,
    pub(crate) service: &'a Versioned<Service>,
    /// The spec as it is.
    pub(crate) spec: Guard,
    pub(crate) at: Moment,
}

impl Scope<'_> {
    /// The next step of the rollout `old`.
    pub(crate) fn advance(&self, old: &Versioned<Rollout>, rollout: Rollout) -> Change {
        let (uid, spec) = (self.uid.clone(), self.spec.clone());
        Change::Advance { uid, spec, previous: old.modified(), rollout: rollout.into() }
    }

    /// What of the spec is baked into containers, and where they may run. A change of placement alone replaces tasks as
    /// any other does: whether their nodes would still do is not looked at yet.
    fn snapshot(&self) -> Revision {
        let spec = &self.service.spec;
        let host_ports = spec.ports.iter().filter(|port| port.mode == PublishMode::Host).cloned().collect();
        Revision {
            version: 0,
            volumes: BTreeMap::new(),
            labels: skep_api::template::named_labels(&spec.task, &self.service.metadata.labels),
            service: self.name.clone(),
            task: spec.task.clone(),
            host_ports,
            placement: spec.placement.clone(),
        }
    }
}

/// Looks at a spec that was written since. What a revision holds is compared with the latest one, whether slots move
/// to it or were taken back from it: only a difference makes another.
pub(crate) fn observe(world: &World, scope: &Scope<'_>, old: &Versioned<Rollout>, plan: &mut Plan<Change>) {
    let latest = world.numbers(scope.uid).next_back();
    let key = latest.map(|number| (scope.uid.clone(), number));
    if key.as_ref().is_some_and(|key| world.revisions.invalid(key).is_some()) {
        return;
    }
    let latest = key.and_then(|key| world.revisions.get(&key));
    if latest.is_some_and(|latest| *latest.value == scope.snapshot()) {
        let observed_version = scope.service.stamp.modified;
        plan.write(scope.advance(old, Rollout { observed_version, ..(*old.value).clone() }));
    } else {
        begin(world, scope, Some(old), plan);
    }
}

/// Writes the spec as the next revision, and a rollout to it that takes the place of `old`. A service's first tasks all
/// take it at once; later, slots follow as the update policy says.
pub(crate) fn begin(
    world: &World,
    scope: &Scope<'_>,
    old: Option<&Versioned<Rollout>>,
    plan: &mut Plan<Change>,
) {
    let latest = world.numbers(scope.uid).next_back().max(old.map(|old| old.target));
    let target = latest.unwrap_or_default().saturating_add(1);
    let slots = progress::slots(world, scope, target);
    let spec = &scope.service.spec;
    let batch = match old {
        None => Batch::All,
        Some(_) => progress::next_batch(&slots, spec.update.parallelism),
    };
    let rollout = Rollout {
        batch_number: 1,
        failure: None,
        holds_new: false,
        obeyed: 0,
        service: scope.name.clone(),
        observed_version: scope.service.stamp.modified,
        stable: old.and_then(|old| old.stable),
        target,
        since: scope.at.cut,
        batch,
        waiting: None,
        total: old.map_or(spec.replicas, |_| u32::try_from(slots.len()).unwrap_or(u32::MAX)),
        failed: BTreeSet::new(),
        state: RolloutState::Updating,
        message: String::new(),
    };
    plan.note(
        format!("Service/{}", scope.name),
        "RolloutBegun",
        format!("revision {target} was made; slots move to it"),
    );
    plan.write(Change::Begin {
        uid: scope.uid.clone(),
        spec: scope.spec.clone(),
        previous: old.map_or(Expect::Absent, Versioned::modified),
        rollout: rollout.into(),
        revision: scope.snapshot().into(),
    });
}
