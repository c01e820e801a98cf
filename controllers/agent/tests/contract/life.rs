//! How tasks come to RUNNING, are drained and end, and what is told of them and of the machine meanwhile.

use std::time::Duration;

use skep_agent::engine::{Disk, Image, Machine, Phase};
use skep_agent::simulated::Latency;
use skep_api::key::{Key, TaskRef};
use skep_api::node::{ClockAnswer, NodeReport, NodeStatus};
use skep_api::object::{Object, Typed};
use skep_api::task::{DesiredState, HealthState, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};

use crate::rig::{IMAGE, Rig};
use crate::suite::hand::{revision, until};

const LONG: Duration = Duration::from_secs(60);
const CHECK: &str = "healthcheck: {test: [CMD, /skep-demo, health], interval: 5s, retries: 3}";

impl Rig {
    /// A task of a template with `more` in it.
    async fn task_with(&self, more: &str) -> TaskRef {
        self.hand.put_revision(revision(&format!("image: '{IMAGE}', {more}"), "")).await;
        self.hand.want(1, DesiredState::Running).await
    }

    async fn running_with(&self, more: &str) -> TaskRef {
        let task = self.task_with(more).await;
        self.hand.reaches(&task, TaskState::Running).await;
        task
    }

    /// Waits until the status of the task is as it is wanted.
    async fn told(&self, task: &TaskRef, wanted: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
        let mut found = None;
        until("it is told", async || {
            found = self.hand.status(task).await.filter(&wanted);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    async fn report(&self) -> NodeReport {
        let key = Key::NodeReport(self.hand.config.node.clone());
        until("the machine is reported", async || self.hand.read(&key).await.is_some()).await;
        let object = self.hand.read(&key).await.unwrap();
        (*NodeReport::from_object(&object).unwrap()).clone()
    }
}

/// Swarm 12.22.
#[tokio::test(start_paused = true)]
async fn a_task_waits_for_its_first_healthy_check_and_then_writes_no_more() {
    let rig = Rig::with_agent(1).await;
    let task = rig.task_with(&format!("env: {{HEALTHY_AFTER_MS: '7000'}}, {CHECK}")).await;
    let waiting = rig.told(&task, |status| status.health.is_some()).await;
    assert_eq!(waiting.message, "waiting for the first healthy check");
    assert_eq!(
        (waiting.state, waiting.running, waiting.started.is_some()),
        (TaskState::Starting, None, true)
    );
    let running = rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!(running.health.unwrap().state, HealthState::Healthy);
    assert!(running.running.unwrap().since(running.started.unwrap()) >= Span::from_secs(9));
    let before = rig.etcd.revision();
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.etcd.revision(), before);
}

/// Swarm 2.6.
#[tokio::test(start_paused = true)]
async fn a_task_that_never_becomes_healthy_or_does_not_stay_so_fails() {
    for (seed, env) in [(2, "FAIL_HEALTH: '1'"), (3, "FAIL_HEALTH_AFTER_MS: '20000'")] {
        let rig = Rig::with_agent(seed).await;
        let task = rig.task_with(&format!("env: {{{env}, SAY: \"hello\\nworld\"}}, {CHECK}")).await;
        let status = rig.told(&task, |status| status.state.is_terminal() && !status.is_unexamined()).await;
        assert_eq!(status.error.as_deref(), Some("task: non-zero exit (143): unhealthy container"));
        let health = status.health.unwrap();
        assert_eq!((health.state, health.failing_streak), (HealthState::Unhealthy, 3));
        assert_eq!(
            (health.output.as_str(), status.log),
            ("unhealthy", vec!["hello".to_owned(), "world".to_owned()])
        );
        assert_eq!(status.running.is_some(), seed == 3);
    }
}

/// Swarm 12.22.
#[tokio::test(start_paused = true)]
async fn a_task_drains_before_it_stops_whoever_kills_the_agent_meanwhile() {
    for kills in [false, true] {
        let mut rig = Rig::with_agent(4).await;
        let task = rig.running_with("preStop: {wait: 20s}").await;
        let asked = tokio::time::Instant::now();
        rig.hand.want(1, DesiredState::Shutdown).await;
        let draining = rig.told(&task, |status| status.draining.is_some()).await;
        assert_eq!((draining.state, draining.message.as_str()), (TaskState::Running, "draining"));
        tokio::time::sleep(Duration::from_secs(5)).await;
        if kills {
            rig.kill_agent().await;
            rig.start_agent().await;
        }
        assert_eq!(rig.running(), 1);
        rig.hand.reaches(&task, TaskState::Shutdown).await;
        let took = asked.elapsed();
        // A new agent has another clock here, which goes back to the beginning: it waits the whole time, and no more.
        let limit = Duration::from_secs(if kills { 27 } else { 22 });
        assert!((Duration::from_secs(20)..limit).contains(&took), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_to_stop_stops_although_etcd_has_gone_away_since() {
    let mut rig = Rig::with_agent(5).await;
    let task = rig.running_with("preStop: {wait: 20s}").await;
    rig.kill_agent().await;
    rig.start_agent().await;
    until("there is a session", async || rig.has_session().await).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.network.lose_replies(u32::MAX);
    rig.network.cut_reads(true);
    rig.hand.want(1, DesiredState::Shutdown).await;
    until("it is stopped", async || rig.running() == 0).await;
    rig.network.lose_replies(0);
    rig.network.cut_reads(false);
    rig.hand.reaches(&task, TaskState::Shutdown).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_tells_the_last_lines_and_why() {
    let rig = Rig::with_agent(6).await;
    let task = rig.running_with("env: {SAY: \"a\\nb\\nc\\nd\\ne\\nf\"}").await;
    assert!(rig.machine.run_out_of_memory(&rig.container_id()));
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("task: non-zero exit (137): out of memory"));
    assert_eq!(status.log, ["b", "c", "d", "e", "f"]);
    let container = status.container.unwrap();
    assert_eq!((container.oom_killed, container.image.as_str()), (true, "sha256:1"));
}

#[tokio::test(start_paused = true)]
async fn a_job_completes_only_by_itself() {
    let rig = Rig::with_agent(7).await;
    let ends = async |slot, end: fn(&Rig)| {
        let task = rig.hand.want(slot, DesiredState::Complete).await;
        rig.hand.reaches(&task, TaskState::Running).await;
        end(&rig);
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.machine.come_back();
        let status = rig.told(&task, |status| status.state.is_terminal() && !status.is_unexamined()).await;
        rig.hand.forget(&task).await;
        until("it is gone", async || rig.machine.containers().is_empty()).await;
        (status.state, status.error)
    };
    let stopped = (TaskState::Failed, Some("the container engine stopped it".to_owned()));
    let by_itself = |rig: &Rig| assert!(rig.machine.exit(&rig.container_id(), 0));
    assert_eq!(ends(1, by_itself).await, (TaskState::Complete, None));
    let by_hand = |rig: &Rig| assert!(rig.machine.stop_by_hand(&rig.container_id(), 0));
    assert_eq!(ends(2, by_hand).await, stopped);
    let shut_down = |rig: &Rig| rig.machine.shut_down(0);
    assert_eq!(ends(3, shut_down).await, stopped);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_before_the_machine_was_started_again_has_not_completed() {
    let mut rig = Rig::with_agent(8).await;
    let task = rig.hand.want(1, DesiredState::Complete).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.kill_agent().await;
    rig.machine.shut_down(0);
    let ended = rig.machine.containers()[0].finished.unwrap();
    rig.machine.set_machine(Machine { booted: Some(ended.after(Span::from_secs(1))), ..Machine::default() });
    rig.machine.come_back();
    rig.start_agent().await;
    rig.hand.reaches(&task, TaskState::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_tells_how_far_it_is_at_most_every_five_seconds() {
    let rig = Rig::with_agent(9).await;
    rig.machine.set_latency(Latency { pull: 28_000..28_001, ..Latency::default() });
    rig.machine.publish_image("slow:1", Image { id: "sha256:2".to_owned(), repo_digests: Vec::new() });
    rig.report().await;
    rig.hand.put_revision(revision("image: 'slow:1'", "")).await;
    let before = rig.etcd.revision();
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.told(&task, |status| status.message == "pulling slow:1").await;
    rig.told(&task, |status| status.message == "pulling slow:1: 50% (20.0 of 40.0 MiB)").await;
    rig.hand.reaches(&task, TaskState::Running).await;
    let writes = rig.etcd.revision() - before;
    assert!((4..=3 + 28 / 5 + 1).contains(&writes), "{writes}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_policy_is_kept() {
    let rig = Rig::with_agent(10).await;
    rig.hand.put_revision(revision("image: 'away:1', pullPolicy: never", "")).await;
    rig.machine.publish_image("away:1", Image { id: "sha256:2".to_owned(), repo_digests: Vec::new() });
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Rejected).await;
    assert_eq!(status.error.as_deref(), Some("image away:1 is not on node host and pullPolicy is never"));
    rig.hand.forget(&task).await;
}

/// Swarm 2.6, where every task pulls.
#[tokio::test(start_paused = true)]
async fn what_is_missing_is_pulled_and_what_is_here_is_not() {
    for (reference, expected) in [(IMAGE, "sha256:1"), ("away:1", "sha256:2")] {
        let rig = Rig::with_agent(15).await;
        rig.machine.publish_image(reference, Image { id: "sha256:2".to_owned(), repo_digests: Vec::new() });
        rig.hand.put_revision(revision(&format!("image: '{reference}', pullPolicy: missing"), "")).await;
        let task = rig.hand.want(1, DesiredState::Running).await;
        let status = rig.hand.reaches(&task, TaskState::Running).await;
        assert_eq!(status.container.unwrap().image, expected, "{reference}");
    }
}

/// Swarm 2.6.
#[tokio::test(start_paused = true)]
async fn what_is_always_pulled_runs_from_what_is_here_if_its_registry_does_not_answer() {
    let rig = Rig::with_agent(11).await;
    let task = rig.running_with("pullPolicy: always").await;
    assert_eq!(rig.hand.status(&task).await.unwrap().container.unwrap().image, "sha256:1");
    rig.hand.forget(&task).await;
    until("it is gone", async || rig.machine.containers().is_empty()).await;
    rig.machine.publish_image(IMAGE, Image { id: "sha256:2".to_owned(), repo_digests: Vec::new() });
    let task = rig.hand.want(2, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!(status.container.unwrap().image, "sha256:2", "its registry has a newer one");
}

/// Swarm 6.2.
#[tokio::test(start_paused = true)]
async fn what_was_replaced_while_the_node_was_away_is_stopped_when_it_returns() {
    let mut rig = Rig::with_agent(12).await;
    let task = rig.running_with("env: {}").await;
    rig.network.cut(true);
    tokio::time::sleep(LONG).await;
    rig.hand.want(1, DesiredState::Shutdown).await;
    assert_eq!(rig.running(), 1);
    rig.network.cut(false);
    rig.hand.reaches(&task, TaskState::Shutdown).await;
    rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&rig.hand.task(2), TaskState::Running).await;
    rig.kill_agent().await;
    rig.hand.want(2, DesiredState::Remove).await;
    rig.start_agent().await;
    rig.hand.reaches(&rig.hand.task(2), TaskState::Shutdown).await;
    assert!(rig.machine.containers().iter().all(|container| container.phase > Phase::Running));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_gets_full_is_told_once() {
    let rig = Rig::with_agent(13).await;
    let disk = |free: u64| Disk { path: "/var/lib/docker".to_owned(), size: 100 << 30, free: free << 30 };
    rig.machine.set_disk(disk(50));
    tokio::time::sleep(2 * LONG).await;
    assert_eq!(rig.report().await.disk_pressure, None);
    let before = rig.etcd.revision();
    for free in [9, 8, 14] {
        rig.machine.set_disk(disk(free));
        tokio::time::sleep(2 * LONG).await;
    }
    let sentence = "the disk of /var/lib/docker is 91% full: 9216 MiB are free";
    assert_eq!(rig.report().await.disk_pressure.as_deref(), Some(sentence));
    assert_eq!(rig.etcd.revision() - before, 1);
    rig.machine.set_disk(disk(50));
    tokio::time::sleep(2 * LONG).await;
    assert_eq!(rig.report().await.disk_pressure, None);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_of_the_node_controller_s_is_told() {
    let rig = Rig::with_agent(14).await;
    let key = Key::NodeStatus(rig.hand.config.node.clone());
    let answer = async |asked: Timestamp, ahead_ms: i64| {
        let answered = Timestamp::from_millis(asked.as_millis() - ahead_ms);
        let clock = Some(ClockAnswer { asked, answered });
        rig.hand.put(key.clone(), Object::from(NodeStatus { clock, ..NodeStatus::default() })).await;
    };
    let first = rig.report().await.clock_asked.unwrap();
    answer(first, 90_000).await;
    until("it is told", async || rig.report().await.clock_skew_ms.is_some()).await;
    let skew = rig.report().await.clock_skew_ms.unwrap();
    assert!((89_500..=91_000).contains(&skew), "{skew}");
    tokio::time::sleep(9 * LONG).await;
    until("it asks again", async || rig.report().await.clock_asked > Some(first)).await;
    let second = rig.report().await.clock_asked.unwrap();
    assert!(second.since(first) >= Span::from_secs(600), "not more often");
    answer(second, 0).await;
    until("it is right again", async || rig.report().await.clock_skew_ms.is_none()).await;
}
