//! What an agent does with its tasks on a real machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use skep_api::key::Key;
use skep_api::rollout::Pin;
use skep_api::task::{DesiredState, TaskState};

use crate::registry::Registry;
use crate::rig::{Rig, demo, output};
use crate::suite::hand::{revision, service_uid, until};

/// What a port of this machine answers to a GET.
fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn inspect(name: &str, format: &str) -> String {
    output("docker", &["inspect", "--format", format, name])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_becomes_a_container_that_answers_and_goes_when_the_task_goes() {
    let rig = Rig::start().await;
    rig.hand.put_revision(demo("", "{target: 8080, mode: host}")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Running).await;
    let port = status.ports[0].published;
    let name = skep_agent::container_name(&task);
    until("it answers with its name", async || get(port).is_ok_and(|answer| answer.contains(&name))).await;
    rig.hand.want(1, DesiredState::Remove).await;
    let status = rig.hand.reaches(&task, TaskState::Shutdown).await;
    assert!(status.container.unwrap().exit_code.is_some());
    assert_eq!(inspect(&name, "{{.State.Running}}"), "false", "kept as history");
    rig.hand.forget(&task).await;
    until("it is removed", async || {
        output("docker", &["ps", "-aq", "--filter", &format!("name={name}")]).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_made_as_its_template_says() {
    let rig = Rig::start().await;
    let template = ", args: [], env: {A: '1', SKEP_SLOT: mine}, user: '1000:1000', workdir: /tmp, hostname: h1, \
        labels: {tier: front, skep.node: forged}, init: true, stopSignal: SIGINT, \
        resources: {limits: {cpus: '0.5', memory: 64Mi}, reservations: {memory: 32Mi}}, \
        mounts: [{type: bind, source: /etc, target: /host-etc, readOnly: true}, {target: /data}, \
        {type: tmpfs, target: /scratch, size: 1Mi, mode: '1770'}]";
    rig.hand
        .put_revision(demo(template, "{target: 8080, mode: host}, {target: 53, protocol: udp, mode: host}"))
        .await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Running).await;
    assert_eq!(status.ports.len(), 2);
    let name = skep_agent::container_name(&task);
    let node = rig.hand.config.node.as_str();
    for (format, expected) in [
        ("{{.Config.Image}}", "skep-demo"),
        ("{{.Config.User}} {{.Config.WorkingDir}} {{.Config.Hostname}}", "1000:1000 /tmp h1"),
        ("{{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.Init}}", "SIGINT 2 true"),
        (
            "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}}",
            "500000000 67108864 33554432",
        ),
        (r#"{{index .Config.Labels "tier"}} {{index .Config.Labels "skep.node"}}"#, &format!("front {node}")),
        (r#"{{index .Config.Labels "com.docker.swarm.task.name"}}"#, &name),
        (r#"{{index .Config.Labels "com.docker.swarm.service.name"}}"#, "web"),
        (
            "{{range .Config.Env}}{{println .}}{{end}}",
            &format!("A=1\nSKEP_SERVICE=web\nSKEP_SLOT=mine\nSKEP_TASK_NAME={name}"),
        ),
        (
            "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}",
            "bind /host-etc false;volume /data true;tmpfs /scratch true;",
        ),
    ] {
        let found = inspect(&name, format);
        let is_right = if format.contains("Env") || format.contains("range .Mounts") {
            expected.split(['\n', ';']).all(|part| found.contains(part))
        } else {
            found == expected
        };
        assert!(is_right, "{format}: {found:?}, not {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_refuses_is_told_in_its_own_words() {
    let rig = Rig::start().await;
    rig.hand.put_revision(demo(", mounts: [{type: bind, source: /no/such/path, target: /x}]", "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Rejected).await;
    assert!(status.error.unwrap().contains("bind source path does not exist: /no/such/path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_exist_fails_its_task() {
    let rig = Rig::start().await;
    rig.hand.put_revision(demo(", command: [/no-such-program]", "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert!(status.error.unwrap().contains("/no-such-program"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_and_a_container_that_people_remove_are_told() {
    let rig = Rig::start().await;
    rig.hand.put_revision(demo("", "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    output("docker", &["kill", "--signal", "KILL", &skep_agent::container_name(&task)]);
    let status = rig.hand.reaches(&task, TaskState::Failed).await;
    assert_eq!(status.error.as_deref(), Some("task: non-zero exit (137)"));
    let task = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    output("docker", &["rm", "-f", &skep_agent::container_name(&task)]);
    rig.hand.reaches(&task, TaskState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_on_while_its_agent_is_killed_and_etcd_is_away() {
    let mut rig = Rig::start().await;
    rig.hand.put_revision(demo("", "{target: 8080, mode: host}")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    let port = rig.hand.reaches(&task, TaskState::Running).await.ports[0].published;
    let name = skep_agent::container_name(&task);
    let started = inspect(&name, "{{.State.StartedAt}} {{.Id}}");
    rig.kill_agent().await;
    rig.etcd.kill().unwrap();
    rig.start_agent();
    until("it answers", async || get(port).is_ok()).await;
    rig.etcd.run().await.unwrap();
    let second = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&second, TaskState::Running).await;
    assert_eq!(inspect(&name, "{{.State.StartedAt}} {{.Id}}"), started);
    rig.hand.want(1, DesiredState::Shutdown).await;
    rig.hand.reaches(&task, TaskState::Shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tasks_start_side_by_side() {
    let rig = Rig::start().await;
    rig.hand.put_revision(demo("", "{target: 8080, mode: host}")).await;
    for slot in 1..=20 {
        rig.hand.want(slot, DesiredState::Running).await;
    }
    let mut ports = std::collections::BTreeSet::new();
    for slot in 1..=20 {
        ports.insert(rig.hand.reaches(&rig.hand.task(slot), TaskState::Running).await.ports[0].published);
    }
    assert_eq!(ports.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_registry_is_pulled_pinned_and_run_by_its_digest() {
    let registry = Registry::start().await;
    let rig = Rig::start().await;
    let image = format!("{}/app:1", registry.address);
    rig.hand.put_revision(revision(&format!("image: '{image}', stopGracePeriod: 2s"), "")).await;
    let tasks =
        [rig.hand.want(1, DesiredState::Running).await, rig.hand.want(2, DesiredState::Running).await];
    for task in &tasks {
        rig.hand.reaches(task, TaskState::Running).await;
        let name = skep_agent::container_name(task);
        assert_eq!(inspect(&name, "{{.Config.Image}}"), format!("{image}@{}", registry.digest));
    }
    let pin = rig.hand.read(&Key::Pin(service_uid(), 1)).await;
    assert_eq!(pin, Some(Pin { digest: registry.digest.clone() }.into()));
}
