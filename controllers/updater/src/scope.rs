//! What every decision about one service needs to know of it.

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Service;
use skep_api::rollout::{Control, Rollout, RolloutState};
use skep_api::service::{Mode, UpdatePolicy};
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Guard};
use skep_runtime::table::{Stamp, Versioned};

use crate::change::Change;
use crate::world::World;

/// A service whose spec decodes, with people's word on its rollout.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a ServiceRef,
    pub(crate) uid: &'a Uid,
    pub(crate) service: &'a Versioned<Service>,
    /// People's word; nothing if they have said none, or if it does not decode.
    pub(crate) control: Option<&'a Versioned<Control>>,
    /// The spec and people's word as they are: what every step of a rollout stands on.
    because: Vec<Guard>,
    pub(crate) at: Moment,
}

impl<'a> Scope<'a> {
    /// The service named `name`, if it is there and decodes.
    pub(crate) fn of(world: &'a World, name: &'a ServiceRef, at: Moment) -> Option<Self> {
        let (uid, service) = (world.services.uid(name)?, world.services.get(name)?);
        let spec = Guard { key: Key::Service(name.clone()), expect: service.modified() };
        let control = Guard { key: Key::Control(name.clone()), expect: expect(world.controls.stamp(name)) };
        let control_of_it = world.controls.get(name).filter(|control| control.uid == *uid);
        Some(Self { name, uid, service, control: control_of_it, because: vec![spec, control], at })
    }

    /// The spec and people's word as they are.
    pub(crate) fn because(&self) -> Vec<Guard> {
        self.because.clone()
    }

    /// The next step of the rollout `old`.
    pub(crate) fn advance(&self, old: &Versioned<Rollout>, rollout: Rollout) -> Change {
        let (uid, because) = (self.uid.clone(), self.because());
        Change::Advance { uid, because, previous: old.modified(), rollout: rollout.into() }
    }

    /// What is called by this name in events.
    pub(crate) fn regarding(&self) -> String {
        format!("Service/{}", self.name)
    }

    /// Whether its tasks run to their end: a changed job runs again, all of it, and has nothing to move slot by slot.
    pub(crate) fn is_job(&self) -> bool {
        matches!(self.service.spec.mode, Mode::ReplicatedJob | Mode::GlobalJob)
    }

    /// How many slots it shall have, if its spec says so; replica knows for the others.
    pub(crate) fn replicas(&self) -> Option<u32> {
        let spec = &self.service.spec;
        (spec.mode == Mode::Replicated).then_some(spec.replicas)
    }

    /// The policy that is in force in `state`.
    pub(crate) fn policy(&self, state: RolloutState) -> &'a UpdatePolicy {
        let spec = &self.service.value.spec;
        match state {
            RolloutState::Updating | RolloutState::Paused | RolloutState::Completed => &spec.update,
            RolloutState::RollbackStarted
            | RolloutState::RollbackPaused
            | RolloutState::RollbackCompleted => &spec.rollback,
        }
    }
}

/// Expects a key as it is: there, or not.
pub(crate) fn expect(stamp: Option<Stamp>) -> Expect {
    stamp.map_or(Expect::Absent, |stamp| Expect::Modified(stamp.modified))
}
