//! Tasks that belong to a node: those of global services and global jobs.

use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec, NodeState};
use skep_api::task::{DesiredState, Task};

use crate::cluster::*;

/// A task of `globe` for each of the nodes `1..=count`.
fn add_one_each(cluster: &mut Cluster, count: u64) {
    for node in 1..=count {
        let name = pending("globe", u32::try_from(node).unwrap(), 1);
        wait_for_node(cluster, &name, task_of_node("globe", node));
    }
}

#[test]
fn each_goes_to_its_own_node_however_full_the_others_or_it_are() {
    // Swarm 12.24: pre-assigned tasks skip spreading.
    let mut cluster = cluster();
    (1..=3).for_each(|number| add_node(&mut cluster, number, 100));
    add_service(&mut cluster, "web", 0);
    for slot in 1..=4 {
        on_node(&mut cluster, &pending("web", slot, 1), 2, task("web", slot));
    }
    add_service(&mut cluster, "globe", 10);
    add_one_each(&mut cluster, 3);
    cluster.settle();
    assert_eq!(spread(&cluster, "globe", 1..=3), [1, 1, 1]);
    let job = Task { desired: DesiredState::Complete, ..task_of_node("globe", 2) };
    wait_for_node(&mut cluster, &pending("globe", 9, 1), job);
    cluster.settle();
    assert_eq!(spread(&cluster, "globe", 1..=3), [1, 2, 1], "and so does one of a job");
}

#[test]
fn it_passes_the_same_filters_and_is_told_what_its_own_node_lacks() {
    // Swarm 12.24: they must still pass the filters; Swarm 4.2: the explanation comes without "no suitable node".
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 8);
    add_node_with(&mut cluster, 2, 100, NodeSpec { availability: Availability::Pause, ..node_spec(2) });
    add_node(&mut cluster, 3, 100);
    add_node_with(&mut cluster, 4, 100, labelled(4, "zone", "a"));
    add_node(&mut cluster, 5, 100);
    add_service(&mut cluster, "globe", 10);
    set_placement(&mut cluster, "globe", "constraints: [node.labels.zone != a], maxReplicasPerNode: 1");
    on_node(&mut cluster, &pending("globe", 9, 1), 5, task_of_node("globe", 5));
    add_one_each(&mut cluster, 5);
    cluster.settle();
    assert_eq!(spread(&cluster, "globe", 1..=5), [0, 0, 1, 0, 1]);
    for (node, error, detail) in [
        (1, "insufficient resources on 1 node", "n1 needs 2Mi more memory"),
        (2, "1 node not available for new tasks", "n2 is paused"),
        (4, "scheduling constraints not satisfied on 1 node", "n4 does not meet node.labels.zone != a"),
        (5, "max replicas per node limit exceed", "n5 has 1 task of the service already"),
    ] {
        let status = status_of(&cluster, &pending("globe", node, 1)).unwrap();
        assert_eq!(status.error.as_deref(), Some(error));
        assert_eq!((status.obstacles.len(), status.obstacles[0].nodes), (1, 1), "only its own node counts");
        assert_eq!(status.obstacles[0].detail, detail);
    }
    set_report(&mut cluster, 1, 10, "x86_64");
    cluster.settle();
    assert_eq!(spread(&cluster, "globe", 1..=5), [1, 0, 1, 0, 1]);
}

#[test]
fn one_whose_node_was_removed_is_left_alone() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
    add_service(&mut cluster, "globe", 10);
    cluster.delete(Key::Node(node_id(1)));
    wait_for_node(&mut cluster, &pending("globe", 1, 1), task_of_node("globe", 1));
    wait_for_node(&mut cluster, &pending("globe", 7, 1), task_of_node("globe", 7));
    assert_eq!(cluster.settle(), []);
}

#[test]
fn it_is_staged_beside_the_one_that_it_replaces() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
    add_service(&mut cluster, "globe", 60);
    let old = on_node(&mut cluster, &pending("globe", 1, 1), 1, task_of_node("globe", 1));
    let new = Task { desired: DesiredState::Ready, replaces: Some(old.name), ..task_of_node("globe", 1) };
    wait_for_node(&mut cluster, &pending("globe", 1, 2), new);
    cluster.settle();
    assert_eq!(spread(&cluster, "globe", 1..=2), [2, 0]);
}

#[test]
fn it_waits_while_its_node_is_away_and_goes_there_when_that_is_back() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
    set_state(&mut cluster, 1, NodeState::Unreachable);
    add_service(&mut cluster, "globe", 60);
    wait_for_node(&mut cluster, &pending("globe", 1, 1), task_of_node("globe", 1));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "globe"), [None]);
    set_state(&mut cluster, 1, NodeState::Ready);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "globe"), [Some(1)]);
}
