//! Nodes that are drained, lost, paused, removed, relabelled and added: tasks move as people expect.

use serde_json::Value;

use crate::rig::endpoints::Endpoints;
use crate::rig::fleet::Fleet;
use crate::rig::load::Load;
use crate::rig::wait::Stopwatch;
use crate::rig::{Cluster, docker, eventually};

/// Replicas on free host ports, moved one at a time; they count as running when they answer.
fn moved(name: &str, replicas: u32, order: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  task:\n    \
         image: \"skep-demo:v1\"\n    stopGracePeriod: 2s\n    preStop: {{wait: 500ms}}\n    healthcheck: {{test: \
         [CMD, /skep-demo, health], interval: 200ms, timeout: 2s, retries: 20}}\n  ports: [{{target: 8080, mode: \
         host}}]\n  update: {{parallelism: 1, order: {order}}}\n  restart: {{delay: 0s}}\n"
    )
}

/// A task on every node that `constraint` allows.
fn everywhere(name: &str, constraint: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  mode: global\n  task: {{image: \
         \"skep-demo:v1\", stopGracePeriod: 2s}}\n  ports: [{{target: 8080, mode: host}}]\n  placement: \
         {{constraints: [{constraint}]}}\n  restart: {{delay: 0s}}\n"
    )
}

/// Applies a manifest and waits until its tasks are spread like this over the machine, n2 and n3.
fn apply(fleet: &Fleet, manifest: &str, service: &str, counts: [usize; 3]) {
    fleet.apply(manifest, &[]);
    fleet.spreads(service, &on(&fleet.machine(), counts));
}

/// So many on the machine, on n2 and on n3.
fn on(machine: &str, counts: [usize; 3]) -> Vec<(&str, usize)> {
    [machine, "n2", "n3"].into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// The last states of the tasks of `service` that were on `node` and are not wanted any more.
fn ended(fleet: &Fleet, service: &str, node: &Value) -> Vec<String> {
    let is_ended = |task: &&Value| {
        task["spec"]["service"]["name"] == service
            && task["spec"]["node"] == node["metadata"]["name"]
            && task["spec"]["desired"] != "RUNNING"
    };
    fleet.get("tasks").iter().filter(is_ended).map(|task| task["status"]["state"].to_string()).collect()
}

/// Drain of a service that starts first: the replacement runs elsewhere before the old task stops, one at a time, and nobody
/// who follows the published addresses notices.
#[test]
fn a_drain_moves_tasks_of_a_start_first_service_and_nobody_notices() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("gentle", 6, "start-first"), "gentle", [2, 2, 2]);
    let load = Load::start(&fleet, "gentle");
    let endpoints = Endpoints::follow(&fleet, "gentle");
    eventually("the addresses are known", || {
        let known = endpoints.addresses().len();
        (known == 6).then_some(()).ok_or_else(|| known.to_string())
    });
    endpoints.count_from_now();
    fleet.ok(&["drain", "n3"]);
    fleet.spreads("gentle", &on(&machine, [3, 3, 0]));
    assert_eq!(endpoints.fewest(), 6, "an old task stopped before its replacement ran");
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{} of {}: {:?}", tally.failures.len(), tally.asked, tally.failures);
    assert_eq!(fleet.node("n3")["status"]["state"], "ready");
    fleet.ok(&["activate", "n3"]);
    fleet.ok(&["scale", "gentle=8"]);
    fleet.spreads("gentle", &on(&machine, [3, 3, 2]));
}

/// Drain of a service that stops first, one at a time: never are more tasks away than its parallelism.
#[test]
fn a_drain_stops_no_more_tasks_at_once_than_an_update_would() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("steady", 6, "stop-first"), "steady", [2, 2, 2]);
    let endpoints = Endpoints::follow(&fleet, "steady");
    eventually("the addresses are known", || {
        let known = endpoints.addresses().len();
        (known == 6).then_some(()).ok_or_else(|| known.to_string())
    });
    endpoints.count_from_now();
    fleet.ok(&["drain", "n2"]);
    fleet.spreads("steady", &on(&machine, [3, 0, 3]));
    assert_eq!(endpoints.fewest(), 5, "the parallelism is 1");
}

/// Swarm 10: a node is Down 15 s after its last heartbeat, and its tasks are replaced 5 s later at the earliest.
#[test]
fn the_tasks_of_a_node_that_loses_its_power_are_replaced_and_not_doubled_when_it_is_back() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("lost", 6, "stop-first"), "lost", [2, 2, 2]);
    let since = docker::now();
    let watch = Stopwatch::start();
    fleet.cut_off("n3");
    fleet.becomes("n3", "unreachable");
    let unreachable = watch.seconds();
    fleet.becomes("n3", "down");
    let down = watch.seconds();
    fleet.spreads("lost", &on(&machine, [3, 3, 0]));
    eprintln!(
        "power loss: unreachable after {unreachable:.1} s, down after {down:.1} s, all replaced after {:.1} s \
         (Swarm: 15 s + 5 s)",
        watch.seconds()
    );
    let node = fleet.node("n3");
    fleet.bring_back();
    fleet.becomes("n3", "ready");
    fleet.spreads("lost", &on(&machine, [3, 3, 0]));
    eventually("what ran on the node is told of as ended", || {
        let states = ended(&fleet, "lost", &node);
        let is_end = |state: &String| state.contains("FAILED") || state.contains("SHUTDOWN");
        (states.len() == 2 && states.iter().all(is_end)).then_some(()).ok_or_else(|| format!("{states:?}"))
    });
    docker::none_started_twice(&fleet, since);
}

/// The agent is away, its containers are not: they run on beside their successors until it is back, and are stopped then.
#[test]
fn what_was_replaced_while_its_agent_was_away_is_stopped_when_it_is_back() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("away", 6, "stop-first"), "away", [2, 2, 2]);
    let watch = Stopwatch::start();
    fleet.stop_agent("n2");
    fleet.becomes("n2", "down");
    let down = watch.seconds();
    eventually("successors run elsewhere", || {
        let spread = fleet.spread("away");
        let successors: usize = spread.iter().filter(|(name, _)| *name != "n2").map(|(_, count)| count).sum();
        (successors == 6).then_some(()).ok_or_else(|| format!("{spread:?}"))
    });
    eprintln!("agent away: down after {down:.1} s, all replaced after {:.1} s", watch.seconds());
    assert_eq!(fleet.containers("away").get("n2"), Some(&2), "nobody was there to stop them");
    fleet.bring_back();
    fleet.becomes("n2", "ready");
    fleet.spreads("away", &on(&machine, [3, 0, 3]));
}

/// Docker is killed together with the agent, and both come back: the containers are gone with Docker.
#[test]
fn a_killed_docker_and_agent_are_started_again_and_every_task_runs_once() {
    let fleet = Cluster::with_nodes(2);
    apply(&fleet, &moved("killed", 4, "stop-first"), "killed", [2, 2, 0]);
    fleet.kill("dockerd-n2");
    fleet.kill("agent-n2");
    eventually("four tasks run, each in one container", || {
        let (tasks, containers) = (fleet.running("killed").len(), docker::running(&fleet, "killed").len());
        (tasks == 4 && containers == 4)
            .then_some(())
            .ok_or_else(|| format!("{tasks} tasks, {containers} containers"))
    });
}

#[test]
fn a_paused_node_keeps_its_tasks_and_gets_no_more() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("paused", 3, "stop-first"), "paused", [1, 1, 1]);
    fleet.ok(&["pause", "n2"]);
    fleet.ok(&["scale", "paused=7"]);
    fleet.spreads("paused", &on(&machine, [3, 1, 3]));
    fleet.ok(&["activate", "n2"]);
    fleet.ok(&["scale", "paused=9"]);
    fleet.spreads("paused", &on(&machine, [3, 3, 3]));
}

/// A node that is removed while it is away: its tasks are replaced at once, and when it is back it clears what it ran.
#[test]
fn a_removed_node_is_replaced_and_clears_up_when_it_is_back() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("removed", 6, "stop-first"), "removed", [2, 2, 2]);
    fleet.stop_agent("n3");
    fleet.becomes("n3", "unreachable");
    fleet.ok(&["delete", "node/n3"]);
    eventually("successors run elsewhere", || {
        let spread = fleet.spread("removed");
        (spread.get(&machine) == Some(&3) && spread.get("n2") == Some(&3))
            .then_some(())
            .ok_or_else(|| format!("{spread:?}"))
    });
    fleet.bring_back();
    fleet.is_taken_down("n3");
    fleet.spreads("removed", &on(&machine, [3, 3, 0]));
    assert_eq!(fleet.get("nodes").len(), 2);
}

/// Swarm 12.24, on real machines: a global service follows labels, drains and nodes that join late.
#[test]
fn a_global_service_follows_its_nodes() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    fleet.ok(&["label", "node/n2", "tier=web"]);
    fleet.ok(&["label", "node/n3", "tier=web"]);
    apply(&fleet, &everywhere("global", "node.labels.tier == web"), "global", [0, 1, 1]);
    fleet.ok(&["label", &format!("node/{machine}"), "tier=web"]);
    fleet.spreads("global", &on(&machine, [1, 1, 1]));
    fleet.ok(&["label", "node/n2", "tier=db"]);
    fleet.spreads("global", &on(&machine, [1, 0, 1]));
    fleet.ok(&["drain", "n3"]);
    fleet.spreads("global", &on(&machine, [1, 0, 0]));
    fleet.ok(&["activate", "n3"]);
    fleet.spreads("global", &on(&machine, [1, 0, 1]));
    fleet.ok(&["pause", "n2"]);
    fleet.ok(&["label", "node/n2", "tier=web"]);
    fleet.ok(&["up", "--detach", "--nodes", "4", "--load", "skep-demo:v1"]);
    fleet.ok(&["label", "node/n4", "tier=web"]);
    fleet.spreads("global", &[(&*machine, 1), ("n3", 1), ("n4", 1)]);
    fleet.ok(&["activate", "n2"]);
    fleet.spreads("global", &[(&*machine, 1), ("n2", 1), ("n3", 1), ("n4", 1)]);
}

/// All of a node's processes may die, and so may the supervisor: containers run on, and the daemons are found again.
#[test]
fn containers_of_all_nodes_run_on_without_their_supervisor() {
    let fleet = Cluster::with_nodes(3);
    let machine = fleet.machine();
    apply(&fleet, &moved("kept", 3, "stop-first"), "kept", [1, 1, 1]);
    let pid = |name: &str| fleet.process(name).pid;
    let before = (docker::running(&fleet, "kept"), pid("dockerd-n2"), pid("containerd-n3"));
    crate::rig::signal(pid("supervisor"), "KILL");
    fleet.bring_back();
    fleet.ok(&["down", "--keep"]);
    fleet.bring_back();
    fleet.spreads("kept", &on(&machine, [1, 1, 1]));
    let after = (docker::running(&fleet, "kept"), pid("dockerd-n2"), pid("containerd-n3"));
    assert_eq!(after, before, "nothing had to be started again");
}
