//! Services by name and by uid: what every controller of services keeps, and what it plans for.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::object::{Invalid, Service};

use crate::plan::{Expect, Guard};
use crate::table::{Entry, Stamp, Table, Versioned};

/// What is planned one at a time: a service, or what is left of one that is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The service of this name, which may not exist (any more).
    Service(ServiceRef),
    /// What a service with this uid left behind. A uid never returns, so this needs no guard; but a planner must look
    /// whether the service has come into sight since this was queued.
    Gone(Uid),
}

/// The specs of services, by name and by uid.
#[derive(Debug)]
pub struct Services {
    cluster: String,
    table: Table<ServiceRef, Service>,
    uids: BTreeMap<ServiceRef, Uid>,
    names: BTreeMap<Uid, ServiceRef>,
}

impl Services {
    /// No service yet, in the cluster with this id.
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            table: Table::default(),
            uids: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// Makes `entry` the spec of `service`, and names what must be planned again for it.
    pub fn apply(&mut self, service: &ServiceRef, entry: Option<&Entry>) -> Vec<Subject> {
        let key = Key::Service(service.clone()).to_string();
        let uid = entry.map(|entry| Uid::derive(&self.cluster, &key, entry.stamp.created));
        self.table.set(service, entry);
        let mut touched = vec![Subject::Service(service.clone())];
        let old = match &uid {
            Some(uid) => self.uids.insert(service.clone(), uid.clone()),
            None => self.uids.remove(service),
        };
        if let Some(old) = old.filter(|old| Some(old) != uid.as_ref()) {
            self.names.remove(&old);
            touched.push(Subject::Gone(old));
        }
        if let Some(uid) = uid {
            self.names.insert(uid, service.clone());
        }
        touched
    }

    /// The service `service`, if its spec is there and decodes.
    pub fn get(&self, service: &ServiceRef) -> Option<&Versioned<Service>> {
        self.table.get(service)
    }

    /// Why the spec of `service` does not decode, and its revisions.
    pub fn invalid(&self, service: &ServiceRef) -> Option<&(Arc<Invalid>, Stamp)> {
        self.table.invalid(service)
    }

    /// The uid of the service at `service`, whether its spec decodes or not.
    pub fn uid(&self, service: &ServiceRef) -> Option<&Uid> {
        self.uids.get(service)
    }

    /// Whether the service with this uid is there.
    pub fn has(&self, uid: &Uid) -> bool {
        self.names.contains_key(uid)
    }

    /// What to plan when something of the service `uid` moves.
    pub fn subject(&self, uid: &Uid) -> Subject {
        self.names.get(uid).map_or_else(|| Subject::Gone(uid.clone()), |name| Subject::Service(name.clone()))
    }

    /// Every service that is there.
    pub fn names(&self) -> impl Iterator<Item = &ServiceRef> {
        self.uids.keys()
    }

    /// Expects the object at `service` to be the one that is there now, or nothing if there is none.
    pub fn same(&self, service: &ServiceRef) -> Guard {
        let created = self.table.stamp(service).map(|stamp| stamp.created);
        Guard { key: Key::Service(service.clone()), expect: created.map_or(Expect::Absent, Expect::Created) }
    }
}
