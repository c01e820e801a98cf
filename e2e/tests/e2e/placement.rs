//! Where tasks go, why they wait, and what would help: on real nodes, each with a Docker of its own.

mod answers;
mod resources;
mod zones;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rig::Cluster;

/// A service of the demo image with further fields of the task, as ` name: value,`, and of the spec, as YAML in one line.
fn service(name: &str, replicas: u32, task: &str, spec: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  task: \
         {{image: \"skep-demo:v1\",{task} stopGracePeriod: 2s}}\n  restart: {{delay: 0s}}\n{spec}\n"
    )
}

/// The field of the task that reserves so much memory.
fn memory(mi: u64) -> String {
    format!(" resources: {{reservations: {{memory: {mi}Mi}}}},")
}

/// The line of the spec that places tasks like this.
fn placement(fields: &str) -> String {
    format!("  placement: {{{fields}}}")
}

/// What `skep` answers with `-o json`.
fn json(cluster: &Cluster, args: &[&str]) -> Value {
    serde_json::from_str(&cluster.ok(&[args, &["-o", "json"]].concat())).unwrap()
}

/// `skep rebalance --plan` has no move to propose.
fn nothing_would_move(cluster: &Cluster) {
    let plan = json(cluster, &["rebalance", "--plan"]);
    assert_eq!(plan["change"], "rebalance: 0 moves", "{plan:#}");
    assert_eq!(plan["moved"], serde_json::json!([]), "{plan:#}");
}

/// How many tasks each node has before or after what was tried; nodes without any are left out.
fn counts(simulated: &Value, when: &str) -> BTreeMap<String, usize> {
    let count = |node: &Value| {
        let tasks = usize::try_from(node[when]["tasks"].as_u64().unwrap()).unwrap();
        (node["name"].as_str().unwrap().to_owned(), tasks)
    };
    simulated["nodes"].as_array().unwrap().iter().map(count).filter(|(_, tasks)| *tasks > 0).collect()
}

/// A page fits a screen.
fn fits_a_screen(page: &str) {
    assert!(page.lines().count() <= 24, "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
}
