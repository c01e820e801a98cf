//! How tasks come to RUNNING, are drained and end, on a real Docker.

use std::process::Command;

use skep_api::key::TaskRef;
use skep_api::task::{DesiredState, HealthState, TaskState, TaskStatus};
use skep_api::time::Span;

use crate::registry::Registry;
use crate::rig::{IMAGE, Rig, demo, output};
use crate::suite::hand::{revision, until};

const CHECK: &str = "healthcheck: {test: [CMD, /skep-demo, health], interval: 200ms, retries: 2}";

impl Rig {
    /// A task of the demo image whose template has `more`.
    async fn task_with(&self, more: &str) -> TaskRef {
        self.hand.put_revision(demo(&format!(", {more}"), "")).await;
        self.hand.want(1, DesiredState::Running).await
    }

    async fn ends(&self, task: &TaskRef) -> TaskStatus {
        let mut found = None;
        until("it has ended", async || {
            found = self
                .hand
                .status(task)
                .await
                .filter(|status| status.state.is_terminal() && !status.is_unexamined());
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// Swarm 12.22.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_when_it_is_healthy_and_not_before() {
    let rig = Rig::start().await;
    let check = CHECK.replace("retries", "startPeriod: 60s, retries");
    let task = rig.task_with(&format!("env: {{HEALTHY_AFTER_MS: '1500'}}, {check}")).await;
    let mut waited = false;
    let mut last = None;
    until("it runs", async || {
        last = rig.hand.status(&task).await;
        waited |= last.as_ref().is_some_and(|status| status.message == "waiting for the first healthy check");
        last.as_ref().is_some_and(|status| status.state == TaskState::Running)
    })
    .await;
    let status = last.unwrap();
    assert!(waited);
    assert_eq!(status.health.unwrap().state, HealthState::Healthy);
    assert!(status.running.unwrap().since(status.started.unwrap()) >= Span::from_millis(1400));
}

/// Swarm 2.6.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_never_healthy_or_does_not_stay_so_is_stopped_and_fails() {
    for (env, has_run) in [("FAIL_HEALTH: '1'", false), ("FAIL_HEALTH_AFTER_MS: '1500'", true)] {
        let rig = Rig::start().await;
        let task = rig.task_with(&format!("env: {{{env}}}, {CHECK}")).await;
        let status = rig.ends(&task).await;
        assert_eq!(status.state, TaskState::Failed);
        assert_eq!(status.error.as_deref(), Some("task: non-zero exit (0): unhealthy container"));
        let health = status.health.unwrap();
        assert_eq!((health.state, health.output.as_str()), (HealthState::Unhealthy, "unhealthy"));
        assert_eq!(status.running.is_some(), has_run);
        assert!(
            status.log.iter().any(|line| line == "GET /healthz 503 Service Unavailable"),
            "{:?}",
            status.log
        );
    }
}

/// An image that a test makes; gone when the test is.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "-f", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_of_the_image_counts_as_well() {
    let made = Image(format!("skep-checked:{}", fastrand::u32(..)));
    let image = made.0.as_str();
    let rig = Rig::start().await;
    let label = format!("{}={}", skep_agent::labels::CLUSTER, rig.hand.store.identity().unwrap().cluster);
    let id = output("docker", &["create", "--label", &label, IMAGE]);
    let check = r#"HEALTHCHECK --interval=200ms CMD ["/skep-demo", "health"]"#;
    output("docker", &["commit", "--change", check, &id, image]);
    rig.hand.put_revision(revision(&format!("image: '{image}'"), "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!(status.health.unwrap().state, HealthState::Healthy);
    rig.hand.forget(&task).await;
    let name = skep_agent::container_name(&task);
    until("it is removed", async || {
        output("docker", &["ps", "-aq", "--filter", &format!("name={name}")]).is_empty()
    })
    .await;
}

/// Swarm 12.22.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_serves_drains_before_it_is_stopped() {
    let mut rig = Rig::start().await;
    let task = rig.task_with("preStop: {wait: 2s}").await;
    rig.hand.reaches(&task, TaskState::Running).await;
    rig.hand.want(1, DesiredState::Shutdown).await;
    until("it drains", async || rig.hand.status(&task).await.is_some_and(|status| status.draining.is_some()))
        .await;
    rig.kill_agent().await;
    let name = skep_agent::container_name(&task);
    assert_eq!(output("docker", &["inspect", "--format", "{{.State.Running}}", &name]), "true");
    rig.start_agent();
    let status = rig.hand.reaches(&task, TaskState::Shutdown).await;
    let waited = status.since.since(status.draining.unwrap());
    assert!(waited >= Span::from_secs(2), "{waited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_exits_tells_its_code_and_its_last_lines() {
    let rig = Rig::start().await;
    let env = r#"SAY: "a\nb\nc\nd\ne\n\e[31mf\e[0m", EXIT_AFTER_MS: '100', EXIT_CODE: '42'"#;
    let task = rig.task_with(&format!("env: {{{env}}}")).await;
    let status = rig.ends(&task).await;
    assert_eq!(
        (status.state, status.error.as_deref()),
        (TaskState::Failed, Some("task: non-zero exit (42)"))
    );
    assert_eq!(status.log.len(), 5);
    assert_eq!(status.log[..3], ["d", "e", "f"]);
    assert_eq!(status.log[4], "exiting with 42, as asked");
    let container = status.container.unwrap();
    assert_eq!(container.exit_code, Some(42));
    assert_eq!(container.image, output("docker", &["image", "inspect", "--format", "{{.Id}}", IMAGE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logging_driver_that_keeps_nothing_to_read_is_no_obstacle() {
    let rig = Rig::start().await;
    let env = "env: {SAY: a, EXIT_AFTER_MS: '100', EXIT_CODE: '3'}";
    let task = rig.task_with(&format!("{env}, logging: {{driver: none}}")).await;
    let status = rig.ends(&task).await;
    assert_eq!((status.state, status.log), (TaskState::Failed, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_runs_out_of_memory_says_so() {
    let rig = Rig::start().await;
    let limits = "resources: {limits: {memory: 16Mi}}";
    let task = rig.task_with(&format!("env: {{ALLOCATE_MIB: '64'}}, {limits}")).await;
    let status = rig.ends(&task).await;
    assert_eq!(status.error.as_deref(), Some("task: non-zero exit (137): out of memory"));
    assert!(status.container.unwrap().oom_killed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_by_itself_has_completed_and_one_that_people_stop_has_not() {
    for (env, expected) in [
        ("EXIT_AFTER_MS: '100'", (TaskState::Complete, None)),
        ("", (TaskState::Failed, Some("the container engine stopped it"))),
    ] {
        let rig = Rig::start().await;
        rig.hand.put_revision(demo(&format!(", env: {{{env}}}"), "")).await;
        let task = rig.hand.want(1, DesiredState::Complete).await;
        if expected.0 == TaskState::Failed {
            rig.hand.reaches(&task, TaskState::Running).await;
            output("docker", &["stop", &skep_agent::container_name(&task)]);
        }
        let status = rig.ends(&task).await;
        assert_eq!((status.state, status.error.as_deref()), expected);
        assert_eq!(status.container.unwrap().exit_code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_and_run_by_the_digest_that_its_name_has() {
    let registry = Registry::start().await;
    let rig = Rig::start().await;
    let image = format!("{}/app:1@{}", registry.address, registry.digest);
    for policy in ["missing", "always", "never"] {
        let template = format!("image: '{image}', stopGracePeriod: 2s, pullPolicy: {policy}");
        rig.hand.put_revision(revision(&template, "")).await;
        let task = rig.hand.want(1, DesiredState::Running).await;
        rig.hand.reaches(&task, TaskState::Running).await;
        let name = skep_agent::container_name(&task);
        assert_eq!(output("docker", &["inspect", "--format", "{{.Config.Image}}", &name]), image);
        rig.hand.forget(&task).await;
        until("it is removed", async || {
            output("docker", &["ps", "-aq", "--filter", &format!("name={name}")]).is_empty()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_only_another_machine_has_comes_with_the_command_that_brings_it() {
    let registry = Registry::start().await;
    let rig = Rig::start().await;
    let image = format!("{}/missing:1@sha256:{}", registry.address, "0".repeat(64));
    rig.hand.put_revision(revision(&format!("image: '{image}'"), "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Rejected).await;
    let error = status.error.unwrap();
    let command = format!("docker save {}/missing:1 | ssh host docker load", registry.address);
    assert!(error.contains("no registry has it") && error.ends_with(&command), "{error}");
}
