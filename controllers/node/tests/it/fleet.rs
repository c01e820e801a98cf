//! Builds fleets for the tests, and lets time pass.

use std::collections::BTreeMap;

use skep_api::condition::{self, Condition};
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{Availability, NodeReport, NodeSpec, NodeState, NodeStatus, Role, Session};
use skep_api::object::Object;
use skep_api::time::{Span, Timestamp};
use skep_node::NodeController;
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
