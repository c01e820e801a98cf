//! Updates under requests: nobody notices one that is set up well, and everybody notices one that fails.

use serde_json::Value;

use crate::rig::load::Load;
use crate::rig::{Cluster, docker, eventually, signal, text, wait};

/// Six tasks, two at a time, the new ones first. Each is healthy before the old one goes, and the old one is out of the
/// published addresses for a second before its signal.
fn gentle(version: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: shop-front}}\nspec:\n  replicas: 6\n  task:\n    \
         image: \"skep-demo:{version}\"\n    stopGracePeriod: 5s\n    preStop: {{wait: 1s}}\n    healthcheck: \
         {{test: [CMD, /skep-demo, health], interval: 200ms, timeout: 2s, retries: 20}}\n  ports: \
         [{{target: 8080, mode: host}}]\n  update: {{parallelism: 2, delay: 2s, order: start-first, monitor: 2s}}\n"
    )
}

/// One task, which is stopped before the next one starts.
fn rough(version: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: shop-front}}\nspec:\n  task: {{image: \
         \"skep-demo:{version}\", stopGracePeriod: 2s}}\n  ports: [{{target: 8080, mode: host}}]\n  update: \
         {{monitor: 1s}}\n"
    )
}

/// What the Service's status says of its update.
fn update(cluster: &Cluster) -> Value {
    cluster.get("services")[0]["status"]["update"].clone()
}

/// Swarm 12.22: it is served by the next when it is healthy, and taken out before its signal.
#[test]
fn nobody_notices_a_start_first_update_of_six_tasks() {
    let cluster = Cluster::start();
    cluster.apply(&gentle("v1"), &[]);
    let load = Load::start(&cluster, "shop-front");
    cluster.apply(&gentle("v2"), &[]);
    let tally = load.stop();
    assert_eq!(update(&cluster)["state"], "completed", "{}", update(&cluster));
    assert!(tally.failures.is_empty(), "{} of {}: {:?}", tally.failures.len(), tally.asked, tally.failures);
    cluster.comes_to("shop-front", 6);
}

#[test]
fn nobody_notices_an_update_in_every_batch_of_which_updater_replica_and_agent_are_killed() {
    let cluster = Cluster::start();
    cluster.apply(&gentle("v1"), &[]);
    let load = Load::start(&cluster, "shop-front");
    cluster.apply(&gentle("v2"), &["--detach"]);
    for batch in 1..=3 {
        wait::within(crate::rig::LIMIT * 2, &format!("batch {batch} is under way"), || {
            let update = update(&cluster);
            let is_on = update["batchNumber"] == batch && update["state"] == "updating";
            is_on.then_some(()).ok_or_else(|| update.to_string())
        });
        for name in ["updater", "replica", "agent"] {
            signal(cluster.process(name).pid, "KILL");
        }
    }
    wait::within(crate::rig::LIMIT * 3, "the update completes", || {
        let update = update(&cluster);
        (update["state"] == "completed").then_some(()).ok_or_else(|| update.to_string())
    });
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{} of {}: {:?}", tally.failures.len(), tally.asked, tally.failures);
    cluster.comes_to("shop-front", 6);
}

#[test]
fn everybody_notices_a_stop_first_update_of_one_task() {
    let cluster = Cluster::start();
    cluster.apply(&rough("v1"), &[]);
    let load = Load::start(&cluster, "shop-front");
    cluster.apply(&rough("v2"), &[]);
    let tally = load.stop();
    assert!(!tally.failures.is_empty(), "none of {} failed: the client sees nothing", tally.asked);
}

/// A bad second version: what is wrong with it, as text that replaces text of [`failing`].
const BAD: [(&str, &str, &str); 4] = [
    (
        "it exits at once",
        "env: {VERSION: v2, SAY: \"no such table: users\", EXIT_AFTER_MS: \"1\", EXIT_CODE: \"3\"}",
        "no such table: users",
    ),
    ("it never becomes healthy", "env: {VERSION: v2, FAIL_HEALTH: \"1\"}", "unhealthy"),
    ("its image is nowhere", "image: \"skep-demo:nowhere\"", "skep-demo:nowhere"),
    ("it fits no node", "resources: {reservations: {memory: 900Gi}}", "insufficient resources"),
];

fn failing(action: &str, bad: &str) -> String {
    let image = if bad.starts_with("image") { "" } else { "image: \"skep-demo:v1\"\n    " };
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: shop-till}}\nspec:\n  replicas: 2\n  task:\n    {image}{bad}\n    \
         stopGracePeriod: 2s\n    healthcheck: {{test: [CMD, /skep-demo, health], interval: 200ms, timeout: 2s, \
         retries: 3}}\n  ports: [{{target: 8080, mode: host}}]\n  restart: {{delay: 1s}}\n  update: {{failureAction: \
         {action}, monitor: 3s, deadline: 8s}}\n"
    )
}

const GOOD: &str = "env: {VERSION: v1}";

/// How an update of two slots to each bad version ends: with this state, and at least so many tasks that go on serving. The
/// reason and the evidence are in the status. The last thing is whether `skep apply` says that the rollout failed.
fn ends_as(action: &str, state: &str, serving: usize, is_told: bool) {
    let cluster = Cluster::start();
    for (what, bad, evidence) in BAD {
        cluster.apply(&failing(action, GOOD), &[]);
        cluster.comes_to("shop-till", 2);
        let file = cluster.write("bad.yaml", &failing(action, bad));
        let mut apply = cluster.command(&["apply", "-f"]);
        let said = apply.arg(file).args((!is_told).then_some("--detach")).output().unwrap();
        let code = if is_told { 6 } else { 0 };
        assert_eq!(said.status.code(), Some(code), "{what}: {}", text(&said.stderr));
        let seen = wait::within(crate::rig::LIMIT * 2, what, || {
            let update = update(&cluster);
            // The rollout before it was completed as well, and without a failure.
            let is_over = update["state"] == state && !update["failure"].is_null();
            is_over.then_some(update.clone()).ok_or_else(|| update.to_string())
        });
        assert!(seen["failure"].to_string().contains(evidence), "{what}: {seen}");
        let described = cluster.ok(&["describe", "service/shop-till"]);
        assert!(described.contains(evidence), "{what}: {described}");
        eventually("what served goes on", || {
            let tasks = cluster.running("shop-till");
            let is_good = |task: &&Value| task["spec"]["revision"] == seen["stable"];
            let good = tasks.iter().filter(is_good).count();
            (good >= serving).then_some(()).ok_or_else(|| format!("{good} of {} are good", tasks.len()))
        });
        cluster.ok(&["delete", "service/shop-till"]);
        assert!(docker::running(&cluster, "shop-till").is_empty());
    }
}

/// Swarm 12.12: what never ran counts, and what ended too early.
#[test]
fn a_bad_version_pauses_its_update_and_says_why() {
    ends_as("pause", "paused", 1, true);
}

#[test]
fn a_bad_version_is_rolled_back_and_its_status_says_why() {
    ends_as("rollback", "rollback_completed", 2, true);
}

#[test]
fn a_bad_version_that_is_to_go_on_ends_its_update_and_its_status_says_why() {
    ends_as("continue", "completed", 0, false);
}
