//! What replica decides from: services, rollouts, and their tasks with everything that is known of them.

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::rollout::Rollout;
use skep_api::service::ServiceStatus;
use skep_runtime::controller;
use skep_runtime::services::{Services, Subject};
use skep_runtime::table::{Entry, Table};
use skep_runtime::tasks::{Owner, Tasks};

/// The state that replica decides from.
#[derive(Debug)]
pub struct World {
    pub(crate) services: Services,
    pub(crate) statuses: Table<ServiceRef, ServiceStatus>,
    pub(crate) rollouts: Table<Uid, Rollout>,
    pub(crate) tasks: Tasks,
}

impl controller::World for World {
    type Key = Subject;

    fn new(cluster: &str) -> Self {
        Self {
            services: Services::new(cluster),
            statuses: Table::default(),
            rollouts: Table::default(),
            tasks: Tasks::default(),
        }
    }

    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        if let Key::Service(service) = key {
            self.services.apply(service, entry)
        } else if let Key::ServiceStatus(service) = key {
            self.statuses.set(service, entry);
            vec![Subject::Service(service.clone())]
        } else if let Key::Rollout(uid) = key {
            self.rollouts.set(uid, entry);
            vec![self.services.subject(uid)]
        } else {
            let owners = self.tasks.apply(key, entry);
            owners.into_iter().map(|owner| self.subject(owner)).collect()
        }
    }

    fn all(&self) -> Vec<Subject> {
        let services = self.services.names().chain(self.statuses.iter().map(|(service, _)| service));
        let left = self.tasks.uids().map(|uid| self.services.subject(uid));
        let mut all: Vec<Subject> = services.cloned().map(Subject::Service).chain(left).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl World {
    fn subject(&self, owner: Owner) -> Subject {
        match owner {
            Owner::Uid(uid) => self.services.subject(&uid),
            Owner::Named(service) => Subject::Service(service),
        }
    }
}
