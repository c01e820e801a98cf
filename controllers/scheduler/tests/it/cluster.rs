//! Builds clusters for the tests: nodes, revisions and tasks in a few words each.

use std::collections::BTreeMap;

use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{
    Availability, NodeReport, NodeSpec, NodeState, NodeStatus, Platform, Resources, Role, Session,
};
use skep_api::object::Object;
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_api::time::Timestamp;
use skep_runtime::scene::{CLUSTER, Scene};
use skep_scheduler::Scheduler;

pub(crate) type Cluster = Scene<Scheduler>;

/// The services of every cluster, so that a service's uid follows from its name.
const SERVICES: [&str; 23] = [
    "web", "db", "one", "two", "three", "tcp", "udp", "any", "zoned", "other", "arm", "amd", "none", "some",
    "small", "large", "port", "big", "more", "dns", "few", "free", "globe",
];
/// The revision of an empty scene.
const FIRST_REVISION: i64 = 100;

/// A cluster with the specs of all services, without nodes and tasks.
pub(crate) fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    assert_eq!(cluster.revision(), FIRST_REVISION);
    for name in SERVICES {
        set_spec(&mut cluster, name, "");
    }
    cluster
}

/// Gives the service `name` a spec with these YAML fields (flow form) beside the task.
pub(crate) fn set_spec(cluster: &mut Cluster, name: &str, rest: &str) {
    let head = format!("apiVersion: skep/v1, kind: Service, metadata: {{name: {name}, stack: shop}}");
    let key = Key::Service(service(name));
    cluster.put_text(key.clone(), &format!("{{{head}, spec: {{task: {{image: i}}{rest}}}}}"));
    assert!(cluster.object(&key).is_some(), "{rest}");
}

/// Says where tasks of the service `name` may run, in YAML's flow form.
pub(crate) fn set_placement(cluster: &mut Cluster, name: &str, placement: &str) {
    set_spec(cluster, name, &format!(", placement: {{{placement}}}"));
}

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn node_id(number: u64) -> NodeId {
    NodeId::from_random(number)
}

/// A node's spec: named `n<number>`, active, a worker.
pub(crate) fn node_spec(number: u64) -> NodeSpec {
    NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: format!("n{number}"),
        role: Role::Worker,
        availability: Availability::Active,
        labels: BTreeMap::new(),
    }
}

pub(crate) fn labelled(number: u64, key: &str, value: &str) -> NodeSpec {
    NodeSpec { labels: BTreeMap::from([(key.to_owned(), value.to_owned())]), ..node_spec(number) }
}

/// A node that is ready, with 4 cores and `memory` MiB.
pub(crate) fn add_node(cluster: &mut Cluster, number: u64, memory: u64) {
    add_node_with(cluster, number, memory, node_spec(number));
}

pub(crate) fn add_node_with(cluster: &mut Cluster, number: u64, memory: u64, spec: NodeSpec) {
    let id = node_id(number);
    cluster.put(Key::Node(id.clone()), spec);
    cluster
        .put(Key::NodeSession(id.clone()), Session { holder: "h:1".to_owned(), since: Timestamp::default() });
    set_report(cluster, number, memory, "x86_64");
    set_state(cluster, number, NodeState::Ready);
}

/// Sets what the machine has, and what it is.
pub(crate) fn set_report(cluster: &mut Cluster, number: u64, memory: u64, architecture: &str) {
    let capacity =
        Resources { cpus: Cpus::from_nanos(4_000_000_000), memory: Memory::from_bytes(memory * MIB) };
    let platform = Platform { os: "linux".to_owned(), architecture: architecture.to_owned() };
    let report = NodeReport { capacity, platform, ..NodeReport::default() };
    cluster.put(Key::NodeReport(node_id(number)), report);
}

pub(crate) fn set_state(cluster: &mut Cluster, number: u64, state: NodeState) {
    cluster.put(Key::NodeStatus(node_id(number)), NodeStatus { state, ..NodeStatus::default() });
}

pub(crate) fn service(name: &str) -> ServiceRef {
    ServiceRef::new("shop".parse().unwrap(), name.parse().unwrap())
}

pub(crate) fn uid(name: &str) -> Uid {
    let place = SERVICES.iter().position(|other| *other == name).expect("a known service");
    let created = FIRST_REVISION + 1 + i64::try_from(place).unwrap();
    Uid::derive(CLUSTER, &Key::Service(service(name)).to_string(), created)
}

/// Revision `number` of the service `name`, with these YAML fields (flow form) beside the image.
pub(crate) fn add_revision(cluster: &mut Cluster, name: &str, number: u64, task: &str, rest: &str) {
    let text = format!("{{service: {{stack: shop, name: {name}}}, task: {{image: i{task}}}{rest}}}");
    let key = Key::Revision(uid(name), number);
    cluster.put_text(key.clone(), &text);
    assert!(cluster.object(&key).is_some(), "{text}");
}

/// Revision 1 that sets `memory` MiB aside.
pub(crate) fn add_service(cluster: &mut Cluster, name: &str, memory: u64) {
    add_revision(cluster, name, 1, &reserving(memory), "");
}

pub(crate) fn reserving(memory: u64) -> String {
    format!(", resources: {{reservations: {{memory: {memory}Mi}}}}")
}

/// A task of revision 1 of the service `name` in slot `slot`.
pub(crate) fn task(name: &str, slot: u32) -> Task {
    Task {
        attempts: Vec::new(),
        created: Timestamp::default(),
        uid: uid(name),
        service: service(name),
        slot: Slot::Number(slot),
        revision: 1,
        desired: DesiredState::Running,
        cause: Cause::New,
        replaces: None,
        start_after: None,
        restarts: 0,
        streak: 0,
        generic: BTreeMap::new(),
    }
}

/// A task of the global service `name` that belongs to node `node`.
pub(crate) fn task_of_node(name: &str, node: u64) -> Task {
    Task { slot: Slot::Node(node_id(node)), ..task(name, 0) }
}

/// A staged task that replaces `old`.
pub(crate) fn staged(name: &str, slot: u32, old: &TaskRef) -> Task {
    Task {
        desired: DesiredState::Ready,
        cause: Cause::Update,
        replaces: Some(old.name.clone()),
        ..task(name, slot)
    }
}

/// The key of run `run` of the slot while it waits.
pub(crate) fn pending(name: &str, slot: u32, run: i64) -> TaskRef {
    let name = TaskName::new(&name.parse().unwrap(), &slot.to_string(), run);
    TaskRef { place: Place::Pending, stack: "shop".parse().unwrap(), name }
}

pub(crate) fn on_node(cluster: &mut Cluster, key: &TaskRef, node: u64, task: Task) -> TaskRef {
    let key = key.at(Place::Node(node_id(node)));
    cluster.put(Key::Task(key.clone()), task);
    key
}

pub(crate) fn wait_for_node(cluster: &mut Cluster, key: &TaskRef, task: Task) {
    cluster.put(Key::Task(key.clone()), task);
}

/// `count` tasks of the service `name` that wait.
pub(crate) fn add_tasks(cluster: &mut Cluster, name: &str, count: u32) {
    for slot in 1..=count {
        wait_for_node(cluster, &pending(name, slot, 1), task(name, slot));
    }
}

pub(crate) fn observe(cluster: &mut Cluster, key: &TaskRef, state: TaskState) {
    let status = TaskStatus {
        draining: None,
        health: None,
        log: Vec::new(),
        running: None,
        state,
        since: Timestamp::default(),
        message: String::new(),
        error: None,
        started: None,
        container: None,
        ports: Vec::new(),
        obstacles: Vec::new(),
        remedy: None,
    };
    cluster.put(Key::TaskStatus(key.clone()), status);
}

/// Every task with its key.
pub(crate) fn tasks(cluster: &Cluster) -> Vec<(TaskRef, Task)> {
    let typed = |key: &Key| match (key, cluster.object(key)) {
        (Key::Task(key), Some(Object::Task(task))) => Some((key.clone(), (**task).clone())),
        _ => None,
    };
    cluster.keys().filter_map(typed).collect()
}

/// Which node each task of the service `name` is on; `None` is none.
pub(crate) fn nodes_of(cluster: &Cluster, name: &str) -> Vec<Option<u64>> {
    let number = |place: &Place| (0..1000).find(|number| Some(&node_id(*number)) == place.node());
    tasks(cluster)
        .iter()
        .filter(|(_, task)| task.uid == uid(name))
        .map(|(key, _)| number(&key.place))
        .collect()
}

/// How many tasks of the service `name` are on each of `nodes`.
pub(crate) fn spread(cluster: &Cluster, name: &str, nodes: std::ops::RangeInclusive<u64>) -> Vec<usize> {
    let places = nodes_of(cluster, name);
    nodes.map(|node| places.iter().filter(|place| **place == Some(node)).count()).collect()
}

pub(crate) fn status_of(cluster: &Cluster, key: &TaskRef) -> Option<TaskStatus> {
    match cluster.object(&Key::TaskStatus(key.clone())) {
        Some(Object::TaskStatus(status)) => Some((**status).clone()),
        _ => None,
    }
}
