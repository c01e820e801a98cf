//! What every step in a slot needs to know of its service.

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Service;
use skep_api::rollout::Rollout;
use skep_api::service::ServiceSpec;
use skep_runtime::controller::Moment;
use skep_runtime::plan::Guard;
use skep_runtime::table::Versioned;

/// A service that can be served, with what it is planned by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a ServiceRef,
    pub(crate) uid: &'a Uid,
    pub(crate) service: &'a Versioned<Service>,
    pub(crate) rollout: &'a Versioned<Rollout>,
    pub(crate) at: Moment,
}

impl Scope<'_> {
    pub(crate) fn spec(&self) -> &ServiceSpec {
        &self.service.spec
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

/// The spec of the service `name` as it is.
pub(crate) fn spec_unchanged(name: &ServiceRef, service: &Versioned<Service>) -> Guard {
    Guard { key: Key::Service(name.clone()), expect: service.modified() }
}
