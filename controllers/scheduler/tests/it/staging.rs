//! A staged task beside the one that it replaces.

use skep_api::key::{Key, Place, TaskRef};
use skep_api::task::{DesiredState, Task, TaskState};

use crate::cluster::*;

const FIXED_PORT: &str = ", hostPorts: [{target: 80, published: 80, mode: host}]";

/// One node of 100 MiB with a task that holds 60 MiB and port 80.
fn full_node() -> (Cluster, TaskRef) {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_revision(&mut cluster, "web", 1, &reserving(60), FIXED_PORT);
    let old = on_node(&mut cluster, &pending("web", 1, 1), 1, task("web", 1));
    observe(&mut cluster, &old, TaskState::Running);
    (cluster, old)
}

#[test]
fn beside_the_task_that_it_replaces_it_takes_only_what_exceeds_that_tasks_share() {
    for (memory, is_placed) in [(60, true), (20, true), (100, true), (101, false)] {
        let (mut cluster, old) = full_node();
        add_revision(&mut cluster, "web", 2, &reserving(memory), FIXED_PORT);
        let new = Task { revision: 2, ..staged("web", 1, &old) };
        wait_for_node(&mut cluster, &pending("web", 1, 2), new);
        cluster.settle();
        assert_eq!(spread(&cluster, "web", 1..=1), [1 + usize::from(is_placed)], "{memory} MiB");
    }
}

#[test]
fn a_task_that_runs_beside_the_one_that_it_replaces_takes_its_full_share() {
    let (mut cluster, old) = full_node();
    let started = Task { desired: DesiredState::Running, ..staged("web", 1, &old) };
    wait_for_node(&mut cluster, &pending("web", 1, 2), started);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=1), [1]);
}

#[test]
fn while_both_are_there_the_node_is_as_full_as_with_one() {
    let (mut cluster, old) = full_node();
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    for (name, memory) in [("small", 40), ("large", 41)] {
        add_service(&mut cluster, name, memory);
        add_tasks(&mut cluster, name, 1);
    }
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "small"), [Some(1)]);
    assert_eq!(nodes_of(&cluster, "large"), [None]);
}

#[test]
fn once_the_replaced_task_has_ended_the_new_one_holds_its_full_share() {
    let (mut cluster, old) = full_node();
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    observe(&mut cluster, &old, TaskState::Shutdown);
    for (name, memory) in [("one", 41), ("two", 40)] {
        add_service(&mut cluster, name, memory);
        add_tasks(&mut cluster, name, 1);
    }
    add_revision(&mut cluster, "port", 1, "", FIXED_PORT);
    add_tasks(&mut cluster, "port", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "one"), [None]);
    assert_eq!(nodes_of(&cluster, "two"), [Some(1)]);
    assert_eq!(nodes_of(&cluster, "port"), [None], "port 80 is the new one's now");
}

#[test]
fn elsewhere_it_takes_its_full_share_and_needs_the_port_free() {
    let (mut cluster, old) = full_node();
    add_node(&mut cluster, 2, 59);
    add_node(&mut cluster, 3, 60);
    add_revision(&mut cluster, "port", 1, "", FIXED_PORT);
    on_node(&mut cluster, &pending("port", 1, 1), 3, task("port", 1));
    add_service(&mut cluster, "big", 40);
    on_node(&mut cluster, &pending("big", 1, 1), 1, task("big", 1));
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=3), [2, 0, 0], "only the old one's own node has room for it");
}

#[test]
fn the_replaced_task_does_not_count_against_its_own_node() {
    let (mut cluster, old) = full_node();
    add_node(&mut cluster, 2, 100);
    on_node(&mut cluster, &pending("web", 2, 1), 2, task("web", 2));
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [2, 1]);
}

#[test]
fn an_update_moves_tasks_to_a_node_that_has_fewer() {
    let (mut cluster, old) = full_node();
    add_service(&mut cluster, "other", 0);
    on_node(&mut cluster, &pending("other", 1, 1), 1, task("other", 1));
    add_node(&mut cluster, 2, 100);
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [1, 1]);
}

#[test]
fn two_tasks_never_take_over_the_same_share() {
    let (mut cluster, old) = full_node();
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    wait_for_node(&mut cluster, &pending("web", 1, 3), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=1), [2]);
}

#[test]
fn a_staged_task_that_is_told_to_stop_before_it_started_takes_nothing_more_than_before() {
    let (mut cluster, old) = full_node();
    let new = staged("web", 1, &old);
    wait_for_node(&mut cluster, &pending("web", 1, 2), new.clone());
    cluster.settle();
    let placed = pending("web", 1, 2).at(Place::Node(node_id(1)));
    cluster.put(Key::Task(placed.clone()), Task { desired: DesiredState::Shutdown, ..new });
    observe(&mut cluster, &placed, TaskState::Preparing);
    add_service(&mut cluster, "more", 40);
    add_tasks(&mut cluster, "more", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "more"), [Some(1)]);
}

#[test]
fn a_task_that_was_started_beside_the_old_one_and_is_told_to_stop_still_takes_its_full_share() {
    let (mut cluster, old) = full_node();
    let new = Task { desired: DesiredState::Shutdown, ..staged("web", 1, &old) };
    let placed = on_node(&mut cluster, &pending("web", 1, 2), 1, new);
    observe(&mut cluster, &placed, TaskState::Running);
    add_service(&mut cluster, "more", 40);
    add_tasks(&mut cluster, "more", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "more"), [None]);
}

#[test]
fn a_task_that_is_itself_staged_has_no_share_to_pass_on() {
    let (mut cluster, old) = full_node();
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    let second = pending("web", 1, 2).at(Place::Node(node_id(1)));
    wait_for_node(&mut cluster, &pending("web", 1, 3), staged("web", 1, &second));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=1), [2]);
}

#[test]
fn of_equals_home_is_the_better_while_the_old_task_is_there() {
    for (state, expected) in [(TaskState::Running, [0, 2]), (TaskState::Failed, [1, 1])] {
        let mut cluster = cluster();
        (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
        add_service(&mut cluster, "web", 10);
        let old = on_node(&mut cluster, &pending("web", 1, 1), 2, task("web", 1));
        observe(&mut cluster, &old, state);
        wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
        cluster.settle();
        assert_eq!(spread(&cluster, "web", 1..=2), expected, "{state}");
    }
}

#[test]
fn what_is_missing_at_home_is_told_without_the_share_of_the_replaced_task() {
    let (mut cluster, old) = full_node();
    add_revision(&mut cluster, "web", 2, &reserving(110), FIXED_PORT);
    let key = pending("web", 1, 2);
    wait_for_node(&mut cluster, &key, Task { revision: 2, ..staged("web", 1, &old) });
    cluster.settle();
    let obstacles = status_of(&cluster, &key).unwrap().obstacles;
    assert_eq!(obstacles[0].detail, "n1 needs 10Mi more memory");
}

#[test]
fn a_staged_task_whose_predecessor_is_gone_is_placed_like_any_other() {
    let (mut cluster, old) = full_node();
    add_node(&mut cluster, 2, 100);
    cluster.delete(Key::TaskStatus(old.clone()));
    cluster.delete(Key::Task(old.clone()));
    add_service(&mut cluster, "other", 0);
    on_node(&mut cluster, &pending("other", 1, 1), 1, task("other", 1));
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(2)]);
}

#[test]
fn a_limit_per_node_that_was_lowered_holds_for_staged_tasks_too() {
    // As in Swarm, an update evens out what is too much; nothing moves by itself (1.4).
    let (mut cluster, old) = full_node();
    add_service(&mut cluster, "web", 10);
    on_node(&mut cluster, &pending("web", 2, 1), 1, task("web", 2));
    add_node(&mut cluster, 2, 100);
    set_placement(&mut cluster, "web", "maxReplicasPerNode: 1");
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [2, 1]);
    wait_for_node(&mut cluster, &pending("web", 2, 2), staged("web", 2, &pending("web", 2, 1)));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [2, 1], "the other one waits until there is room for it");
}
