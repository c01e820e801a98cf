//! What the updater decides from: services, rollouts, revisions, and how far the tasks are.

use std::collections::BTreeSet;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Volume;
use skep_api::rollout::{Control, Pin, Revision, Rollout};
use skep_runtime::controller;
use skep_runtime::services::{Services, Subject};
use skep_runtime::table::{Entry, Stamp, Table};
use skep_runtime::tasks::{Owner, Tasks};

use crate::content;

/// The state that the updater decides from.
#[derive(Debug)]
pub struct World {
    pub(crate) services: Services,
    /// By the name of the service, which may not be the one that is meant.
    pub(crate) controls: Table<ServiceRef, Control>,
    pub(crate) volumes: Table<ServiceRef, Volume>,
    pub(crate) rollouts: Table<Uid, Rollout>,
    pub(crate) revisions: Table<(Uid, u64), Revision>,
    pub(crate) pins: Table<(Uid, u64), Pin>,
    /// The numbers of the revisions and pins that are there, valid or not.
    numbers: BTreeSet<(Uid, u64)>,
    pub(crate) tasks: Tasks,
}

impl controller::World for World {
    type Key = Subject;

    fn new(cluster: &str) -> Self {
        Self {
            services: Services::new(cluster),
            controls: Table::default(),
            volumes: Table::default(),
            rollouts: Table::default(),
            revisions: Table::default(),
            pins: Table::default(),
            numbers: BTreeSet::new(),
            tasks: Tasks::default(),
        }
    }

    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        if let Key::Service(service) = key {
            self.services.apply(service, entry)
        } else if let Key::Control(service) = key {
            self.controls.set(service, entry);
            vec![Subject::Service(service.clone())]
        } else if let Key::Volume(volume) = key {
            self.volumes.set(volume, entry);
            self.mounting(volume)
        } else if let Key::Rollout(uid) = key {
            self.rollouts.set(uid, entry);
            vec![self.services.subject(uid)]
        } else if let Key::Revision(uid, number) = key {
            self.revisions.set(&(uid.clone(), *number), entry);
            self.number(uid, *number)
        } else if let Key::Pin(uid, number) = key {
            self.pins.set(&(uid.clone(), *number), entry);
            self.number(uid, *number)
        } else {
            let owners = self.tasks.apply(key, entry);
            owners.into_iter().flat_map(|owner| self.subjects(owner)).collect()
        }
    }

    fn all(&self) -> Vec<Subject> {
        let controls = self.controls.iter().map(|(name, _)| name).chain(self.controls.invalid_keys());
        let services = self.services.names().chain(controls).cloned().map(Subject::Service);
        let rollouts = self.rollouts.iter().map(|(uid, _)| uid);
        let left = rollouts.chain(self.numbers.iter().map(|(uid, _)| uid));
        let all: BTreeSet<Subject> = services.chain(left.map(|uid| self.services.subject(uid))).collect();
        all.into_iter().collect()
    }
}

impl World {
    /// The numbers of the revisions and pins of the service `uid`, the lowest first.
    pub(crate) fn numbers(&self, uid: &Uid) -> impl DoubleEndedIterator<Item = u64> {
        self.numbers.range((uid.clone(), 0)..=(uid.clone(), u64::MAX)).map(|(_, number)| *number)
    }

    /// The revisions of etcd of revision `number`, if it is there.
    pub(crate) fn revision_stamp(&self, uid: &Uid, number: u64) -> Option<Stamp> {
        self.revisions.stamp(&(uid.clone(), number))
    }

    /// The services that mount `volume`.
    fn mounting(&self, volume: &ServiceRef) -> Vec<Subject> {
        let of_stack = self.services.names().filter(|name| name.stack == volume.stack);
        let mounts = |name: &&ServiceRef| {
            let service = self.services.get(name);
            service.is_some_and(|it| content::mounted(&it.spec.task).any(|mounted| mounted == volume.name))
        };
        of_stack.filter(mounts).cloned().map(Subject::Service).collect()
    }

    fn number(&mut self, uid: &Uid, number: u64) -> Vec<Subject> {
        let key = (uid.clone(), number);
        if self.revisions.has(&key) || self.pins.has(&key) {
            self.numbers.insert(key);
        } else {
            self.numbers.remove(&key);
        }
        vec![self.services.subject(uid)]
    }

    /// A damaged task may be of a service that is gone, whose uid it does not tell: everything under its name is looked at.
    fn subjects(&self, owner: Owner) -> Vec<Subject> {
        match owner {
            Owner::Uid(uid) => vec![self.services.subject(&uid)],
            Owner::Named(service) => {
                let rollouts = self.rollouts.iter().filter(|(_, rollout)| rollout.service == service);
                let left = rollouts.map(|(uid, _)| self.services.subject(uid));
                left.chain([Subject::Service(service.clone())]).collect()
            }
        }
    }
}
