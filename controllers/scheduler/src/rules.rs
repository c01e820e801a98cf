//! What each service asks of nodes, as its spec says now.
//!
//! Not as its revision says: a change of placement alone makes no revision (SwarmKit's dirtiness, `IsTaskDirty`), so what
//! holds is the spec, for tasks that wait and for tasks that were placed.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::constraint::{Constraint, ConstraintError, NodeFacts, Property};
use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef};
use skep_api::node::Platform;
use skep_api::object::Service;
use skep_api::service::{Affinity, Mode, PlatformRequirement, Rebalance, ServiceSpec, Strategy};
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
    /// The labels over whose values tasks are spread.
    pub(crate) levels: Vec<Property>,
    /// What they must be together with, or apart from.
    pub(crate) affinity: Vec<Term>,
    /// Which node comes first; nothing for the cluster's.
    pub(crate) strategy: Option<Strategy>,
    /// Whether running tasks are moved; nothing for the cluster's.
    pub(crate) rebalance: Option<Rebalance>,
    /// How many tasks a replicated service has; nothing in other modes.
    pub(crate) replicas: Option<u32>,
    /// How many of its tasks may be moved at once; 0 is all.
    pub(crate) parallelism: u32,
}

/// A service that tasks must be together with, or apart from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) other: ServiceRef,
    pub(crate) is_apart: bool,
    /// Where: on nodes with the same value of this; nothing for one node.
    pub(crate) level: Option<Property>,
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
    /// The services whose affinity names a service, by that one.
    namers: BTreeMap<ServiceRef, BTreeSet<Uid>>,
    /// The services that want their tasks moved, whatever the cluster's settings say.
    balanced: BTreeSet<Uid>,
}

impl Rules {
    /// What tasks of `service` ask by its spec.
    fn of(service: &ServiceRef, spec: &ServiceSpec) -> Result<Self, String> {
        let placement = &spec.placement;
        let constraints: Result<Vec<Constraint>, _> =
            placement.constraints.iter().map(|text| text.parse()).collect();
        Ok(Self {
            constraints: constraints.map_err(|error| error.to_string())?,
            platforms: placement.platforms.clone(),
            max_replicas: placement.max_replicas_per_node,
            levels: placement.spread.iter().map(|level| level_of(level)).collect::<Result<_, _>>()?,
            affinity: placement
                .affinity
                .iter()
                .map(|term| Term::of(service, term))
                .collect::<Result<_, _>>()?,
            strategy: placement.strategy,
            rebalance: placement.rebalance,
            replicas: (spec.mode == Mode::Replicated).then_some(spec.replicas),
            parallelism: spec.update.parallelism,
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

impl Term {
    fn of(service: &ServiceRef, affinity: &Affinity) -> Result<Self, String> {
        let (name, is_apart) = match (&affinity.with, &affinity.apart) {
            (Some(name), None) => (name, false),
            (None, Some(name)) => (name, true),
            (None, None) | (Some(_), Some(_)) => {
                return Err("a term of `affinity` says either `with` or `apart`".to_owned());
            }
        };
        let stack = affinity.stack.as_ref().unwrap_or(&service.stack);
        let level = affinity.level.as_deref().map(level_of).transpose()?;
        Ok(Self { other: ServiceRef::new(stack.clone(), name.clone()), is_apart, level })
    }
}

fn level_of(text: &str) -> Result<Property, String> {
    text.parse().map_err(|error: ConstraintError| error.to_string())
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

    /// The service `service` as it is now, if it is there.
    pub(crate) fn uid(&self, service: &ServiceRef) -> Option<&Uid> {
        self.uids.get(service)
    }

    /// The services whose affinity names `service`, in the order of their uids.
    pub(crate) fn namers(&self, service: &ServiceRef) -> impl Iterator<Item = &Uid> {
        self.namers.get(service).into_iter().flatten()
    }

    /// Whether any service has an affinity.
    pub(crate) fn has_affinity(&self) -> bool {
        !self.namers.is_empty()
    }

    /// The services whose tasks may go elsewhere when those of `service` do: that it names, or that name it.
    pub(crate) fn companions(&self, service: &ServiceRef) -> BTreeSet<Uid> {
        let ruling = self.uid(service).and_then(|uid| self.of(uid));
        let named = ruling.map(Ruling::named).unwrap_or_default();
        let named = named.iter().filter_map(|other| self.uid(other));
        named.chain(self.namers(service)).cloned().collect()
    }

    /// Whether it matters to the service `uid` what is near its tasks.
    pub(crate) fn is_affected(&self, uid: &Uid) -> bool {
        let ruling = self.of(uid).filter(|_| self.has_affinity());
        ruling.is_some_and(|ruling| !self.companions(&ruling.service).is_empty())
    }

    /// The services that keep apart from `service`, with the terms that say so.
    pub(crate) fn kept_apart_from(&self, service: &ServiceRef) -> impl Iterator<Item = (&ServiceRef, &Term)> {
        let rulings = self.namers(service).filter_map(|uid| self.of(uid));
        rulings.flat_map(move |ruling| {
            let terms = ruling.rules.iter().flat_map(|rules| &rules.affinity);
            let named = terms.filter(move |term| term.is_apart && term.other == *service);
            named.map(|term| (&ruling.service, term))
        })
    }

    /// Whether tasks of `service` must be with `other`.
    pub(crate) fn is_with(&self, service: &ServiceRef, other: &ServiceRef) -> bool {
        let ruling = self.uid(service).and_then(|uid| self.of(uid));
        let mut terms = ruling.iter().flat_map(|ruling| &ruling.rules).flat_map(|rules| &rules.affinity);
        terms.any(|term| !term.is_apart && term.other == *other)
    }

    /// Whether a service wants its tasks moved.
    pub(crate) fn has_balanced(&self) -> bool {
        !self.balanced.is_empty()
    }

    /// The services that are there, with their uids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Uid, &Ruling)> {
        self.rulings.iter()
    }

    /// Makes `entry` the spec of `service`; names the uids that this concerns.
    pub(crate) fn set(&mut self, service: &ServiceRef, entry: Option<&Entry>) -> Vec<Uid> {
        let key = Key::Service(service.clone()).to_string();
        let new = entry.map(|entry| (Uid::derive(&self.cluster, &key, entry.stamp.created), entry));
        let old = match &new {
            Some((uid, _)) => self.uids.insert(service.clone(), uid.clone()),
            None => self.uids.remove(service),
        };
        let mut touched: BTreeSet<Uid> = BTreeSet::new();
        if let Some(old) = old {
            touched.extend(self.forget(&old));
            touched.insert(old);
        }
        if let Some((uid, entry)) = new {
            touched.extend(self.enter(&uid, Ruling::of(service, entry)));
            touched.insert(uid);
        }
        touched.extend(self.namers(service).cloned());
        touched.into_iter().collect()
    }

    /// Makes `ruling` that of `uid`; names the services that its affinity names.
    fn enter(&mut self, uid: &Uid, ruling: Ruling) -> Vec<Uid> {
        let named = ruling.named();
        for other in &named {
            self.namers.entry(other.clone()).or_default().insert(uid.clone());
        }
        if ruling.rules.as_ref().is_ok_and(|rules| rules.rebalance == Some(Rebalance::WhenIdle)) {
            self.balanced.insert(uid.clone());
        }
        self.rulings.insert(uid.clone(), ruling);
        named.iter().filter_map(|other| self.uid(other)).cloned().collect()
    }

    /// Forgets the ruling of `uid`; names the services that its affinity named.
    fn forget(&mut self, uid: &Uid) -> Vec<Uid> {
        self.balanced.remove(uid);
        let named = self.rulings.remove(uid).map(|ruling| ruling.named()).unwrap_or_default();
        for other in &named {
            if let Some(namers) = self.namers.get_mut(other) {
                namers.remove(uid);
                if namers.is_empty() {
                    self.namers.remove(other);
                }
            }
        }
        named.iter().filter_map(|other| self.uid(other)).cloned().collect()
    }
}

impl Ruling {
    fn of(at: &ServiceRef, entry: &Entry) -> Self {
        let rules = match (&entry.value, typed::<Service>(Some(entry))) {
            (Ok(_), Some(service)) => Rules::of(at, &service.spec),
            (Ok(_), None) => Err("not a service".to_owned()),
            (Err(invalid), _) => Err(invalid.to_string()),
        };
        Self { service: at.clone(), modified: entry.stamp.modified, rules }
    }

    /// The services that its affinity names.
    fn named(&self) -> BTreeSet<ServiceRef> {
        let terms = self.rules.iter().flat_map(|rules| &rules.affinity);
        terms.map(|term| term.other.clone()).collect()
    }
}
