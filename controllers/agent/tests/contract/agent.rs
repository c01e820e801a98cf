//! What an agent does, whatever happens to it, to its engine and to etcd.

use std::time::Duration;

use skep_agent::AgentError;
use skep_agent::engine::{Container, Image, Phase};
use skep_agent::labels;
use skep_agent::simulated::{Faults, Latency};
use skep_api::key::Key;
use skep_api::node::Session;
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_store::{Put, Txn};

use crate::rig::Rig;
use crate::suite::hand::{revision, service_uid, until};

/// Longer than a session lives.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_task_runs_is_stopped_and_is_forgotten() {
    let rig = Rig::with_agent(1).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!((status.message.as_str(), status.ports[0].target), ("started", 80));
    rig.hand.want(1, DesiredState::Remove).await;
    let status = rig.hand.reaches(&task, TaskState::Shutdown).await;
    assert_eq!((status.ports.len(), status.container.unwrap().exit_code), (0, Some(143)));
    assert_eq!(rig.machine.containers().len(), 1, "kept as history");
    rig.hand.forget(&task).await;
    until("the container is removed", async || rig.machine.containers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_two_writes_from_nothing_to_running() {
    let rig = Rig::with_agent(2).await;
    until("the machine is reported", async || {
        rig.hand.read(&Key::NodeReport(rig.hand.config.node.clone())).await.is_some()
            && rig.has_session().await
    })
    .await;
    let before = rig.etcd.revision();
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.etcd.revision() - before, 3, "the task, its claim, its start, and nothing at rest");
}

#[tokio::test(start_paused = true)]
async fn many_tasks_share_few_transactions() {
    let rig = Rig::with_agent(3).await;
    until("there is a session", async || rig.has_session().await).await;
    let before = rig.ledger.commits();
    for slot in 1..=50 {
        rig.hand.want(slot, DesiredState::Running).await;
    }
    for slot in 1..=50 {
        rig.hand.reaches(&rig.hand.task(slot), TaskState::Running).await;
    }
    let own = rig.ledger.commits() - before - 50;
    assert!(own < 60, "{own} transactions for 50 tasks");
}

#[tokio::test(start_paused = true)]
async fn a_slow_pull_is_shown() {
    let rig = Rig::with_agent(4).await;
    rig.hand.put_revision(revision("image: 'slow:1'", "")).await;
    rig.machine.publish_image("slow:1", Image { id: "sha256:2".to_owned(), repo_digests: Vec::new() });
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Preparing).await;
    rig.hand.reaches(&task, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_nobody_has_rejects_the_task_in_the_engine_s_words() {
    let rig = Rig::with_agent(5).await;
    rig.hand.put_revision(revision("image: 'missing:1'", "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Rejected).await;
    assert_eq!(
        status.error.as_deref(),
        Some(
            "image missing:1 is not on node host and no registry has it (manifest for missing:1 not found: \
             manifest unknown); if another machine has it, bring it with: docker save missing:1 | ssh host docker load"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn the_registry_s_digest_is_pinned_and_run() {
    let rig = Rig::with_agent(6).await;
    rig.hand.put_revision(revision("image: 'web:1'", "")).await;
    let image = Image { id: "sha256:3".to_owned(), repo_digests: vec!["web@sha256:aa".to_owned()] };
    rig.machine.publish_image("web:1", image.clone());
    rig.machine.publish_image("web:1@sha256:aa", image);
    let tasks =
        [rig.hand.want(1, DesiredState::Running).await, rig.hand.want(2, DesiredState::Running).await];
    for task in &tasks {
        rig.hand.reaches(task, TaskState::Running).await;
    }
    let pin = rig.hand.read(&Key::Pin(service_uid(), 1)).await;
    assert!(matches!(&pin, Some(Object::Pin(pin)) if pin.digest == "sha256:aa"), "{pin:?}");
}

#[tokio::test(start_paused = true)]
async fn a_staged_task_starts_only_when_it_is_told_to() {
    let rig = Rig::with_agent(7).await;
    let task = rig.hand.want(1, DesiredState::Ready).await;
    rig.hand.reaches(&task, TaskState::Ready).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.ledger.most_starts(), 0);
    rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_by_itself_and_a_removal_by_people_are_told() {
    let rig = Rig::with_agent(8).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    assert!(rig.machine.exit(&rig.container_id(), 3));
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("task: non-zero exit (3)"));
    rig.hand.forget(&task).await;
    until("it is gone", async || rig.machine.containers().is_empty()).await;
    let task = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    assert!(rig.machine.remove_by_force(&rig.container_id()));
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("the container is gone"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_at_any_instant_starts_nothing_twice() {
    let mut rig = Rig::new(9).await;
    for slot in 1..=40 {
        rig.start_agent().await;
        let task = rig.hand.want(slot, DesiredState::Running).await;
        tokio::time::sleep(Duration::from_millis(u64::from(slot) * 11)).await;
        rig.kill_agent().await;
        rig.start_agent().await;
        rig.hand.reaches(&task, TaskState::Running).await;
        rig.kill_agent().await;
    }
    assert_eq!((rig.running(), rig.ledger.most_starts()), (40, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_adopts_what_runs_and_writes_nothing() {
    let mut rig = Rig::with_agent(10).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.kill_agent().await;
    let before = rig.etcd.revision();
    rig.start_agent().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.etcd.revision() - before, 1, "its session");
    assert_eq!((rig.running(), rig.ledger.most_starts()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn containers_run_on_while_etcd_is_away() {
    let rig = Rig::with_agent(11).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.network.cut(true);
    tokio::time::sleep(10 * LONG).await;
    assert_eq!(rig.running(), 1);
    assert!(!rig.has_session().await);
    rig.network.cut(false);
    until("there is a session again", async || rig.has_session().await).await;
    assert_eq!((rig.running(), rig.ledger.most_starts()), (1, 1));
    let second = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&second, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_away_cannot_start_what_was_moved_meanwhile() {
    let rig = Rig::with_agent(12).await;
    let task = rig.hand.want(1, DesiredState::Ready).await;
    rig.hand.reaches(&task, TaskState::Ready).await;
    rig.network.cut_writes(true);
    rig.hand.want(1, DesiredState::Running).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.network.cut(true);
    rig.network.cut_writes(false);
    tokio::time::sleep(LONG).await;
    rig.hand.forget(&task).await;
    rig.network.cut(false);
    until("the container is removed", async || rig.machine.containers().is_empty()).await;
    assert_eq!(rig.ledger.most_starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_for_the_engine_longer_than_its_session_lives_is_made_again() {
    let rig = Rig::with_agent(26).await;
    rig.machine.set_latency(Latency { start: 40_000..40_001, ..Latency::default() });
    for slot in 1..=9 {
        rig.hand.want(slot, DesiredState::Running).await;
    }
    for slot in 1..=9 {
        rig.hand.reaches(&rig.hand.task(slot), TaskState::Starting).await;
    }
    rig.network.cut(true);
    tokio::time::sleep(3 * LONG).await;
    assert_eq!(rig.running(), 8, "the ninth had to wait for the engine, until its session was over");
    rig.network.cut(false);
    rig.hand.reaches(&rig.hand.task(9), TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_is_not_removed_on_the_word_of_a_watch_alone() {
    let rig = Rig::with_agent(27).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.network.cut_reads(true);
    rig.hand.forget(&task).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.running(), 1);
    rig.network.cut_reads(false);
    until("it is removed", async || rig.machine.containers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_settled_and_starts_once() {
    let rig = Rig::with_agent(13).await;
    let task = rig.hand.want(1, DesiredState::Ready).await;
    rig.hand.reaches(&task, TaskState::Ready).await;
    rig.network.lose_replies(1);
    rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!(rig.ledger.most_starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_and_refusals_of_the_engine_never_start_anything_twice() {
    let rig = Rig::with_agent(14).await;
    rig.machine.set_faults(Faults { lose_answer: 0.3, ..Faults::default() });
    for slot in 1..=30 {
        rig.hand.want(slot, DesiredState::Running).await;
    }
    for slot in 1..=30 {
        rig.hand.reaches(&rig.hand.task(slot), TaskState::Running).await;
    }
    assert_eq!((rig.running(), rig.ledger.most_starts()), (30, 1));
    rig.machine.set_faults(Faults { refuse_start: 1.0, ..Faults::default() });
    let task = rig.hand.want(31, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("OCI runtime create failed"));
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_a_daemon_that_dies_and_new_ones_run_when_it_is_back() {
    let rig = Rig::with_agent(15).await;
    let first = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&first, TaskState::Running).await;
    rig.machine.crash();
    let second = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&second, TaskState::Accepted).await;
    rig.machine.come_back();
    let status = rig.hand.reaches(&first, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("task: non-zero exit (255)"));
    rig.hand.reaches(&second, TaskState::Running).await;
    assert_eq!(rig.ledger.most_starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_left_over_container_is_removed_and_a_foreign_one_is_not() {
    let mut rig = Rig::new(16).await;
    let cluster = rig.hand.store.identity().unwrap().cluster;
    let node = rig.hand.config.node.to_string();
    let container = |id: &str, cluster: &str, node: &str| Container {
        id: id.to_owned(),
        name: id.to_owned(),
        labels: [(labels::CLUSTER, cluster), (labels::NODE, node)]
            .into_iter()
            .chain([(labels::TASK, format!("{node}/default/web.1.00000").as_str())])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        phase: Phase::Running,
        ..Container::default()
    };
    rig.machine.add_container(container("own", &cluster, &node));
    rig.machine.add_container(container("other-node", &cluster, "000000000000"));
    rig.machine.add_container(container("other-cluster", "other", &node));
    rig.start_agent().await;
    let names = || rig.machine.containers().into_iter().map(|container| container.name).collect::<Vec<_>>();
    until("it is removed", async || names().len() == 2).await;
    assert_eq!(names(), ["other-cluster", "other-node"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_belongs_to_somebody_else_rejects_the_task() {
    let rig = Rig::with_agent(17).await;
    let task = rig.hand.task(1);
    rig.machine.add_container(Container {
        id: "foreign".to_owned(),
        name: skep_agent::container_name(&task),
        labels: std::collections::BTreeMap::new(),
        phase: Phase::Running,
        ..Container::default()
    });
    rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Rejected).await;
    assert!(status.error.unwrap().contains("already in use"));
    assert_eq!(rig.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_becomes_garbage_runs_on_and_others_are_served() {
    let rig = Rig::with_agent(18).await;
    let first = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&first, TaskState::Running).await;
    rig.hand.put_text(Key::Task(first.clone()), b"\xff garbage").await;
    let second = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&second, TaskState::Running).await;
    assert_eq!(rig.running(), 2);
    rig.hand.want(1, DesiredState::Shutdown).await;
    rig.hand.reaches(&first, TaskState::Shutdown).await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_node_takes_its_containers_down_and_its_agent_says_so() {
    let mut rig = Rig::with_agent(19).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.delete(Key::Node(rig.hand.config.node.clone())).await;
    let end = rig.agent_ends().await;
    assert!(matches!(end, Err(AgentError::Removed { .. })), "{end:?}");
    assert_eq!(rig.machine.containers(), []);
    rig.start_agent().await;
    let end = rig.agent_ends().await;
    assert!(matches!(end, Err(AgentError::Removed { .. })), "it does not join again: {end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_id_that_another_machine_uses_is_refused() {
    let mut rig = Rig::new(20).await;
    let lease = rig.hand.store.grant(LONG).await.unwrap();
    let session = Session { holder: "elsewhere:1".to_owned(), since: skep_api::time::Timestamp::default() };
    let value = Object::from(session).encode(&rig.session_key()).unwrap();
    let txn = Txn::new().put(Put::leased(rig.session_key(), value, lease.id()));
    rig.hand.store.commit(&txn).await.unwrap();
    rig.start_agent().await;
    let end = rig.agent_ends().await;
    assert!(matches!(&end, Err(AgentError::Taken { holder, .. }) if holder == "elsewhere:1"), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_agent_of_the_machine_takes_over_and_the_first_one_ends() {
    let mut first = Rig::with_agent(21).await;
    until("there is a session", async || first.has_session().await).await;
    let mut second = Rig::new(22).await;
    second.etcd = first.etcd.clone();
    second.hand = first.hand.clone();
    second.hand.config.pid = 99;
    second.start_agent().await;
    let end = first.agent_ends().await;
    assert!(matches!(&end, Err(AgentError::Superseded { holder, .. }) if holder == "host:100"), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_people_delete_is_taken_again() {
    let rig = Rig::with_agent(23).await;
    until("there is a session", async || rig.has_session().await).await;
    rig.delete(rig.session_key()).await;
    until("there is one again", async || rig.has_session().await).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_leaves_the_containers_and_the_session() {
    let mut rig = Rig::with_agent(24).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.shutdown.cancel();
    assert_eq!(rig.agent_ends().await, Ok(()));
    assert_eq!(rig.running(), 1);
    assert!(rig.has_session().await);
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_ends_the_agent_and_stops_nothing() {
    let mut rig = Rig::with_agent(25).await;
    let backup = rig.etcd.snapshot();
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.etcd.restore(&backup);
    let end = rig.agent_ends().await;
    assert!(matches!(end, Err(AgentError::Store(skep_store::Error::Restored { .. }))), "{end:?}");
    assert_eq!(rig.running(), 1);
}
