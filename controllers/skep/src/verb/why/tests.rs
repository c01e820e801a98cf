//! Answers in full: each fits a screen, and names the fix on a line of its own.

use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{Availability, NodeSpec};
use skep_api::object::Object;

use super::*;
use crate::sandbox::Sandbox;
use crate::sandbox::tests::{cluster, cut, write};
use crate::testing::NOW;

const NODES: [&str; 3] = ["n1 a 4 4Gi", "n2 a 4 4Gi", "n3 b 2 2Gi"];

fn asked(name: &str) -> Asked {
    Asked::parse(name, &"default".parse().unwrap()).unwrap()
}

fn told(sandbox: &Sandbox, name: &str) -> String {
    let page = why(&cut(sandbox), &asked(name), NOW).unwrap().0;
    assert_fits(&page);
    page
}

fn told_not(sandbox: &Sandbox, service: &str, node: &str) -> String {
    let page = why_not(&cut(sandbox), &asked(service), node, NOW).unwrap().0;
    assert_fits(&page);
    page
}

fn assert_fits(page: &str) {
    assert!(page.lines().count() <= 24, "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
}

/// The last line that names the fix.
fn fix(page: &str) -> &str {
    let mut lines = page.lines().filter_map(|line| line.strip_prefix("Fix: "));
    lines.next_back().unwrap_or_else(|| panic!("no fix in:\n{page}"))
}

/// A cluster of three nodes at rest, with a service `web` that has this spec beside its image.
fn shop(spec: &str) -> Sandbox {
    cluster(&NODES, &[&format!("web: {{{spec}}}")])
}

#[test]
fn a_service_that_lacks_memory_is_told_how_much_is_missing_where() {
    let shop = shop("replicas: 2, task: {image: nginx, resources: {reservations: {memory: 3Gi}}}");
    let mut full = shop;
    write(&mut full, "db: {task: {image: db, resources: {reservations: {memory: 2Gi}}}}");
    full.run().unwrap();
    write(&mut full, "big: {task: {image: db, resources: {reservations: {memory: 1536Mi}}}}");
    full.run().unwrap();
    let expected = "\
big: 0 tasks have a node, 1 waits for one

big.1: no suitable node (insufficient resources on 3 nodes)

  memory        3 nodes: n1 needs 512Mi more memory; n2 needs 512Mi more memory; n3 needs 1536Mi
                more memory

Fix: free 512Mi of memory on n1, or add a node with 1536Mi of memory
";
    assert_eq!(told(&full, "big"), expected);
}

#[test]
fn each_reason_to_wait_is_told_within_a_screen_with_the_fix() {
    let image = "task: {image: nginx}";
    let port = "task: {image: nginx}, ports: [{target: 80, published: 8080, mode: host}]";
    let cases = [
        ("memory", "task: {image: nginx, resources: {reservations: {memory: 5Gi}}}".to_owned(), "memory"),
        ("a label", format!("{image}, placement: {{constraints: [node.labels.zoen == a]}}"), "zone"),
        ("a port", format!("replicas: 4, {port}"), "8080"),
        (
            "max replicas",
            format!("replicas: 4, {image}, placement: {{maxReplicasPerNode: 1}}"),
            "maxReplicasPerNode to 2",
        ),
        ("a platform", format!("{image}, placement: {{platforms: [{{os: windows}}]}}"), "linux/x86_64"),
    ];
    for (name, spec, word) in cases {
        let page = told(&shop(&spec), "web");
        assert!(fix(&page).contains(word), "{name}: {page}");
        assert!(page.contains("no suitable node ("), "{name}: {page}");
    }
}

#[test]
fn when_every_node_is_drained_the_fix_is_to_activate_one() {
    let mut empty = cluster(&NODES, &[]);
    let nodes: Vec<NodeId> = (1..=3).map(NodeId::from_random).collect();
    for node in &nodes {
        let Some(Object::Node(spec)) = empty.object(&Key::Node(node.clone())).cloned() else { panic!() };
        empty
            .put(&Key::Node(node.clone()), NodeSpec { availability: Availability::Drain, ..(*spec).clone() });
    }
    write(&mut empty, "web: {task: {image: nginx}}");
    empty.run().unwrap();
    let page = told(&empty, "web.1");
    assert!(page.contains("is drained"), "{page}");
    assert_eq!(fix(&page).split(',').next(), Some("`skep activate n1`"), "{page}");
}

#[test]
fn a_task_that_has_a_node_is_told_with_the_score_of_its_node_beside_the_best_others() {
    let shop = shop("replicas: 3, task: {image: nginx, resources: {reservations: {memory: 1Gi}}}");
    let page = told(&shop, "web.2");
    let expected = "\
web.2.NAME is on n2, RUNNING

  NODE   FAILURES   TASKS OF WEB   RESERVED   ALL TASKS
  n2 *   0          0              0.0%       0
  n1     0          1              25.0%      1
  n3     0          1              50.0%      1
* as it would be without the task; spread takes the smallest, compared from left to right
";
    let name = page.split(' ').next().unwrap().to_owned();
    let suffix = name.rsplit('.').next().unwrap();
    assert_eq!(page.replace(suffix, "NAME"), expected);
    assert_eq!(told(&shop, &name), page, "a task is found by its own name as well");
}

#[test]
fn a_service_of_which_nothing_waits_says_where_its_tasks_are() {
    let expected = "\
web: 4 tasks have a node, 0 wait for one

  NODE   TASKS   WHICH
  n1     2       web.1, web.4
  n2     1       web.2
  n3     1       web.3
";
    assert_eq!(told(&shop("replicas: 4, task: {image: nginx}"), "web"), expected);
    let page = told(&shop("mode: global, task: {image: nginx}"), "web");
    assert!(page.contains("web@n3"), "{page}");
}

#[test]
fn who_waits_for_something_else_than_a_node_is_told_what_for() {
    let page = told(&shop("task: {image: nginx}, dependsOn: [{service: db}]"), "web");
    assert!(page.contains("Not ready: ") && page.contains("db"), "{page}");
}

#[test]
fn a_node_is_told_filter_by_filter_with_what_would_help() {
    let shop = shop(
        "replicas: 2, task: {image: nginx, resources: {reservations: {memory: 3Gi}}}, \
         placement: {constraints: [node.labels.zone == a]}",
    );
    let expected = "\
Another task of web (revision 1) does not fit on n3.

  availability  ok
  resources     NO: n3 needs 1Gi more memory
  plugins       ok
  constraints   NO: n3 does not meet node.labels.zone == a
  platform      ok
  host-ports    ok
  max-replicas  ok
  volumes       ok
  affinity      ok

No node would take another task of it now.
";
    let page = told_not(&shop, "web", "n3");
    assert!(page.starts_with(expected), "{page}");
    assert!(fix(&page).contains("n3"), "{page}");
}

#[test]
fn a_node_that_fits_is_told_beside_the_one_that_is_better() {
    let page = told_not(&shop("replicas: 2, task: {image: nginx}"), "web", "n1");
    assert!(page.contains("fits on n1") && page.contains("The next task would go to n3."), "{page}");
    assert!(!page.contains("Fix: "), "{page}");
}

#[test]
fn what_is_not_there_is_told_with_what_might_be_meant() {
    let shop = cut(&shop("task: {image: nginx}"));
    for name in ["wbe", "web.7", "web.1.00000"] {
        let words = why(&shop, &asked(name), NOW).unwrap_err().to_string();
        assert!(words.contains(name), "{words}");
    }
    let words = |name: &str| why(&shop, &asked(name), NOW).unwrap_err().to_string();
    assert!(words("wbe").ends_with("did you mean `web`?"), "{}", words("wbe"));
    assert!(words("web.7").ends_with("see those that are there: skep get tasks web -s default"));
    assert!(words("nonsense").ends_with("see what there is: skep get services,tasks -A"));
    assert!(words("nowhere/web").ends_with("there is one in stack default: add -s default"));
    let words = why_not(&shop, &asked("web"), "nine", NOW).unwrap_err().to_string();
    assert_eq!(words, "no node `nine`; see what there is: skep get nodes");
    let words = why_not(&shop, &asked("nonsense"), "n1", NOW).unwrap_err().to_string();
    assert_eq!(words, "no service `nonsense` in stack default; see what there is: skep get services -A");
    assert!(why_not(&shop, &asked("web"), "n9", NOW).unwrap_err().to_string().contains("n9"));
    assert!(why_not(&shop, &asked("wbe"), "n1", NOW).unwrap_err().to_string().contains("web"));
}

#[test]
fn a_service_that_wants_no_task_says_so_and_how_it_would() {
    let zero = "web is scaled to 0, so it wants no task; start one: skep scale web=1\n";
    let done = "web is a job that is complete (1 of 1 completed); run it again: skep rollout restart web\n";
    let job = "mode: replicated-job, task: {image: nginx}";
    let mut ended = shop(job);
    ended.let_jobs_end();
    ended.run().unwrap();
    for (sandbox, expected) in [(shop("replicas: 0, task: {image: nginx}"), zero), (ended, done)] {
        assert_eq!(told(&sandbox, "web"), expected);
        let page = told_not(&sandbox, "web", "n1");
        assert!(page.ends_with(expected) && !page.contains("next task would"), "{page}");
    }
    let page = told(&shop(job), "web");
    assert!(page.starts_with("web: 1 task has a node"), "{page}");
}

#[test]
fn a_global_service_has_one_task_on_a_node_and_wants_no_other_there() {
    let shop = shop("mode: global, task: {image: nginx}, placement: {constraints: [node.labels.zone == a]}");
    let global = "web is global, one task on every node that fits: ";
    let page = told_not(&shop, "web", "n1");
    assert!(page.ends_with(&format!("\n{global}n1 has its task; see it: skep why web\n")), "{page}");
    let page = told_not(&shop, "web", "n3");
    assert!(page.contains(&format!("\n{global}n3 does not fit\nFix: ")), "{page}");
}

#[test]
fn the_answer_for_scripts_has_the_remedy_and_the_number_of_those_who_wait() {
    let shop = cut(&shop("replicas: 4, task: {image: nginx}, placement: {maxReplicasPerNode: 1}"));
    let json = why(&shop, &asked("web"), NOW).unwrap().1;
    assert_eq!((&json["waiting"], &json["placed"]), (&json!(1), &json!(3)));
    assert_eq!(json["tasks"][0]["state"], "waiting");
    assert_eq!(json["tasks"][0]["remedy"]["steps"][0], json!({"do": "raiseMaxReplicas", "to": 2}));
    assert_eq!(json["tasks"][1]["state"], "placed");
    let json = why_not(&shop, &asked("web"), "n1", NOW).unwrap().1;
    assert_eq!((&json["kind"], &json["fits"]), (&json!("WhyNot"), &json!(false)));
}
