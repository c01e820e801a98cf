//! Global services (Swarm 3.2): a task on every node that fits, and none elsewhere.

use skep_api::key::{Key, Place};
use skep_api::node::{Allocated, Availability, NodeState, NodeStatus};
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_api::time::Timestamp;
use skep_runtime::services::Subject;

use crate::shop::{STEADY, Shop, node, web};
use crate::watcher::Watcher;

fn global() -> Shop {
    let mut shop =
        Shop::with(&[("mode", "global"), ("placement", "{constraints: ['node.labels.zone != b']}")]);
    shop.come_to_rest();
    shop
}

/// The nodes on which it runs.
fn homes(shop: &Shop) -> Vec<u64> {
    let serves = |number: &u64| {
        let home = Place::Node(node(*number));
        shop.tasks().iter().any(|seen| seen.is_serving() && seen.at.place == home)
    };
    [1, 2, 3, STEADY].into_iter().filter(serves).collect()
}

/// Swarm 12.24, 12.9: each of these adds or removes a task without an edit of the service.
#[test]
fn nodes_that_join_are_relabelled_drained_lost_and_removed_get_and_lose_their_task() {
    let mut shop = global();
    assert_eq!(homes(&shop), [1, 2, STEADY]);
    shop.node_is(3, NodeState::Ready).come_to_rest();
    assert_eq!(homes(&shop), [1, 2, 3, STEADY], "a node joins");
    shop.node_wants(3, Availability::Active, "b").come_to_rest();
    assert_eq!(homes(&shop), [1, 2, STEADY], "its label no longer fits");
    assert_eq!(shop.newest_on(3).unwrap().task.desired, DesiredState::Shutdown, "its history is kept");
    shop.node_wants(3, Availability::Active, "c").come_to_rest();
    assert_eq!(homes(&shop), [1, 2, 3, STEADY], "its label fits again");
    shop.node_wants(2, Availability::Drain, "a").come_to_rest();
    assert_eq!(homes(&shop), [1, 3, STEADY], "a node is drained");
    shop.node_wants(2, Availability::Active, "a").come_to_rest();
    assert_eq!(homes(&shop), [1, 2, 3, STEADY], "and comes back");
    shop.node_is(1, NodeState::Down).come_to_rest();
    assert_eq!(homes(&shop), [2, 3, STEADY]);
    assert_eq!((shop.newest_on(1).unwrap().task.desired, shop.status().desired), (DesiredState::Shutdown, 3));
    shop.node_is(1, NodeState::Ready).come_to_rest();
    assert_eq!(homes(&shop), [1, 2, 3, STEADY], "a node comes back");
    shop.node_is_removed(1).come_to_rest();
    assert_eq!(homes(&shop), [2, 3, STEADY]);
    assert!(shop.newest_on(1).is_none(), "nothing is left of a node that was removed");
}

/// Swarm 12.9.
#[test]
fn a_change_of_placement_alone_adds_and_removes_tasks_and_leaves_the_others_alone() {
    let mut shop = global();
    shop.node_wants(2, Availability::Active, "c").come_to_rest();
    let names: Vec<_> = [1, STEADY].map(|number| shop.newest_on(number).unwrap().at.name).into();
    shop.edit("placement", "{constraints: ['node.labels.zone != c']}").come_to_rest();
    assert_eq!(homes(&shop), [1, STEADY]);
    shop.edit("placement", "{}").come_to_rest();
    assert_eq!(homes(&shop), [1, 2, STEADY]);
    let same: Vec<_> = [1, STEADY].map(|number| shop.newest_on(number).unwrap().at.name).into();
    assert_eq!(names, same);
}

/// Swarm 12.24: pause is freeze.
#[test]
fn on_a_paused_node_nothing_is_added_updated_restarted_or_stopped() {
    let mut shop = global();
    shop.node_wants(1, Availability::Pause, "a").node_is(3, NodeState::Ready);
    shop.node_wants(3, Availability::Pause, "a").come_to_rest();
    let old = shop.newest_on(1).unwrap();
    assert!(shop.newest_on(3).is_none(), "nothing is added");
    shop.roll(|rollout| (rollout.stable, rollout.target) = (Some(1), 2)).come_to_rest();
    assert_eq!(shop.newest_on(1).unwrap().at, old.at, "nothing is updated");
    assert_eq!(shop.newest_on(2).unwrap().task.revision, 2);
    shop.node_wants(1, Availability::Pause, "b").come_to_rest();
    assert!(shop.by_name(&old.at.name).unwrap().is_serving(), "nothing is stopped");
    shop.say(&old, TaskState::Failed).come_to_rest_in_time();
    assert_eq!(shop.newest_on(1).unwrap().at, old.at, "nothing is restarted");
    shop.node_wants(1, Availability::Active, "a").come_to_rest_in_time();
    assert!(shop.newest_on(1).unwrap().is_serving());
}

/// Swarm 12.20.
#[test]
fn a_node_that_is_unreachable_or_unknown_moves_nothing() {
    let mut shop = global();
    let before = shop.tasks();
    for state in [NodeState::Unreachable, NodeState::Unknown] {
        shop.node_is(1, state).come_to_rest();
        assert_eq!(shop.tasks().len(), before.len());
        assert!(shop.newest_on(1).unwrap().is_serving());
    }
}

#[test]
fn a_global_task_that_has_to_leave_is_stopped_and_goes_nowhere_else() {
    let mut shop = global();
    let old = shop.newest_on(1).unwrap();
    shop.evict(&old, false).node_wants(1, Availability::Drain, "a").come_to_rest();
    assert_eq!(homes(&shop), [2, STEADY]);
    assert_eq!(shop.newest_on(1).unwrap().at, old.at);
}

#[test]
fn a_task_that_failed_is_followed_on_its_own_node() {
    let mut shop = global();
    let old = shop.newest_on(1).unwrap();
    shop.say(&old, TaskState::Failed).come_to_rest_in_time();
    let new = shop.newest_on(1).unwrap();
    assert!(new.is_serving() && new.task.restarts == 1);
    assert_eq!(new.at.place, old.at.place);
    shop.node_is(1, NodeState::Down).come_to_rest();
    shop.node_is(1, NodeState::Ready).come_to_rest_in_time();
    let back = shop.newest_on(1).unwrap();
    assert!(back.is_serving() && back.at.name != new.at.name);
    assert_eq!(back.task.restarts, 1, "a node that was away neither uses attempts up nor gives them back");
}

#[test]
fn only_what_a_node_decides_by_wakes_global_services() {
    let mut shop = global();
    let mut watcher = Watcher::new();
    watcher.woken(&shop);
    let Some(Object::NodeStatus(status)) = shop.scene.object(&Key::NodeStatus(node(1))) else { panic!() };
    let counted = NodeStatus {
        allocated: Allocated { tasks: 5, ..Allocated::default() },
        counted: Some(Timestamp::from_millis(5)),
        ..(**status).clone()
    };
    shop.scene.put(Key::NodeStatus(node(1)), counted);
    assert_eq!(watcher.woken(&shop), [].into(), "the node controller has counted");
    shop.node_wants(1, Availability::Active, "d");
    assert_eq!(watcher.woken(&shop), [Subject::Service(web())].into(), "a label");
}
