//! What every step in a slot needs to know of its service.

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Service;
use skep_api::rollout::{Rollout, RolloutState};
use skep_api::service::{Mode, Order, ServiceSpec, UpdatePolicy};
use skep_api::task::DesiredState;
use skep_runtime::controller::Moment;
use skep_runtime::plan::Guard;
use skep_runtime::table::Versioned;
use skep_runtime::tasks::Tasks;

/// A service that can be served, with what it is planned by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a ServiceRef,
    pub(crate) uid: &'a Uid,
    pub(crate) service: &'a Versioned<Service>,
    pub(crate) rollout: &'a Versioned<Rollout>,
    pub(crate) tasks: &'a Tasks,
    /// The services on which its first start stood.
    pub(crate) dependencies: &'a [Guard],
    pub(crate) at: Moment,
}

impl Scope<'_> {
    pub(crate) fn spec(&self) -> &ServiceSpec {
        &self.service.spec
    }

    /// How tasks are replaced now: on the way back, by other settings than on the way there.
    pub(crate) fn policy(&self) -> &UpdatePolicy {
        match self.rollout.state {
            RolloutState::RollbackStarted
            | RolloutState::RollbackPaused
            | RolloutState::RollbackCompleted => &self.spec().rollback,
            RolloutState::Updating | RolloutState::Paused | RolloutState::Completed => &self.spec().update,
        }
    }

    pub(crate) fn is_start_first(&self) -> bool {
        self.policy().order == Order::StartFirst
    }

    pub(crate) fn is_global(&self) -> bool {
        matches!(self.spec().mode, Mode::Global | Mode::GlobalJob)
    }

    pub(crate) fn is_job(&self) -> bool {
        is_job(self.spec())
    }

    /// What is wanted of a task that may start.
    pub(crate) fn goal(&self) -> DesiredState {
        if self.is_job() { DesiredState::Complete } else { DesiredState::Running }
    }

    /// The spec as it is.
    pub(crate) fn spec_unchanged(&self) -> Guard {
        spec_unchanged(self.name, self.service)
    }

    /// The spec and the rollout as they are: what says which revision a slot runs.
    pub(crate) fn unchanged(&self) -> Vec<Guard> {
        let rollout = Guard { key: Key::Rollout(self.uid.clone()), expect: self.rollout.modified() };
        vec![self.spec_unchanged(), rollout]
    }

    /// Whether the rollout speaks of the spec as it is now.
    pub(crate) fn is_rollout_current(&self) -> bool {
        self.rollout.observed_version == self.service.stamp.modified
    }

    /// What is called by this name in events.
    pub(crate) fn regarding(&self) -> String {
        format!("Service/{}", self.name)
    }
}

/// Whether the tasks of `spec` run to their end.
pub(crate) fn is_job(spec: &ServiceSpec) -> bool {
    matches!(spec.mode, Mode::ReplicatedJob | Mode::GlobalJob)
}

/// The spec of the service `name` as it is.
pub(crate) fn spec_unchanged(name: &ServiceRef, service: &Versioned<Service>) -> Guard {
    Guard { key: Key::Service(name.clone()), expect: service.modified() }
}
