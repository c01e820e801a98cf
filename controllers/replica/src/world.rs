//! What replica decides from: services, rollouts, and their tasks with everything that is known of them and of nodes.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, ServiceRef};
use skep_api::node::{NodeReport, NodeSpec, NodeState};
use skep_api::rollout::Rollout;
use skep_api::service::{Dependency, Mode, ServiceStatus};
use skep_runtime::controller;
use skep_runtime::services::{Services, Subject};
use skep_runtime::table::{Entry, Table};
use skep_runtime::tasks::{NodeView, Owner, Tasks};

/// The state that replica decides from.
#[derive(Debug)]
pub struct World {
    pub(crate) services: Services,
    pub(crate) statuses: Table<ServiceRef, ServiceStatus>,
    pub(crate) rollouts: Table<Uid, Rollout>,
    pub(crate) tasks: Tasks,
    /// The services that have a task on every node.
    globals: BTreeSet<ServiceRef>,
    /// Which services wait, or once waited, for the one that is named first.
    dependants: BTreeMap<ServiceRef, BTreeSet<ServiceRef>>,
}

impl controller::World for World {
    type Key = Subject;

    fn new(cluster: &str) -> Self {
        Self {
            services: Services::new(cluster),
            statuses: Table::default(),
            rollouts: Table::default(),
            tasks: Tasks::default(),
            globals: BTreeSet::new(),
            dependants: BTreeMap::new(),
        }
    }

    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        let touched = self.take(key, entry);
        self.with_dependants(touched)
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
    fn take(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        if let Key::Service(service) = key {
            self.unlink(service);
            let touched = self.services.apply(service, entry);
            self.link(service);
            touched
        } else if let Key::ServiceStatus(service) = key {
            self.statuses.set(service, entry);
            vec![Subject::Service(service.clone())]
        } else if let Key::Rollout(uid) = key {
            self.rollouts.set(uid, entry);
            vec![self.services.subject(uid)]
        } else if let Key::Node(node) | Key::NodeStatus(node) = key {
            self.take_node(node, key, entry)
        } else {
            let owners = self.tasks.apply(key, entry);
            owners.into_iter().map(|owner| self.subject(owner)).collect()
        }
    }

    /// What a node's summary says of its load and its clock changes every few seconds, and moves no service.
    fn take_node(&mut self, node: &NodeId, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        let before = Aspect::of(&self.tasks, node);
        let owners = self.tasks.apply(key, entry);
        let is_moved = before != Aspect::of(&self.tasks, node);
        let globals = self.globals.iter().filter(|_| is_moved).cloned().map(Subject::Service);
        globals.chain(owners.into_iter().map(|owner| self.subject(owner))).collect()
    }

    fn subject(&self, owner: Owner) -> Subject {
        match owner {
            Owner::Uid(uid) => self.services.subject(&uid),
            Owner::Named(service) => Subject::Service(service),
        }
    }

    fn link(&mut self, service: &ServiceRef) {
        let Some(found) = self.services.get(service) else { return };
        if matches!(found.spec.mode, Mode::Global | Mode::GlobalJob) {
            self.globals.insert(service.clone());
        }
        for dependency in &found.spec.depends_on {
            let dependants = self.dependants.entry(target(service, dependency)).or_default();
            dependants.insert(service.clone());
        }
    }

    fn unlink(&mut self, service: &ServiceRef) {
        self.globals.remove(service);
        let Some(found) = self.services.get(service) else { return };
        for dependency in &found.spec.depends_on {
            let target = target(service, dependency);
            if self.dependants.get_mut(&target).is_some_and(|all| all.remove(service) && all.is_empty()) {
                self.dependants.remove(&target);
            }
        }
    }

    /// Also those that wait for what was touched: a service with tasks has begun, and waits no more.
    fn with_dependants(&self, mut touched: Vec<Subject>) -> Vec<Subject> {
        let mut waiting = BTreeSet::new();
        for subject in &touched {
            if let Subject::Service(service) = subject {
                waiting.extend(self.dependants.get(service).into_iter().flatten());
            }
        }
        let has_begun = |name: &ServiceRef| self.services.uid(name).is_some_and(|uid| self.tasks.has(uid));
        let waiting = waiting.into_iter().filter(|name| !has_begun(name));
        touched.extend(waiting.cloned().map(Subject::Service));
        touched
    }
}

/// The service that `dependency` of `service` means.
pub(crate) fn target(service: &ServiceRef, dependency: &Dependency) -> ServiceRef {
    let stack = dependency.stack.as_ref().unwrap_or(&service.stack);
    ServiceRef::new(stack.clone(), dependency.service.clone())
}

/// What of a node decides whether a global service has a task there.
#[derive(PartialEq)]
struct Aspect {
    exists: bool,
    spec: Option<NodeSpec>,
    state: Option<NodeState>,
    report: Option<NodeReport>,
}

impl Aspect {
    fn of(tasks: &Tasks, node: &NodeId) -> Self {
        let NodeView { spec, status, .. } = tasks.node(node);
        let told = |report: &NodeReport| NodeReport {
            hostname: report.hostname.clone(),
            address: report.address.clone(),
            platform: report.platform.clone(),
            engine: report.engine.clone(),
            ..NodeReport::default()
        };
        Self {
            exists: tasks.has_node(node),
            spec: spec.map(|spec| (*spec.value).clone()),
            state: status.map(|status| status.state),
            report: status.and_then(|status| status.report.as_ref()).map(told),
        }
    }
}
