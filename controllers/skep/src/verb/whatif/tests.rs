//! Questions, and the whole of what is answered.

use clap::Parser;

use super::*;
use crate::sandbox::show;
use crate::sandbox::tests::{cluster, cut};

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    question: Question,
}

fn asked(sandbox: &Sandbox, line: &str) -> Result<Comparison, Failure> {
    let words = std::iter::once("whatif").chain(line.split(' '));
    let Line { question } = Line::try_parse_from(words).unwrap();
    answer(&cut(sandbox), sandbox.now(), &question)
}

/// The answer as people read it.
fn told(sandbox: &Sandbox, line: &str) -> String {
    show::page(&asked(sandbox, line).unwrap())
}

fn shop() -> Sandbox {
    let web = "web: {replicas: 4, task: {image: nginx, resources: {reservations: {memory: 1Gi}}}}";
    let db = "db: {task: {image: db, resources: {reservations: {cpus: 2}}}, placement: {constraints: [node.labels.zone == b]}}";
    cluster(&["n1 a 4 4Gi", "n2 a 4 4Gi", "n3 b 4 4Gi"], &[web, db])
}

#[test]
fn draining_a_node_says_where_each_of_its_tasks_goes() {
    let expected = "\
NODE   STATE            TASKS    CPUS     MEMORY
n1     ready -> drain   2 -> 0   0 of 4   2Gi -> 0 of 4Gi
n2     ready            1 -> 2   0 of 4   1Gi -> 2Gi of 4Gi
n3     ready            2 -> 3   2 of 4   1Gi -> 2Gi of 4Gi

Moves: 2 of 5 tasks
  TASK    FROM   TO
  web.1   n1     n2
  web.4   n1     n3
With n1 drained, 2 of 5 tasks move; nothing waits for a node.
";
    assert_eq!(told(&shop(), "drain n1"), expected);
}

#[test]
fn losing_a_zone_says_who_waits_and_what_would_help() {
    let text = told(&shop(), "lose zone=b");
    assert!(text.contains("n3     ready -> down"), "{text}");
    assert!(text.contains("\nWaits: db.1: no suitable node ("), "{text}");
    assert!(
        text.ends_with("With zone=b (1 node) lost, 1 of 5 tasks moves and 1 task loses its node; 1 task of db waits for a node.\n"),
        "{text}"
    );
}

/// The node controller gives nobody up while more than a third have vanished at once, so people are told.
#[test]
fn losing_more_than_a_third_says_that_nothing_would_move_at_first() {
    let text = told(&shop(), "lose n1 n2");
    assert!(text.contains("\nNote: 2 of 3 nodes at once look like a failure of the network"), "{text}");
    assert!(!told(&shop(), "lose n1").contains("Note:"));
}

#[test]
fn scaling_beyond_what_there_is_says_how_many_wait_for_what() {
    let compared = asked(&shop(), "scale web=14").unwrap();
    assert_eq!(
        compared.outcome(),
        "With web=14, no task moves and 8 tasks start; 2 tasks of web wait for a node."
            .replace("no task moves and ", "")
    );
    let text = show::page(&compared);
    assert!(
        text.contains("\nWaits: 2 tasks of web: no suitable node (insufficient resources on 3 nodes)\n"),
        "{text}"
    );
    assert_eq!(
        asked(&shop(), "scale web=1").unwrap().outcome(),
        "With web=1, 3 tasks end; nothing waits for a node."
    );
}

#[test]
fn another_machine_takes_those_who_wait_and_moves_nobody_else() {
    let mut full = shop();
    crate::sandbox::tests::write(
        &mut full,
        "web: {replicas: 13, task: {image: nginx, resources: {reservations: {memory: 1Gi}}}}",
    );
    full.run().unwrap();
    let compared = asked(&full, "add-node like n1").unwrap();
    assert_eq!(compared.outcome(), "With another node like n1, 1 task starts; nothing waits for a node.");
    let text = show::page(&compared);
    assert!(text.contains("new-1   new -> ready   1"), "{text}");
    let compared = asked(&shop(), "add-node n3 --count 2").unwrap();
    assert_eq!(compared.outcome(), "With 2 more nodes like n3, no task moves; nothing waits for a node.");
    assert_eq!(compared.nodes.len(), 5);
}

#[test]
fn what_was_still_moving_is_not_taken_for_an_effect_of_the_change() {
    let mut busy = shop();
    crate::sandbox::tests::write(&mut busy, "cache: {replicas: 2, task: {image: redis}}");
    let compared = asked(&busy, "drain n1").unwrap();
    assert_eq!(
        compared.notes,
        ["the cluster is not at rest: 2 moves are still to come; what was before is told as it will be then"]
    );
    assert_eq!((compared.before, compared.placed.len()), (7, 0));
}

#[test]
fn nothing_but_the_copy_is_changed_and_the_same_question_has_the_same_answer() {
    let shop = shop();
    let (before, one) = (cut(&shop), show::json(&asked(&shop, "lose zone=a").unwrap()));
    let two = show::json(&asked(&shop, "lose zone=a").unwrap());
    assert_eq!(one, two);
    assert_eq!(cut(&shop).revision(), before.revision());
    assert_eq!(one["tasks"], serde_json::json!({"before": 5, "after": 5, "waiting": 0}));
    assert_eq!(one["nodes"][0]["after"]["state"], "down");
}

#[test]
fn a_name_that_is_not_there_is_told_with_what_might_be_meant() {
    let words = |line: &str| asked(&shop(), line).unwrap_err().to_string();
    assert!(words("drain n9").contains("n9"), "{}", words("drain n9"));
    assert!(words("scale wbe=3").contains("did you mean"), "{}", words("scale wbe=3"));
    assert_eq!(words("lose zone=c"), "no node has zone=c: of zone there are a, b");
    assert_eq!(words("lose rack=1"), "no node has rack=1: no node has the label rack");
    assert!(words("add-node unlike n1").contains("like NODE"));
    assert!(words("scale web=20000").contains("10000"), "{}", words("scale web=20000"));
}

/// A large cluster: the answer must not take longer than people wait.
#[test]
fn a_large_cluster_is_answered_without_planning_all_of_it_again_for_every_task() {
    let nodes: Vec<String> = (0..100).map(|number| format!("n{number} z{} 16 64Gi", number % 5)).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let services: Vec<String> = (0..10)
        .map(|number| {
            format!("s{number}: {{replicas: 100, task: {{image: demo, resources: {{reservations: {{cpus: 1}}}}}}}}")
        })
        .collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let compared = asked(&cluster(&nodes, &services), "lose zone=z1").unwrap();
    assert_eq!((compared.moved.len(), compared.waiting()), (200, 0));
}

#[tokio::test]
async fn a_question_is_answered_from_what_etcd_holds_and_writes_nothing_there() {
    let cluster = crate::testing::Cluster::new().await;
    let shop = shop();
    for (key, entry) in shop.entries() {
        cluster.put(key, entry.value.clone().unwrap().encode(key).unwrap()).await;
    }
    let cut = read(&cluster.store).await.unwrap();
    let Line { question } = Line::try_parse_from(["whatif", "drain", "n3"]).unwrap();
    let compared = answer(&cut, shop.now(), &question).unwrap();
    assert_eq!(compared.waiting(), 1, "{}", show::page(&compared));
    assert_eq!(read(&cluster.store).await.unwrap().revision(), cut.revision());
}
