//! Where tasks go.

use skep_api::key::Key;
use skep_api::node::{Availability, NodeState};
use skep_api::task::{DesiredState, TaskState};
use skep_runtime::controller::World;

use crate::cluster::*;

#[test]
fn tasks_are_spread_evenly_over_equal_nodes() {
    let mut cluster = cluster();
    (1..=3).for_each(|number| add_node(&mut cluster, number, 1024));
    add_service(&mut cluster, "web", 0);
    add_tasks(&mut cluster, "web", 8);
    assert_eq!(cluster.settle().len(), 8);
    assert_eq!(spread(&cluster, "web", 1..=3), [3, 3, 2]);
}

#[test]
fn fewest_tasks_of_the_service_come_before_fewest_tasks_of_all() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 1024));
    add_service(&mut cluster, "web", 0);
    add_service(&mut cluster, "db", 0);
    on_node(&mut cluster, &pending("web", 1, 1), 2, task("web", 1));
    (1..=5).for_each(|slot| {
        on_node(&mut cluster, &pending("db", slot, 1), 1, task("db", slot));
    });
    wait_for_node(&mut cluster, &pending("web", 2, 1), task("web", 2));
    wait_for_node(&mut cluster, &pending("db", 6, 1), task("db", 6));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [1, 1]);
    assert_eq!(spread(&cluster, "db", 1..=2), [5, 1]);
}

#[test]
fn of_nodes_without_the_service_the_emptiest_comes_first() {
    let mut cluster = cluster();
    (1..=3).for_each(|number| add_node(&mut cluster, number, 1024));
    add_service(&mut cluster, "web", 0);
    add_service(&mut cluster, "db", 0);
    for (slot, node) in [(1, 1), (2, 1), (3, 2)] {
        on_node(&mut cluster, &pending("db", slot, 1), node, task("db", slot));
    }
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(3)]);
}

#[test]
fn tasks_that_the_plan_has_placed_count_for_those_that_come_after() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 1024));
    add_service(&mut cluster, "web", 0);
    for (slot, node) in [(1, 1), (2, 1), (3, 2)] {
        on_node(&mut cluster, &pending("web", slot, 1), node, task("web", slot));
    }
    for slot in 4..=5 {
        wait_for_node(&mut cluster, &pending("web", slot, 1), task("web", slot));
    }
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [3, 2], "the first evens it out, the second has the choice");
}

#[test]
fn a_task_that_was_told_to_stop_counts_no_more_but_holds_what_it_holds() {
    // Swarm 12.16: what a task holds is set free when it has ended, not when it is told to stop.
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
    add_service(&mut cluster, "web", 60);
    let stopping = TaskStop { name: "web", slot: 1, node: 1 }.add(&mut cluster);
    add_service(&mut cluster, "db", 0);
    add_tasks(&mut cluster, "db", 1);
    wait_for_node(&mut cluster, &pending("web", 2, 1), task("web", 2));
    wait_for_node(&mut cluster, &pending("web", 3, 1), task("web", 3));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "db"), [Some(1)], "node 1 counts no active task");
    assert_eq!(spread(&cluster, "web", 1..=2), [1, 1], "60 of 100 MiB are still held on node 1");
    observe(&mut cluster, &stopping, TaskState::Shutdown);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [2, 1]);
}

struct TaskStop {
    name: &'static str,
    slot: u32,
    node: u64,
}

impl TaskStop {
    fn add(&self, cluster: &mut Cluster) -> skep_api::key::TaskRef {
        let mut task = task(self.name, self.slot);
        task.desired = DesiredState::Shutdown;
        let key = on_node(cluster, &pending(self.name, self.slot, 1), self.node, task);
        observe(cluster, &key, TaskState::Running);
        key
    }
}

#[test]
fn two_services_that_fit_only_one_nodes_memory_between_them_are_never_both_placed() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    for name in ["one", "two"] {
        add_service(&mut cluster, name, 60);
        add_tasks(&mut cluster, name, 1);
    }
    cluster.settle();
    let placed = nodes_of(&cluster, "one").into_iter().chain(nodes_of(&cluster, "two")).flatten().count();
    assert_eq!(placed, 1);
}

#[test]
fn a_task_that_reserves_nothing_fits_even_where_too_much_is_given_away() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "large", 120);
    on_node(&mut cluster, &pending("large", 1, 1), 1, task("large", 1));
    for (name, memory, place) in [("none", 0, Some(1)), ("some", 1, None)] {
        add_service(&mut cluster, name, memory);
        add_tasks(&mut cluster, name, 1);
        cluster.settle();
        assert_eq!(nodes_of(&cluster, name), [place]);
    }
}

#[test]
fn two_services_that_want_the_same_host_port_never_share_a_node() {
    let mut cluster = cluster();
    (1..=2).for_each(|number| add_node(&mut cluster, number, 100));
    for name in ["one", "two", "three"] {
        add_revision(&mut cluster, name, 1, "", ", hostPorts: [{target: 80, published: 8080, mode: host}]");
        add_tasks(&mut cluster, name, 1);
    }
    cluster.settle();
    let mut nodes: Vec<_> =
        ["one", "two", "three"].iter().flat_map(|name| nodes_of(&cluster, name)).collect();
    nodes.sort();
    assert_eq!(nodes, [None, Some(1), Some(2)]);
}

#[test]
fn ports_of_another_protocol_and_automatic_ports_do_not_collide() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    for (name, port) in
        [("tcp", "published: 53"), ("udp", "published: 53, protocol: udp"), ("any", "published: 0")]
    {
        add_revision(
            &mut cluster,
            name,
            1,
            "",
            &format!(", hostPorts: [{{target: 53, {port}, mode: host}}]"),
        );
        add_tasks(&mut cluster, name, if name == "any" { 3 } else { 1 });
    }
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "tcp"), [Some(1)]);
    assert_eq!(nodes_of(&cluster, "udp"), [Some(1)]);
    assert_eq!(nodes_of(&cluster, "any"), [Some(1); 3]);
}

#[test]
fn no_task_goes_to_a_node_that_is_not_ready_and_active() {
    let mut cluster = cluster();
    (1..=6).for_each(|number| add_node(&mut cluster, number, 100));
    cluster.put(
        Key::Node(node_id(1)),
        skep_api::node::NodeSpec { availability: Availability::Pause, ..node_spec(1) },
    );
    cluster.put(
        Key::Node(node_id(2)),
        skep_api::node::NodeSpec { availability: Availability::Drain, ..node_spec(2) },
    );
    set_state(&mut cluster, 3, NodeState::Unreachable);
    cluster.delete(Key::NodeSession(node_id(4)));
    cluster.put_text(Key::Node(node_id(5)), "garbage: [");
    cluster.delete(Key::Node(node_id(6)));
    add_service(&mut cluster, "web", 0);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
    set_state(&mut cluster, 3, NodeState::Ready);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(3)]);
}

#[test]
fn constraints_platforms_and_the_limit_per_node_hold() {
    let mut cluster = cluster();
    add_node_with(&mut cluster, 1, 100, labelled(1, "zone", "a"));
    add_node_with(&mut cluster, 2, 100, labelled(2, "zone", "b"));
    let cases = [
        ("zoned", "constraints: [node.labels.zone == b]", [0, 3]),
        ("other", "constraints: [node.labels.zone != b, node.role == worker]", [3, 0]),
        ("arm", "platforms: [{architecture: arm64}]", [0, 0]),
        (
            "amd",
            "platforms: [{os: linux, architecture: amd64}, {architecture: arm64}], maxReplicasPerNode: 1",
            [1, 1],
        ),
    ];
    for (name, placement, expected) in cases {
        add_service(&mut cluster, name, 0);
        set_placement(&mut cluster, name, placement);
        add_tasks(&mut cluster, name, 3);
        cluster.settle();
        assert_eq!(spread(&cluster, name, 1..=2), expected, "{name}");
    }
}

#[test]
fn a_task_that_is_to_stop_before_it_was_placed_is_left_alone() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "web", 0);
    wait_for_node(
        &mut cluster,
        &pending("web", 1, 1),
        skep_api::task::Task { desired: DesiredState::Shutdown, ..task("web", 1) },
    );
    assert_eq!(cluster.world.all(), [skep_scheduler::Subject::Placed(node_id(1))]);
    assert_eq!(cluster.settle(), []);
}

#[test]
fn a_task_on_a_node_counts_although_its_revision_comes_later() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    add_service(&mut cluster, "db", 60);
    add_service(&mut cluster, "web", 60);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
}

#[test]
fn a_task_that_does_not_decode_keeps_what_it_held() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "web", 60);
    let placed = on_node(&mut cluster, &pending("web", 1, 1), 1, task("web", 1));
    observe(&mut cluster, &placed, TaskState::Running);
    cluster.put_text(Key::Task(placed.clone()), "garbage: [");
    wait_for_node(&mut cluster, &pending("web", 2, 1), task("web", 2));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
    cluster.delete(Key::Task(placed));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(1)]);
}

#[test]
fn what_a_task_holds_does_not_depend_on_what_becomes_of_its_revision() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "db", 60);
    let placed = on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    cluster.put_text(Key::Revision(uid("db"), 1), "garbage: [");
    observe(&mut cluster, &placed, TaskState::Preparing);
    cluster.delete(Key::Revision(uid("db"), 1));
    observe(&mut cluster, &placed, TaskState::Running);
    add_service(&mut cluster, "web", 60);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
}

#[test]
fn what_a_service_asks_of_nodes_is_what_its_spec_says_now_and_not_what_it_said_when_the_revision_was_made() {
    // Swarm 12.9.
    let mut cluster = cluster();
    add_node_with(&mut cluster, 1, 100, labelled(1, "zone", "a"));
    add_revision(&mut cluster, "web", 1, "", ", placement: {constraints: [node.labels.zone == b]}");
    add_tasks(&mut cluster, "web", 1);
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == c]");
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == a]");
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(1)]);
}

#[test]
fn nothing_is_placed_of_a_service_whose_spec_is_damaged_or_gone() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_service(&mut cluster, "web", 0);
    add_tasks(&mut cluster, "web", 1);
    cluster.put_text(Key::Service(service("web")), "garbage: [");
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
    let error = status_of(&cluster, &pending("web", 1, 1)).unwrap().error.unwrap();
    assert!(error.starts_with("the service's spec: "), "{error}");
    set_spec(&mut cluster, "web", "");
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(1)]);
    wait_for_node(&mut cluster, &pending("web", 2, 1), task("web", 2));
    cluster.delete(Key::Service(service("web")));
    assert_eq!(cluster.settle(), [], "its tasks are about to go");
}
