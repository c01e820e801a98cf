//! What is said of tasks that wait.

use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec};
use skep_api::task::{Obstacle, TaskState, TaskStatus};
use skep_api::time::Span;

use crate::cluster::*;

fn obstacle(filter: &str, nodes: u32, detail: &str) -> Obstacle {
    Obstacle { filter: filter.to_owned(), nodes, detail: detail.to_owned(), near: Vec::new(), freed_by: None }
}

/// What is told of each filter, without the near misses.
fn brief(status: &TaskStatus) -> Vec<Obstacle> {
    status.obstacles.iter().map(|told| Obstacle { near: Vec::new(), ..told.clone() }).collect()
}

#[test]
fn without_nodes_no_node_is_suitable() {
    let mut cluster = cluster();
    add_service(&mut cluster, "web", 1);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    let status = status_of(&cluster, &pending("web", 1, 1)).unwrap();
    assert_eq!(status.error.as_deref(), Some("no suitable node"));
    assert_eq!((status.state, status.message.as_str()), (TaskState::Pending, "pending task scheduling"));
    assert_eq!(status.obstacles, []);
}

#[test]
fn each_filter_is_told_in_swarms_words_with_what_is_missing_where_least_is_missing() {
    let mut cluster = cluster();
    add_node_with(&mut cluster, 1, 100, NodeSpec { availability: Availability::Drain, ..node_spec(1) });
    add_node(&mut cluster, 2, 32);
    add_node(&mut cluster, 3, 8);
    add_node_with(&mut cluster, 4, 200, labelled(4, "zone", "c"));
    add_service(&mut cluster, "web", 128);
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == a]");
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    let status = status_of(&cluster, &pending("web", 1, 1)).unwrap();
    assert_eq!(
        status.error.as_deref(),
        Some(
            "no suitable node (insufficient resources on 2 nodes; 1 node not available for new tasks; \
             scheduling constraints not satisfied on 1 node)"
        )
    );
    assert_eq!(
        brief(&status),
        [
            obstacle("memory", 2, "n2 needs 96Mi more memory"),
            obstacle("availability", 1, "n1 is drained"),
            obstacle("constraint", 1, "n4 does not meet node.labels.zone == a"),
        ]
    );
}

#[test]
fn cpus_and_memory_are_one_filter_to_swarm_and_two_to_us() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_node(&mut cluster, 2, 200);
    let both = ", resources: {reservations: {cpus: \"4.5\", memory: 150Mi}}";
    add_revision(&mut cluster, "web", 1, both, "");
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    let status = status_of(&cluster, &pending("web", 1, 1)).unwrap();
    assert_eq!(status.error.as_deref(), Some("no suitable node (insufficient resources on 2 nodes)"));
    assert_eq!(
        brief(&status),
        [
            obstacle("cpus", 1, "n2 needs 0.5 more CPUs"),
            obstacle("memory", 1, "n1 needs 0.5 more CPUs and 50Mi more memory"),
        ]
    );
}

#[test]
fn the_holder_of_a_port_the_platform_and_the_limit_are_named() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    let port = ", hostPorts: [{target: 53, published: 53, protocol: udp, mode: host}]";
    add_revision(&mut cluster, "dns", 1, "", port);
    add_service(&mut cluster, "arm", 0);
    add_service(&mut cluster, "few", 0);
    let cases = [
        (
            "dns",
            "",
            "host-mode port already in use on 1 node",
            "host-port",
            "n1 has 53/udp in use by dns.1.00001",
        ),
        (
            "arm",
            "platforms: [{architecture: arm64}]",
            "unsupported platform on 1 node",
            "platform",
            "n1 is linux/x86_64",
        ),
        (
            "few",
            "maxReplicasPerNode: 1",
            "max replicas per node limit exceed",
            "max-replicas",
            "n1 has 1 task of the service already",
        ),
    ];
    for (name, placement, words, filter, detail) in cases {
        set_placement(&mut cluster, name, placement);
        add_tasks(&mut cluster, name, 2);
        cluster.settle();
        let status = status_of(&cluster, &pending(name, 2, 1)).unwrap();
        assert_eq!(status.error, Some(format!("no suitable node ({words})")));
        let nodes = 1;
        assert_eq!(
            brief(&status),
            [Obstacle {
                filter: filter.to_owned(),
                nodes,
                detail: detail.to_owned(),
                near: Vec::new(),
                freed_by: None
            }]
        );
    }
}

#[test]
fn a_reason_is_written_once_and_goes_when_the_task_is_placed() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 10);
    add_service(&mut cluster, "web", 20);
    add_tasks(&mut cluster, "web", 2);
    assert_eq!(cluster.settle().len(), 2);
    cluster.now = cluster.now.after(Span::from_secs(60));
    assert_eq!(cluster.settle(), [], "only the time has moved");
    add_node(&mut cluster, 2, 20);
    cluster.settle();
    let key = pending("web", 1, 1);
    assert_eq!(nodes_of(&cluster, "web"), [None, Some(2)]);
    assert_eq!(status_of(&cluster, &key), None);
    let left = status_of(&cluster, &pending("web", 2, 1)).unwrap();
    assert_eq!(brief(&left), [obstacle("memory", 2, "n1 needs 10Mi more memory")]);
}

#[test]
fn a_reason_that_does_not_decode_is_written_over() {
    let mut cluster = cluster();
    add_service(&mut cluster, "web", 20);
    add_tasks(&mut cluster, "web", 1);
    let key = pending("web", 1, 1);
    cluster.put_text(Key::TaskStatus(key.clone()), "garbage: [");
    assert_eq!(cluster.settle().len(), 1);
    assert!(status_of(&cluster, &key).is_some());
}

#[test]
fn people_are_told_once_per_group() {
    let mut cluster = cluster();
    add_service(&mut cluster, "web", 20);
    add_tasks(&mut cluster, "web", 3);
    let group = skep_scheduler::Group::of(&task("web", 1));
    let notes = cluster.plan(&skep_scheduler::Subject::Waiting(group)).notes;
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].regarding.as_str(), notes[0].reason), ("Service/shop/web", "NoSuitableNode"));
}

#[test]
fn a_revision_that_is_missing_or_does_not_decode_is_the_reason() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 10);
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    let key = pending("web", 1, 1);
    assert_eq!(status_of(&cluster, &key).unwrap().error.as_deref(), Some("revision 1 is missing"));
    cluster.put_text(Key::Revision(uid("web"), 1), "{service: 7}");
    cluster.settle();
    let error = status_of(&cluster, &key).unwrap().error.unwrap();
    assert!(error.starts_with("revision 1: "), "{error}");
    add_service(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(1)]);
}
