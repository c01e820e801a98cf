//! What people are told of a task that waits; doing what the answer says places it.

use serde_json::Value;

use super::{fits_a_screen, json, memory, placement, service};
use crate::everyday::free_port;
use crate::rig::fleet::Fleet;
use crate::rig::{Cluster, eventually};

/// The fix that the status of the waiting task of `service` and `skep why` name alike, with these words in the answer.
fn fix(fleet: &Fleet, service: &str, words: &[&str]) -> Value {
    let remedy = eventually(&format!("a task of {service} waits and says what would help"), || {
        let tasks = fleet.get("tasks");
        let waits = |task: &&Value| {
            task["spec"]["service"]["name"] == service && task["status"]["state"] == "PENDING"
        };
        let remedy = tasks.iter().find(waits).map(|task| task["status"]["remedy"].clone());
        remedy.filter(Value::is_object).ok_or_else(|| fleet.ok(&["get", "tasks", "-o", "wide"]))
    });
    let page = fleet.ok(&["why", service]);
    fits_a_screen(&page);
    let message = remedy["message"].as_str().unwrap();
    let in_one_line = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words.iter().copied().chain([&*format!("Fix: {message}")]) {
        assert!(in_one_line.contains(word), "`{word}` is not in:\n{page}");
    }
    remedy
}

/// Runs the command that a fix consists of.
fn follow(fleet: &Fleet, fix: &Value) {
    let message = fix["message"].as_str().unwrap();
    let command = message.strip_prefix("`skep ").and_then(|rest| rest.strip_suffix('`'));
    let command = command.unwrap_or_else(|| panic!("not one command: {message}"));
    fleet.ok(&command.split(' ').collect::<Vec<_>>());
}

fn wait_for(fleet: &Fleet, manifest: &str) {
    fleet.apply(manifest, &["--detach"]);
}

/// Seven reasons to wait, on one cluster, one after the other; nothing is done about them but what the answer says.
#[test]
fn a_waiting_task_names_the_fix_and_runs_when_that_is_done() {
    let fleet = Cluster::with_nodes(3);
    all_nodes_are_drained(&fleet);
    no_node_has_the_label(&fleet);
    the_label_is_misspelt(&fleet);
    there_is_no_memory(&fleet);
    the_port_is_taken(&fleet);
    the_nodes_have_enough_of_it(&fleet);
    the_platform_is_another(&fleet);
}

fn all_nodes_are_drained(fleet: &Fleet) {
    let machine = fleet.machine();
    let nodes = [machine.as_str(), "n2", "n3"];
    for node in nodes {
        fleet.ok(&["drain", node]);
    }
    wait_for(fleet, &service("closed", 1, "", ""));
    let fix = fix(fleet, "closed", &["3 nodes not available for new tasks", "n2 is drained"]);
    follow(fleet, &fix);
    fleet.comes_to("closed", 1);
    for node in nodes {
        fleet.ok(&["activate", node]);
    }
}

fn no_node_has_the_label(fleet: &Fleet) {
    wait_for(fleet, &service("picky", 1, "", &placement("constraints: [node.labels.disk == ssd]")));
    let fix = fix(fleet, "picky", &["does not meet node.labels.disk == ssd"]);
    follow(fleet, &fix);
    fleet.comes_to("picky", 1);
}

/// A value that nothing matches is answered with the nearest one that there is.
fn the_label_is_misspelt(fleet: &Fleet) {
    fleet.ok(&["label", "node/n2", "zone=east"]);
    fleet.ok(&["label", "node/n3", "zone=west"]);
    let in_zone = |zone: &str| {
        service("misled", 1, "", &placement(&format!("constraints: [node.labels.zone == {zone}]")))
    };
    wait_for(fleet, &in_zone("easst"));
    fix(fleet, "misled", &["if you did not mean node.labels.zone == east"]);
    fleet.apply(&in_zone("east"), &[]);
    fleet.spreads("misled", &[("n2", 1)]);
}

fn there_is_no_memory(fleet: &Fleet) {
    let simulated = json(fleet, &["whatif", "drain", "n2"]);
    let capacity = simulated["nodes"][0]["capacity"]["memory"].as_str().unwrap();
    let mi = capacity.strip_suffix("Ki").unwrap().parse::<u64>().unwrap() / 1024;
    fleet.apply(&service("fat", 3, &memory(mi * 2 / 3), ""), &[]);
    wait_for(fleet, &service("hungry", 1, &memory(mi / 2), ""));
    let fix = fix(fleet, "hungry", &["insufficient resources on 3 nodes", "more memory"]);
    // It names the gap: half of the node is wanted, and a third is left.
    let gap = fix["steps"][0]["memory"].as_str().unwrap();
    let gap_mi = gap.strip_suffix("Ki").unwrap().parse::<u64>().unwrap() / 1024;
    assert!(gap_mi.abs_diff(mi / 6) <= 2, "{gap} of {capacity}");
    fleet.ok(&["scale", "fat=2"]);
    fleet.comes_to("hungry", 1);
    fleet.ok(&["delete", "service/fat", "service/hungry"]);
}

fn the_port_is_taken(fleet: &Fleet) {
    let port = free_port();
    let on_port = |name, replicas| {
        service(name, replicas, "", &format!("  ports: [{{target: 8080, published: {port}, mode: host}}]"))
    };
    fleet.apply(&on_port("early", 3), &[]);
    wait_for(fleet, &on_port("late", 1));
    let taken = format!("has {port}/tcp in use by early.");
    fix(fleet, "late", &["host-mode port already in use on 3 nodes", &taken]);
    fleet.ok(&["delete", "service/early"]);
    fleet.comes_to("late", 1);
}

fn the_nodes_have_enough_of_it(fleet: &Fleet) {
    let at_most = |most: &Value| service("capped", 4, "", &placement(&format!("maxReplicasPerNode: {most}")));
    wait_for(fleet, &at_most(&Value::from(1)));
    let fix = fix(fleet, "capped", &["max replicas per node limit exceed", "3 tasks have a node, 1 waits"]);
    assert_eq!(fix["steps"][0]["do"], "raiseMaxReplicas");
    fleet.apply(&at_most(&fix["steps"][0]["to"]), &[]);
    fleet.comes_to("capped", 4);
}

fn the_platform_is_another(fleet: &Fleet) {
    let on = |architectures: &[&str]| {
        let all = architectures.iter().map(|name| format!("{{os: linux, architecture: {name}}}"));
        service("alien", 1, "", &placement(&format!("platforms: [{}]", all.collect::<Vec<_>>().join(", "))))
    };
    wait_for(fleet, &on(&["s390x"]));
    let fix = fix(fleet, "alien", &["unsupported platform on 3 nodes"]);
    let platform = fix["steps"][0]["platform"].as_str().unwrap();
    // The demo image is made for this machine: only the service has to say so.
    fleet.apply(&on(&["s390x", platform.strip_prefix("linux/").unwrap()]), &[]);
    fleet.comes_to("alien", 1);
}
