//! Which groups an event touches.

use std::sync::Arc;

use skep_api::key::Key;
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::task::TaskState;
use skep_runtime::controller::World;
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{Group, SchedulerWorld, Subject};

use crate::cluster::*;

/// A world with a node, a placed task of `db`, and a waiting task of `web`.
fn small_cluster() -> Cluster {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 200);
    add_service(&mut cluster, "db", 60);
    add_service(&mut cluster, "web", 60);
    let placed = on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    observe(&mut cluster, &placed, TaskState::Running);
    add_tasks(&mut cluster, "web", 1);
    cluster
}

fn apply(world: &mut SchedulerWorld, key: &Key, object: Option<Object>) -> Vec<Subject> {
    let stamp = Stamp { created: 900, modified: 900 };
    world.apply(key, object.map(|object| Entry { value: Ok(object), stamp }).as_ref())
}

#[test]
fn what_sets_something_free_touches_those_who_wait_and_the_same_again_touches_nobody() {
    let mut cluster = small_cluster();
    let waiting = vec![Subject::Waiting(Group::of(&task("web", 1)))];
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
fn a_node_that_opens_and_a_task_that_vanishes_touch_those_who_fit_and_a_node_that_closes_nobody() {
    let mut cluster = small_cluster();
    let waiting = vec![Subject::Waiting(Group::of(&task("web", 1)))];
    let mut turns = |state| {
        let status = skep_api::node::NodeStatus { state, ..Default::default() };
        apply(&mut cluster.world, &Key::NodeStatus(node_id(1)), Some(status.into()))
    };
    assert_eq!(turns(NodeState::Down), []);
    assert_eq!(turns(NodeState::Ready), waiting);
    assert_eq!(turns(NodeState::Ready), [], "a status is written for what people see in it");
    let placed = pending("db", 1, 1).at(skep_api::key::Place::Node(node_id(1)));
    assert_eq!(apply(&mut cluster.world, &Key::Task(placed), None), waiting);
}

/// Every group that had ever waited was planned, over all nodes, every few seconds for ever.
#[test]
fn a_group_of_which_nobody_waits_any_more_is_not_looked_at_again() {
    let mut cluster = small_cluster();
    cluster.settle();
    let plan = cluster.plan(&Subject::Waiting(Group::of(&task("web", 1))));
    assert_eq!((plan.changes.len(), plan.again), (0, None));
}

#[test]
fn what_people_are_told_of_a_task_that_waits_is_looked_at_again() {
    let mut cluster = small_cluster();
    add_tasks(&mut cluster, "web", 9);
    cluster.settle();
    let plan = cluster.plan(&Subject::Waiting(Group::of(&task("web", 1))));
    assert!(plan.changes.is_empty() && plan.again.is_some_and(|again| again > cluster.now), "{plan:?}");
}

#[test]
fn a_task_that_takes_something_touches_nobody_else() {
    let mut cluster = small_cluster();
    let new = pending("db", 2, 1).at(skep_api::key::Place::Node(node_id(1)));
    assert_eq!(apply(&mut cluster.world, &Key::Task(new), Some(task("db", 2).into())), []);
    let waiting = Some(task("db", 3).into());
    assert_eq!(
        apply(&mut cluster.world, &Key::Task(pending("db", 3, 1)), waiting),
        [Subject::Waiting(Group::of(&task("db", 3)))]
    );
}

#[test]
fn a_group_whose_last_task_was_placed_is_not_planned_again() {
    let mut cluster = small_cluster();
    assert_eq!(apply(&mut cluster.world, &Key::Task(pending("web", 1, 1)), None), []);
}

#[test]
fn an_edit_of_a_service_touches_its_groups_and_its_nodes_and_nobody_elses() {
    let mut cluster = small_cluster();
    add_node(&mut cluster, 2, 200);
    on_node(&mut cluster, &pending("web", 9, 1), 2, task("web", 9));
    let specs =
        ["web", "db", "few"].map(|name| cluster.object(&Key::Service(service(name))).cloned().unwrap());
    // The stamp says that these are the same services, written again.
    let created = |position: i64| Stamp { created: 101 + position, modified: 900 };
    let mut edit = |name, spec: &Object, position| {
        let entry = Entry { value: Ok(spec.clone()), stamp: created(position) };
        cluster.world.apply(&Key::Service(service(name)), Some(&entry))
    };
    let web = Subject::Waiting(Group::of(&task("web", 1)));
    assert_eq!(edit("web", &specs[0], 0), [web, Subject::Placed(node_id(2))]);
    assert_eq!(edit("db", &specs[1], 1), [Subject::Placed(node_id(1))]);
    assert_eq!(edit("few", &specs[2], 20), []);
}

#[test]
fn a_change_of_one_machine_touches_its_own_tasks_and_no_others() {
    let mut cluster = small_cluster();
    add_node(&mut cluster, 2, 200);
    let waiting = Subject::Waiting(Group::of(&task("web", 1)));
    let spec = labelled(2, "zone", "a");
    assert_eq!(
        apply(&mut cluster.world, &Key::Node(node_id(2)), Some(spec.into())),
        [waiting, Subject::Placed(node_id(2))]
    );
}
