//! Builds fleets for the tests, with tasks, and lets time pass.

use std::collections::BTreeMap;

use skep_api::condition::{self, Condition};
use skep_api::eviction::Eviction;
use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, DrainMode, NodeReport, NodeSpec, NodeState, NodeStatus, Role, Session};
use skep_api::object::Object;
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_node::{NodeController, Subject};
use skep_runtime::controller::World;
use skep_runtime::scene::Scene;

pub(crate) type Fleet = Scene<NodeController>;

pub(crate) fn node_id(number: u64) -> NodeId {
    NodeId::from_random(number)
}

/// `count` nodes that live, numbered from 1.
pub(crate) fn fleet(count: u64) -> Fleet {
    let mut fleet = Fleet::default();
    (1..=count).for_each(|number| add_node(&mut fleet, number));
    fleet.settle();
    fleet
}

pub(crate) fn judging(number: u64) -> Subject {
    Subject::Node(node_id(number))
}

pub(crate) fn spec(number: u64) -> NodeSpec {
    NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: format!("n{number}"),
        role: Role::Worker,
        availability: Availability::Active,
        labels: BTreeMap::new(),
    }
}

pub(crate) fn add_node(fleet: &mut Fleet, number: u64) {
    fleet.put(Key::Node(node_id(number)), spec(number));
    fleet.put(
        Key::NodeReport(node_id(number)),
        NodeReport { hostname: format!("host{number}"), ..NodeReport::default() },
    );
    revive(fleet, number);
}

pub(crate) fn revive(fleet: &mut Fleet, number: u64) {
    let session = Session { holder: "h:1".to_owned(), since: Timestamp::default() };
    fleet.put(Key::NodeSession(node_id(number)), session);
}

pub(crate) fn lose(fleet: &mut Fleet, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        fleet.delete(Key::NodeSession(node_id(number)));
    }
    fleet.settle();
}

/// Lets `span` pass, planning only when a plan asked for it.
pub(crate) fn pass(fleet: &mut Fleet, span: Span) {
    let end = fleet.now.after(span);
    loop {
        fleet.settle();
        let due = fleet.world.all().iter().filter_map(|node| fleet.plan(node).again).min();
        match due.filter(|due| *due <= end) {
            Some(due) => {
                assert!(due > fleet.now, "a plan asks to be made again at once");
                fleet.now = due;
            }
            None => break,
        }
    }
    fleet.now = end;
}

pub(crate) fn status(fleet: &Fleet, number: u64) -> Option<NodeStatus> {
    match fleet.object(&Key::NodeStatus(node_id(number))) {
        Some(Object::NodeStatus(status)) => Some((**status).clone()),
        _ => None,
    }
}

pub(crate) fn states(fleet: &Fleet, count: u64) -> Vec<NodeState> {
    (1..=count).filter_map(|number| status(fleet, number)).map(|status| status.state).collect()
}

pub(crate) fn find(fleet: &Fleet, number: u64, kind: &str) -> Condition {
    condition::find(&status(fleet, number).unwrap().conditions, kind).unwrap().clone()
}

fn uid() -> Uid {
    Uid::derive("scene", "web", 1)
}

pub(crate) fn service() -> ServiceRef {
    ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap())
}

/// Revision `number` of the only service, which sets a core and `memory` MiB aside.
pub(crate) fn add_revision(fleet: &mut Fleet, number: u64, memory: u64) {
    add_revision_with(fleet, number, &format!("cpus: \"1\", memory: {memory}Mi"));
}

/// The same, which sets aside what `reservations` says, as fields of flow YAML.
pub(crate) fn add_revision_with(fleet: &mut Fleet, number: u64, reservations: &str) {
    let resources = format!("resources: {{reservations: {{{reservations}}}}}");
    let text = format!("{{service: {{stack: shop, name: web}}, task: {{image: i, {resources}}}}}");
    let key = Key::Revision(uid(), number);
    fleet.put_text(key.clone(), &text);
    assert!(fleet.object(&key).is_some(), "{text}");
}

pub(crate) fn task(slot: u32, revision: u64) -> Task {
    Task {
        attempts: Vec::new(),
        created: Timestamp::default(),
        uid: uid(),
        service: service(),
        slot: Slot::Number(slot),
        revision,
        desired: DesiredState::Running,
        cause: Cause::New,
        replaces: None,
        start_after: None,
        restarts: 0,
        streak: 0,
        generic: BTreeMap::new(),
    }
}

/// The key of run `run` of the slot on node `node`.
pub(crate) fn at(node: u64, slot: u32, run: i64) -> TaskRef {
    let name = TaskName::new(&"web".parse().unwrap(), &slot.to_string(), run);
    TaskRef { place: Place::Node(node_id(node)), stack: "shop".parse().unwrap(), name }
}

/// A task of revision 1 on node `node`.
pub(crate) fn add_task(fleet: &mut Fleet, node: u64, slot: u32) -> TaskRef {
    let key = at(node, slot, 1);
    fleet.put(Key::Task(key.clone()), task(slot, 1));
    key
}

pub(crate) fn observe(fleet: &mut Fleet, key: &TaskRef, state: TaskState) {
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
    fleet.put(Key::TaskStatus(key.clone()), status);
}

pub(crate) fn set_availability(fleet: &mut Fleet, number: u64, availability: Availability, drain: DrainMode) {
    fleet.put(Key::Node(node_id(number)), NodeSpec { availability, drain, ..spec(number) });
}

pub(crate) fn eviction(fleet: &Fleet, key: &TaskRef) -> Option<Eviction> {
    match fleet.object(&Key::Eviction(key.clone())) {
        Some(Object::Eviction(eviction)) => Some((**eviction).clone()),
        _ => None,
    }
}
