//! What a cluster looks like at one moment: what each node gives away, where each slot has its task, and who waits, for what.

use std::collections::BTreeMap;

use skep_api::condition;
use skep_api::ident::{DEFAULT_STACK, NodeId};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Allocated, Availability, NodeState, NodeStatus};
use skep_api::object::Object;
use skep_api::service::ServiceStatus;
use skep_api::task::{DesiredState, Obstacle, Remedy, Slot, Task, TaskState, TaskStatus};

use crate::sandbox::Sandbox;
use crate::view::service::word;

/// What a cluster looks like at one moment.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// Every node.
    pub(crate) nodes: BTreeMap<NodeId, NodeSeen>,
    /// Where each slot that has a task has it: on a node, or nowhere yet.
    pub(crate) slots: BTreeMap<(ServiceRef, Slot), Place>,
    /// Tasks without a node, those that wait for the same together.
    pub(crate) waits: Vec<Wait>,
    /// Services that are not as they are wanted, though none of their tasks waits for a node.
    pub(crate) unready: BTreeMap<ServiceRef, String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeSeen {
    /// What people call it.
    pub(crate) name: String,
    /// Whether it takes tasks, in one word.
    pub(crate) state: String,
    /// What it has, if its agent has said so.
    pub(crate) status: Option<NodeStatus>,
    /// What it gives away; nothing if it is Down.
    pub(crate) allocated: Allocated,
}

/// Tasks of a service that wait for the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wait {
    /// The service.
    pub(crate) service: ServiceRef,
    /// Their slots.
    pub(crate) slots: Vec<Slot>,
    /// Why, in a sentence.
    pub(crate) why: String,
    /// Which filters exclude how many nodes.
    pub(crate) obstacles: Vec<Obstacle>,
    /// What would help.
    pub(crate) remedy: Option<Remedy>,
}

impl Picture {
    /// What the cluster in `sandbox` looks like now.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let mut picture = Self::default();
        for (key, entry) in sandbox.entries() {
            if let Key::Node(node) = key {
                picture.nodes.insert(node.clone(), node_seen(sandbox, node));
            } else if let (Key::Task(at), Ok(Object::Task(task))) = (key, &entry.value) {
                picture.take(sandbox, at, task);
            }
        }
        for (key, entry) in sandbox.entries() {
            if let (Key::Service(service), Err(invalid)) = (key, &entry.value) {
                picture.unready.insert(service.clone(), format!("its spec is not valid: {}", invalid.reason));
            } else if let (Key::ServiceStatus(service), Ok(Object::ServiceStatus(status))) =
                (key, &entry.value)
            {
                picture.judge(service, status);
            }
        }
        picture
    }

    /// How many tasks have a node.
    pub(crate) fn tasks(&self) -> usize {
        self.slots.values().filter(|place| place.node().is_some()).count()
    }

    /// How many tasks wait for a node.
    pub(crate) fn waiting(&self) -> usize {
        self.waits.iter().map(|wait| wait.slots.len()).sum()
    }

    fn take(&mut self, sandbox: &Sandbox, at: &TaskRef, task: &Task) {
        let status = match sandbox.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => Some(&**status),
            _ => None,
        };
        let node = at.place.node().map(|node| node_status(sandbox, node));
        let is_lost = matches!(node, Some(Some(status)) if status.state == NodeState::Down);
        let exists = at.place.node().is_none_or(|node| sandbox.has(&Key::Node(node.clone())));
        let state = TaskState::observed(&at.place, status, exists);
        if task.desired > DesiredState::Complete || state.is_terminal() || is_lost {
            return;
        }
        let slot = (task.service.clone(), task.slot.clone());
        if at.place.node().is_some() {
            self.slots.insert(slot, at.place.clone());
            return;
        }
        // One that serves while its replacement waits has a node.
        self.slots.entry(slot).or_insert_with(|| Place::Pending);
        self.wait(task, status);
    }

    fn wait(&mut self, task: &Task, status: Option<&TaskStatus>) {
        let why = status.and_then(|status| status.error.clone());
        let why = why.unwrap_or_else(|| "nobody has looked for a node yet".to_owned());
        let obstacles = status.map(|status| status.obstacles.clone()).unwrap_or_default();
        let remedy = status.and_then(|status| status.remedy.clone());
        let same = |wait: &&mut Wait| {
            wait.service == task.service
                && wait.why == why
                && wait.remedy == remedy
                && wait.obstacles == obstacles
        };
        if let Some(wait) = self.waits.iter_mut().rev().find(same) {
            wait.slots.push(task.slot.clone());
        } else {
            let (service, slots) = (task.service.clone(), vec![task.slot.clone()]);
            self.waits.push(Wait { service, slots, why, obstacles, remedy });
        }
    }

    fn judge(&mut self, service: &ServiceRef, status: &ServiceStatus) {
        let ready = condition::find(&status.conditions, "Ready");
        let Some(ready) = ready.filter(|ready| ready.status != condition::Truth::True) else { return };
        if !self.waits.iter().any(|wait| wait.service == *service) {
            let words = if ready.message.is_empty() { &ready.reason } else { &ready.message };
            self.unready.insert(service.clone(), words.clone());
        }
    }
}

fn node_status<'a>(sandbox: &'a Sandbox, node: &NodeId) -> Option<&'a NodeStatus> {
    match sandbox.object(&Key::NodeStatus(node.clone())) {
        Some(Object::NodeStatus(status)) => Some(status),
        _ => None,
    }
}

fn node_seen(sandbox: &Sandbox, node: &NodeId) -> NodeSeen {
    let spec = match sandbox.object(&Key::Node(node.clone())) {
        Some(Object::Node(spec)) => Some(&**spec),
        _ => None,
    };
    let status = node_status(sandbox, node);
    let state = status.map(|status| status.state).unwrap_or_default();
    let availability = spec.map(|spec| spec.availability).unwrap_or_default();
    let word = match (state, availability) {
        (NodeState::Ready, Availability::Pause | Availability::Drain) => word(&availability),
        (NodeState::Ready, Availability::Active)
        | (NodeState::Unknown | NodeState::Unreachable | NodeState::Down, _) => word(&state),
    };
    // What was on a node that is Down is counted where it runs now.
    let allocated =
        status.filter(|status| status.state != NodeState::Down).map(|status| status.allocated.clone());
    NodeSeen {
        name: spec.map_or_else(|| node.to_string(), |spec| spec.name.clone()),
        state: word,
        status: status.cloned(),
        allocated: allocated.unwrap_or_default(),
    }
}

/// A slot as people write it: `web.2`; `web@n3` if the slot is the node.
pub(crate) fn slot_name(service: &ServiceRef, slot: &Slot, nodes: &BTreeMap<NodeId, NodeSeen>) -> String {
    match slot {
        Slot::Number(number) => format!("{}.{number}", service_name(service)),
        Slot::Node(node) => {
            let name = nodes.get(node).map_or(node.as_str(), |seen| seen.name.as_str());
            format!("{}@{name}", service_name(service))
        }
    }
}

/// A service as people write it: `web`, or `shop/web`.
pub(crate) fn service_name(service: &ServiceRef) -> String {
    if service.stack.as_str() == DEFAULT_STACK { service.name.to_string() } else { service.to_string() }
}
