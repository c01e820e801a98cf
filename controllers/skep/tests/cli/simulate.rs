//! Clusters that only files describe: `simulate`.

use serde_json::Value;

use crate::{Dir, LIMIT, run, skep};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/examples/simulate");

const NODE: &str = "\
apiVersion: skep/v1
kind: Node
metadata: {name: 000000000001}
spec: {name: n1}
status: {state: ready, report: {hostname: n1, address: 10.0.0.1, capacity: {cpus: 4, memory: 1Gi}}}
";
const SERVICE: &str = "\
apiVersion: skep/v1
kind: Service
metadata: {name: web}
spec: {replicas: 3, task: {image: nginx, resources: {reservations: {memory: 400Mi}}}}
";

#[test]
fn three_uneven_zones_share_a_service_until_one_is_full_and_the_answer_says_who_waits() {
    let run = skep(&["simulate", "-f", EXAMPLE, "-o", "json"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.err);
    assert!(run.took < LIMIT, "{:?}", run.took);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    let in_zone = |zone: &str| -> u64 {
        let nodes = answer["nodes"].as_array().unwrap().iter();
        let names = nodes.map(|node| node["name"].as_str().unwrap()).filter(|name| name.starts_with(zone));
        let names: Vec<&str> = names.collect();
        let on = |task: &&Value| task["task"].as_str().unwrap().starts_with("shop/web.");
        let started = answer["started"].as_array().unwrap().iter().filter(on);
        started.filter(|task| names.contains(&task["to"].as_str().unwrap())).count() as u64
    };
    // c1 has room for three.
    assert_eq!((in_zone("a") + in_zone("b"), in_zone("c")), (9, 3));
    assert!(in_zone("a").abs_diff(in_zone("b")) <= 1, "{} and {}", in_zone("a"), in_zone("b"));
    assert_eq!((&answer["tasks"]["after"], &answer["tasks"]["waiting"]), (&20.into(), &1.into()));
    assert_eq!(answer["waits"][0]["service"]["name"], "db");
    assert_eq!(answer["isAtRest"], true);
}

#[test]
fn the_answer_for_people_ends_with_one_sentence_and_is_the_same_every_time() {
    let run = skep(&["simulate", "-f", EXAMPLE]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert_eq!(run.out.lines().next().unwrap().split_whitespace().next(), Some("NODE"));
    let last = run.out.lines().last().unwrap();
    assert_eq!(last, "20 tasks have a node on 6 nodes; 1 task of shop/db waits for a node.");
    assert_eq!(skep(&["simulate", "-f", EXAMPLE]).out, run.out);
}

#[test]
fn whoever_asks_for_it_gets_an_exit_code_if_something_would_wait() {
    let dir = Dir::new("would-wait");
    let (node, service) = (dir.write("node.yaml", NODE), dir.write("service.yaml", SERVICE));
    let run = skep(&["simulate", "-f", &node, "-f", &service, "--exit-code"]);
    assert_eq!(run.code, 7, "{}", run.err);
    assert!(run.err.contains("1 task would wait for a node"), "{}", run.err);
    assert!(run.out.contains("Waits: web.3: no suitable node"), "{}", run.out);
    let service = dir.write("service.yaml", SERVICE.replace("replicas: 3", "replicas: 2"));
    let run = skep(&["simulate", "-f", &node, "-f", &service, "--exit-code"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(run.out.ends_with("2 tasks have a node on 1 node; nothing waits for a node.\n"), "{}", run.out);
}

#[test]
fn what_get_nodes_prints_is_taken_as_it_is_and_a_node_that_is_down_runs_nothing() {
    let item = |text: &str| text.lines().fold(String::new(), |all, line| all + "  " + line + "\n");
    let list = |nodes: &[String]| {
        let items: String = nodes.iter().map(|node| item(node).replacen("  ", "- ", 1)).collect();
        format!("apiVersion: skep/v1\nkind: List\nmetadata: {{version: 7}}\nitems:\n{items}---\n{SERVICE}")
    };
    let up = NODE.to_owned();
    let down = NODE.replace("000000000001", "000000000002").replace("n1", "n2").replace("ready", "down");
    let run = run(&["simulate", "-f", "-", "-o", "json"], list(&[up, down]).as_bytes());
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.err);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    let states: Vec<&str> = answer["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["after"]["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ready", "down"]);
    assert_eq!(answer["tasks"]["waiting"], 1);
}

#[test]
fn a_node_that_does_not_say_what_it_has_is_an_error_that_says_what_to_add() {
    let dir = Dir::new("no-capacity");
    let bare = NODE.split("status").next().unwrap();
    for (content, words) in [
        (
            bare.to_owned(),
            ["node.yaml:3:", "`status.report.capacity.cpus` is missing", "add `status: {report:"],
        ),
        (NODE.replace("1Gi", "1G"), ["node.yaml:5:", "ambiguous", "`status.report.capacity.memory`"]),
        (NODE.replace("10.0.0.1", "[]"), ["node.yaml:5:", "`status.report` of node n1", ""]),
        (
            NODE.replace("spec: {name: n1}", "spec: {name: n1, rolle: worker}"),
            ["node.yaml:4:", "rolle", "role"],
        ),
    ] {
        let file = dir.write("node.yaml", content);
        let run = skep(&["simulate", "-f", &file]);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
        for word in words {
            assert!(run.err.contains(word), "{word} is missing: {}", run.err);
        }
    }
}
