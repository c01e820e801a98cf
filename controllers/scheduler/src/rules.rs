//! What each service asks of nodes, as its spec says now.
//!
//! Not as its revision says: a change of placement alone makes no revision (SwarmKit's dirtiness, `IsTaskDirty`), so what
//! holds is the spec, for tasks that wait and for tasks that were placed.

use std::collections::BTreeMap;

use skep_api::constraint::{Constraint, NodeFacts};
use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::node::Platform;
use skep_api::object::Service;
use skep_api::service::{Placement, PlatformRequirement};
use skep_runtime::table::Entry;

use crate::typed::typed;

/// What every task of a service asks of its node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What the node must meet.
    pub(crate) constraints: Vec<Constraint>,
    /// Where the image runs; empty is everywhere.
    platforms: Vec<PlatformRequirement>,
    /// The most tasks of the service on one node; 0 is no limit.
    pub(crate) max_replicas: u32,
}

/// A service and its rules.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// Its stack and name.
    pub(crate) service: ServiceRef,
    /// The last write of its spec.
    pub(crate) modified: i64,
    /// What it asks, or why that cannot be told.
    pub(crate) rules: Result<Rules, String>,
}

/// The rules of every service that is there.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    cluster: String,
    rulings: BTreeMap<Uid, Ruling>,
    uids: BTreeMap<ServiceRef, Uid>,
}

impl Rules {
    fn of(placement: &Placement) -> Result<Self, String> {
        let constraints: Result<Vec<Constraint>, _> =
            placement.constraints.iter().map(|text| text.parse()).collect();
        Ok(Self {
            constraints: constraints.map_err(|error| error.to_string())?,
            platforms: placement.platforms.clone(),
            max_replicas: placement.max_replicas_per_node,
        })
    }

    /// The constraints that `node` does not meet.
    pub(crate) fn unmet(&self, node: &NodeFacts<'_>) -> impl Iterator<Item = &Constraint> {
        self.constraints.iter().filter(|constraint| !constraint.matches(node))
    }

    /// Whether the image runs on `platform`; `None` is a machine that has not said what it is.
    pub(crate) fn runs_on(&self, platform: Option<&Platform>) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|wanted| wanted.is_met(platform))
    }
}

impl RuleBook {
    /// No service yet, in the cluster with this id.
    pub(crate) fn new(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), ..Self::default() }
    }

    /// The service `uid` and its rules; nothing if its spec is not there.
    pub(crate) fn of(&self, uid: &Uid) -> Option<&Ruling> {
        self.rulings.get(uid)
    }

    /// Makes `entry` the spec of `service`; names the uids that this concerns.
    pub(crate) fn set(&mut self, service: &ServiceRef, entry: Option<&Entry>) -> Vec<Uid> {
        let key = Key::Service(service.clone()).to_string();
        let new = entry.map(|entry| (Uid::derive(&self.cluster, &key, entry.stamp.created), entry));
        let old = match &new {
            Some((uid, _)) => self.uids.insert(service.clone(), uid.clone()),
            None => self.uids.remove(service),
        };
        let mut touched: Vec<Uid> = Vec::new();
        if let Some(old) = old {
            self.rulings.remove(&old);
            touched.push(old);
        }
        if let Some((uid, entry)) = new {
            self.rulings.insert(uid.clone(), Ruling::of(service, entry));
            touched.push(uid);
        }
        touched.dedup();
        touched
    }
}

impl Ruling {
    fn of(service: &ServiceRef, entry: &Entry) -> Self {
        let rules = match (&entry.value, typed::<Service>(Some(entry))) {
            (Ok(_), Some(service)) => Rules::of(&service.spec.placement),
            (Ok(_), None) => Err("not a service".to_owned()),
            (Err(invalid), _) => Err(invalid.to_string()),
        };
        Self { service: service.clone(), modified: entry.stamp.modified, rules }
    }
}
