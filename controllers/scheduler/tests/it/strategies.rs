//! Which of the nodes that fit comes first: levels, strategies, and nodes on which tasks fail.

use skep_api::cluster::{ClusterPlacement, ClusterSpec};
use skep_api::key::Key;
use skep_api::service::Strategy;
use skep_api::task::{Cause, Task, TaskState};
use skep_api::time::{Span, Timestamp};

use crate::cluster::*;

/// Nodes 1 to 6: three in zone a, two in b, one without a zone; racks r1 and r2 in turn.
fn zones() -> Cluster {
    let mut cluster = cluster();
    for (number, zone) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "")] {
        let mut spec = node_spec(number);
        if !zone.is_empty() {
            spec.labels.insert("zone".to_owned(), zone.to_owned());
        }
        spec.labels.insert("rack".to_owned(), format!("r{}", number % 2));
        add_node_with(&mut cluster, number, 100, spec);
    }
    cluster
}

/// Swarm 4.4: equal shares for the values of a label, whatever the number of nodes; nodes without it are a branch.
#[test]
fn tasks_are_spread_in_equal_shares_over_the_values_of_a_label_and_a_missing_label_is_one_of_them() {
    let mut cluster = zones();
    add_service(&mut cluster, "web", 1);
    set_placement(&mut cluster, "web", "spread: [node.labels.zone]");
    add_tasks(&mut cluster, "web", 12);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=6), [2, 1, 1, 2, 2, 4]);
}

/// Swarm 4.4: within a branch the next level decides.
#[test]
fn levels_are_nested() {
    let mut cluster = zones();
    add_service(&mut cluster, "web", 1);
    set_placement(&mut cluster, "web", "spread: [node.labels.zone, node.labels.rack]");
    add_tasks(&mut cluster, "web", 12);
    cluster.settle();
    // Zone a has 4: 2 for rack 1 (nodes 1 and 3), 2 for rack 0 (node 2).
    assert_eq!(spread(&cluster, "web", 1..=6), [1, 2, 1, 2, 2, 4]);
}

/// Swarm 4.4: a branch that is full leaves its share to the others.
#[test]
fn what_a_full_branch_cannot_take_overflows_to_the_others() {
    let mut cluster = zones();
    add_service(&mut cluster, "web", 40);
    set_placement(&mut cluster, "web", "spread: [node.labels.zone]");
    add_tasks(&mut cluster, "web", 10);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=6), [2, 1, 1, 2, 2, 2]);
    assert_eq!(tasks(&cluster).iter().filter(|(key, _)| key.place.node().is_none()).count(), 0);
}

/// Swarm 4.4: tasks that are there count.
#[test]
fn a_zone_that_has_tasks_already_gets_fewer() {
    let mut cluster = zones();
    add_service(&mut cluster, "web", 1);
    set_placement(&mut cluster, "web", "spread: [node.labels.zone]");
    for slot in 1..=3 {
        on_node(&mut cluster, &pending("web", slot, 1), 1, task("web", slot));
    }
    for slot in 4..=9 {
        wait_for_node(&mut cluster, &pending("web", slot, 1), task("web", slot));
    }
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=6), [3, 0, 0, 2, 1, 3]);
}

#[test]
fn services_of_one_task_do_not_all_go_to_the_first_zone() {
    let mut cluster = zones();
    for name in ["web", "db", "one"] {
        add_service(&mut cluster, name, 1);
        set_placement(&mut cluster, name, "spread: [node.labels.zone]");
        add_tasks(&mut cluster, name, 1);
    }
    cluster.settle();
    let mut places = ["web", "db", "one"].map(|name| nodes_of(&cluster, name)[0]);
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[0] != pair[1]), "{places:?}");
}

#[test]
fn binpack_fills_one_node_before_it_begins_the_next() {
    let mut cluster = cluster();
    (1..=4).for_each(|number| add_node(&mut cluster, number, 100));
    add_service(&mut cluster, "web", 30);
    set_placement(&mut cluster, "web", "strategy: binpack");
    add_service(&mut cluster, "db", 20);
    on_node(&mut cluster, &pending("db", 1, 1), 2, task("db", 1));
    add_tasks(&mut cluster, "web", 6);
    cluster.settle();
    let mut counts = spread(&cluster, "web", 1..=4);
    assert_eq!(counts[1], 2, "the fullest comes first: {counts:?}");
    counts.sort_unstable();
    assert_eq!(counts, [0, 1, 2, 3]);
}

#[test]
fn the_cluster_says_the_strategy_of_services_that_name_none() {
    let mut cluster = cluster();
    (1..=3).for_each(|number| add_node(&mut cluster, number, 100));
    let placement = ClusterPlacement { strategy: Strategy::Binpack, ..ClusterPlacement::default() };
    cluster.put(Key::Cluster, ClusterSpec { placement });
    for name in ["web", "db"] {
        add_service(&mut cluster, name, 10);
    }
    set_placement(&mut cluster, "db", "strategy: spread");
    add_tasks(&mut cluster, "web", 3);
    cluster.settle();
    add_tasks(&mut cluster, "db", 3);
    cluster.settle();
    let mut packed = spread(&cluster, "web", 1..=3);
    packed.sort_unstable();
    assert_eq!(packed, [0, 0, 3]);
    assert_eq!(spread(&cluster, "db", 1..=3), [1, 1, 1]);
}

#[test]
fn a_draw_is_the_same_each_time_it_is_made_and_favours_no_node() {
    let draw = |from: i64| {
        let mut cluster = cluster();
        (1..=5).for_each(|number| add_node(&mut cluster, number, 1024));
        add_service(&mut cluster, "web", 1);
        set_placement(&mut cluster, "web", "strategy: random");
        for slot in 1..=100 {
            wait_for_node(&mut cluster, &pending("web", slot, from), task("web", slot));
        }
        cluster.settle();
        spread(&cluster, "web", 1..=5)
    };
    let counts = draw(1);
    assert_eq!(counts, draw(1));
    assert!(counts.iter().all(|count| (8..=35).contains(count)), "{counts:?}");
    assert!(counts.iter().any(|count| *count != 20), "that is not drawn: {counts:?}");
}

#[test]
fn where_reservations_are_used_the_least_reserved_node_comes_before_the_one_with_the_fewest_tasks() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_node(&mut cluster, 2, 1000);
    add_service(&mut cluster, "db", 50);
    add_service(&mut cluster, "free", 0);
    add_service(&mut cluster, "web", 10);
    on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    for slot in 1..=3 {
        on_node(&mut cluster, &pending("free", slot, 1), 2, task("free", slot));
    }
    add_tasks(&mut cluster, "web", 1);
    add_tasks(&mut cluster, "few", 0);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(2)]);
}

/// `count` tasks of `web` that failed on node `node`, each replaced at `when`.
fn failures(cluster: &mut Cluster, node: u64, count: u32, when: Timestamp) {
    for slot in 1..=count {
        let slot = slot + 10 * u32::try_from(node).unwrap();
        let failed = on_node(cluster, &pending("web", slot, 1), node, task("web", slot));
        observe(cluster, &failed, TaskState::Failed);
        let successor = Task {
            cause: Cause::Restart,
            replaces: Some(failed.name.clone()),
            created: when,
            ..task("web", slot)
        };
        let successor = on_node(cluster, &pending("web", slot, 2), 3, successor);
        observe(cluster, &successor, TaskState::Failed);
    }
}

/// Swarm 12.18: five failures in five minutes make a node the last choice for that revision.
#[test]
fn a_node_on_which_tasks_of_the_revision_fail_is_avoided_for_five_minutes() {
    let placed_on = |count, age| {
        let mut cluster = cluster();
        (1..=3).for_each(|number| add_node(&mut cluster, number, 1024));
        set_state(&mut cluster, 3, skep_api::node::NodeState::Down);
        add_service(&mut cluster, "web", 1);
        on_node(&mut cluster, &pending("web", 1, 1), 2, task("web", 1));
        let when = Timestamp::from_millis(cluster.now.as_millis() - i64::from(age) * 1000);
        failures(&mut cluster, 1, count, when);
        wait_for_node(&mut cluster, &pending("web", 2, 9), task("web", 2));
        cluster.settle();
        tasks(&cluster).iter().find(|(key, _)| key.name == pending("web", 2, 9).name).unwrap().0.place.clone()
    };
    let node = |number| skep_api::key::Place::Node(node_id(number));
    assert_eq!(placed_on(5, 299), node(2));
    assert_eq!(placed_on(4, 0), node(1), "four are not enough");
    assert_eq!(placed_on(5, 301), node(1), "it is long ago");
}

/// Swarm 12.18: if tasks fail everywhere, where they fail least; and another revision begins anew.
#[test]
fn of_nodes_that_are_all_avoided_the_one_with_fewer_failures_is_taken() {
    let mut cluster = cluster();
    (1..=3).for_each(|number| add_node(&mut cluster, number, 1024));
    set_state(&mut cluster, 3, skep_api::node::NodeState::Down);
    add_service(&mut cluster, "web", 1);
    let now = cluster.now;
    failures(&mut cluster, 1, 7, now);
    failures(&mut cluster, 2, 6, now);
    wait_for_node(&mut cluster, &pending("web", 2, 9), task("web", 2));
    add_revision(&mut cluster, "web", 2, "", "");
    wait_for_node(&mut cluster, &pending("web", 3, 9), Task { revision: 2, ..task("web", 3) });
    cluster.settle();
    let place = |slot| {
        let name = pending("web", slot, 9).name;
        tasks(&cluster).iter().find(|(key, _)| key.name == name).unwrap().0.place.node().cloned()
    };
    assert_eq!(place(2), Some(node_id(2)));
    assert_eq!(place(3), Some(node_id(1)), "the faults of revision 1 say nothing of revision 2");
    cluster.now = cluster.now.after(Span::from_secs(1));
}
