//! Which groups an event touches.

use std::sync::Arc;

use skep_api::key::Key;
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::task::TaskState;
use skep_runtime::controller::World;
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{Group, SchedulerWorld};

use crate::cluster::*;

/// A world with a node, a placed task of `db`, and a waiting task of `web`.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "db", 60);
    add_service(&mut cluster, "web", 60);
    let placed = on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    observe(&mut cluster, &placed, TaskState::Running);
    add_tasks(&mut cluster, "web", 1);
    cluster
}

fn apply(world: &mut SchedulerWorld, key: &Key, object: Option<Object>) -> Vec<Group> {
    let stamp = Stamp { created: 900, modified: 900 };
    world.apply(key, object.map(|object| Entry { value: Ok(object), stamp }).as_ref())
}

#[test]
fn what_sets_something_free_touches_those_who_wait_and_the_same_again_touches_nobody() {
    let mut cluster = cluster();
    let waiting = vec![Group::of(&task("web", 1))];
    let placed = pending("db", 1, 1).at(skep_api::key::Place::Node(node_id(1)));
    observe(&mut cluster, &placed, TaskState::Running);
    let status = Key::TaskStatus(placed.clone());
    let mut ended = match cluster.object(&status) {
        Some(Object::TaskStatus(status)) => (**status).clone(),
        other => panic!("{other:?}"),
    };
    let running = Some(Object::TaskStatus(Arc::new(ended.clone())));
    assert_eq!(apply(&mut cluster.world, &status, running), []);
    ended.state = TaskState::Failed;
    let ended = Some(Object::TaskStatus(Arc::new(ended)));
    assert_eq!(apply(&mut cluster.world, &status, ended.clone()), waiting);
    assert_eq!(apply(&mut cluster.world, &status, ended), []);
    assert_eq!(apply(&mut cluster.world, &Key::Task(placed), None), [], "it held nothing any more");
}

#[test]
fn a_node_that_changes_and_a_task_that_vanishes_touch_those_who_wait() {
    let mut cluster = cluster();
    let waiting = vec![Group::of(&task("web", 1))];
    let status = skep_api::node::NodeStatus { state: NodeState::Down, ..Default::default() };
    assert_eq!(apply(&mut cluster.world, &Key::NodeStatus(node_id(1)), Some(status.into())), waiting);
    let placed = pending("db", 1, 1).at(skep_api::key::Place::Node(node_id(1)));
    assert_eq!(apply(&mut cluster.world, &Key::Task(placed), None), waiting);
}

#[test]
fn a_task_that_takes_something_touches_nobody_else() {
    let mut cluster = cluster();
    let new = pending("db", 2, 1).at(skep_api::key::Place::Node(node_id(1)));
    assert_eq!(apply(&mut cluster.world, &Key::Task(new), Some(task("db", 2).into())), []);
    let waiting = Some(task("db", 3).into());
    assert_eq!(
        apply(&mut cluster.world, &Key::Task(pending("db", 3, 1)), waiting),
        [Group::of(&task("db", 3))]
    );
}

#[test]
fn a_group_whose_last_task_was_placed_is_not_planned_again() {
    let mut cluster = cluster();
    assert_eq!(apply(&mut cluster.world, &Key::Task(pending("web", 1, 1)), None), []);
}
