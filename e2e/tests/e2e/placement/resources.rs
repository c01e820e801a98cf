//! Named resources that a task has alone, and a drain that is tried before it is made.

use std::collections::BTreeSet;

use super::{counts, json, memory, service};
use crate::rig::{Cluster, docker, eventually};

/// Swarm tells a task which of a node's named resources it has by an environment variable; no two tasks have the same.
#[test]
fn two_tasks_on_a_node_have_different_gpus_and_a_third_one_waits() {
    docker::build_demo_image();
    let cluster =
        Cluster::start_with(None, &["--generic-resource", "GPU=uuid-1", "--generic-resource", "GPU=uuid-2"]);
    let reserves = " resources: {reservations: {generic: {GPU: 1}}},";
    cluster.apply(&service("train", 2, reserves, ""), &[]);
    let gpus = |containers: &[String]| -> BTreeSet<String> {
        let gpu = |id: &String| {
            let env = docker::docker(&cluster, &["inspect", "--format", "{{json .Config.Env}}", id]);
            let env: Vec<String> = serde_json::from_str(&env).unwrap();
            let found = env.iter().find_map(|variable| variable.strip_prefix("DOCKER_RESOURCE_GPU="));
            found.map(str::to_owned).unwrap_or_default()
        };
        containers.iter().map(gpu).collect()
    };
    let both = BTreeSet::from(["uuid-1", "uuid-2"].map(str::to_owned));
    assert_eq!(gpus(&docker::running(&cluster, "train")), both);
    cluster.apply(&service("train", 3, reserves, ""), &["--detach"]);
    eventually("the third task says what is missing", || {
        let page = cluster.ok(&["why", "train"]);
        (page.contains("1 waits for one") && page.contains("1 more GPU")).then_some(()).ok_or(page)
    });
    // What a task had is free for the next one when it has ended.
    let first = docker::running(&cluster, "train").remove(0);
    docker::docker(&cluster, &["kill", &first]);
    eventually("another task has the GPU of the one that failed", || {
        let now = docker::running(&cluster, "train");
        let is_so = now.len() == 2 && !now.contains(&first) && gpus(&now) == both;
        is_so.then_some(()).ok_or_else(|| cluster.ok(&["get", "tasks", "-o", "wide"]))
    });
}

/// The planners that `skep whatif` runs are those of the cluster: what it says happens.
#[test]
fn a_drain_ends_as_whatif_said_it_would() {
    let fleet = Cluster::with_nodes(4);
    fleet.apply(
        &format!("{}---\n{}", service("calm", 7, "", ""), service("solid", 5, &memory(1024), "")),
        &[],
    );
    let seen = || {
        let mut sum = fleet.spread("calm");
        for (node, count) in fleet.spread("solid") {
            *sum.entry(node).or_default() += count;
        }
        sum
    };
    let before = seen();
    let told = json(&fleet, &["whatif", "drain", "n2"]);
    assert_eq!(seen(), before, "a question moved something");
    assert_eq!(counts(&told, "before"), before, "{told:#}");
    assert_eq!(told["notes"], serde_json::json!([]));
    fleet.ok(&["drain", "n2"]);
    let said = counts(&told, "after");
    assert!(!said.contains_key("n2"), "{said:?}");
    eventually("each node has as many tasks as whatif said", || {
        let now = seen();
        (now == said).then_some(()).ok_or_else(|| format!("{now:?}, and {said:?} were told"))
    });
}
