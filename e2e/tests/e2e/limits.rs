//! What fits only once is placed only once, and what is wrong is said at once.

use std::time::{Duration, Instant};

use crate::everyday::free_port;
use crate::rig::{Cluster, demo, eventually};

#[test]
fn of_two_services_that_fit_one_nodes_memory_only_singly_one_waits_and_says_why() {
    let cluster = Cluster::start();
    // A node is ready as soon as its agent lives; what it has is told a moment later.
    let capacity = eventually("the node says what it has", || {
        let nodes = cluster.get("nodes");
        let memory = nodes[0]["status"]["report"]["capacity"]["memory"].as_str().map(memory_mi);
        memory.ok_or_else(|| nodes[0].to_string())
    });
    let reserve =
        format!("stopGracePeriod: 2s, resources: {{reservations: {{memory: {}Mi}}}}", capacity * 2 / 3);
    let half = |name: &str| demo(name, 1).replace("stopGracePeriod: 2s", &reserve);
    cluster.apply(&format!("{}---\n{}", half("left"), half("right")), &["--detach"]);
    one_runs_and_the_other_says(&cluster, "insufficient resources");
}

#[test]
fn of_two_services_that_want_the_same_host_port_one_waits_and_says_why() {
    let cluster = Cluster::start();
    let port = free_port();
    let fixed =
        |name: &str| demo(name, 1).replace("target: 8080,", &format!("target: 8080, published: {port},"));
    cluster.apply(&format!("{}---\n{}", fixed("left"), fixed("right")), &["--detach"]);
    one_runs_and_the_other_says(&cluster, "host-mode port already in use");
}

fn one_runs_and_the_other_says(cluster: &Cluster, reason: &str) {
    eventually("one runs, the other says why not", || {
        let (left, right) = (cluster.running("left").len(), cluster.running("right").len());
        assert!(left + right <= 1, "both were placed");
        let table = cluster.ok(&["get", "services,tasks", "-o", "wide"]);
        (left + right == 1 && table.contains(reason)).then_some(()).ok_or(table)
    });
}

fn memory_mi(text: &str) -> u64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().unwrap();
    match text.trim_start_matches(|letter: char| letter.is_ascii_digit()) {
        "Ki" => number >> 10,
        "Mi" => number,
        "Gi" => number << 10,
        _ => number >> 20,
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // The time that a person waits for an answer is what is asked here.
fn bad_manifests_are_refused_whole_and_at_once() {
    let cluster = Cluster::start();
    let good = demo("web", 1);
    let alias_bomb = {
        let levels = (1..10).map(|level| {
            format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","))
        });
        format!("a0: &a0 [x]\n{}", levels.collect::<String>())
    };
    let cases: [(&str, String, &[&str]); 10] = [
        ("an unknown field", good.replace("replicas", "replicaz"), &["replicaz", "did you mean `replicas`"]),
        ("a wrong type", good.replace("replicas: 1", "replicas: many"), &["replicas"]),
        ("a wrong unit", good.replace("stopGracePeriod: 2s", "stopGracePeriod: 2"), &["2s"]),
        (
            "a duplicate key",
            good.replace("  replicas: 1\n", "  replicas: 1\n  replicas: 2\n"),
            &["comes twice"],
        ),
        ("a tab", good.replace("  replicas", "\treplicas"), &["tab"]),
        (
            "two errors in two documents",
            format!("{}---\n{}", good.replace("image", "imagge"), good.replace("name: web", "name: W!")),
            &["imagge", "W!"],
        ),
        ("brackets", "[".repeat(200_000), &["error"]),
        ("an alias bomb", alias_bomb, &["error"]),
        ("binary", "\u{0}\u{1}\u{fffd}".repeat(1000), &["error"]),
        ("an unsupported field", good.replace("mode: host", "mode: ingress"), &["not supported yet"]),
    ];
    for (what, manifest, words) in cases {
        let path = cluster.write("bad.yaml", &manifest);
        let begin = Instant::now();
        let output = cluster.run(&["apply", "-f", path.to_str().unwrap()]);
        let took = begin.elapsed();
        let said = crate::rig::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        for word in words {
            assert!(said.contains(word), "{what}: {word} is not in {said}");
        }
        assert!(took < Duration::from_secs(2), "{what} took {took:?}");
    }
    assert!(cluster.get("services").is_empty(), "nothing was written");
}
