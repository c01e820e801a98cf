//! Every setting of a container, as Docker has it and as the process sees it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use skep_agent::policy::Policy;
use skep_api::key::{Key, TaskRef};
use skep_api::node::NodeSpec;
use skep_api::rollout::Revision;
use skep_api::task::{DesiredState, TaskState};
use skep_store::scratch::Scratch;

use crate::rig::{Rig, demo, output};
use crate::suite::hand;

fn inspect(task: &TaskRef) -> Value {
    let text = output("docker", &["inspect", &skep_agent::container_name(task)]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// What the kernel says of the container's process: a line of a file in its /proc.
fn line(container: &Value, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", container["State"]["Pid"])).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.trim_start_matches(name).split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn running(rig: &Rig, template: &str) -> Value {
    rig.hand.put_revision(demo(template, "")).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    inspect(&task)
}

async fn rejected(rig: &Rig, revision: Revision) -> String {
    rig.hand.put_revision(revision).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Rejected).await.error.unwrap()
}

/// A policy from a file with this text.
fn policy(text: &str) -> (Policy, std::path::PathBuf) {
    let scratch = Scratch::new("policy").unwrap();
    let path = scratch.path().join("policy.yaml");
    fs::write(&path, text).unwrap();
    (Policy::load(Some(&path)).unwrap(), path)
}

/// Docker's volumes with this in their names; gone when the test is.
struct Volumes(String);

impl Volumes {
    fn new() -> Self {
        Self(format!("skep-e2e-{}", fastrand::u32(..)))
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        let filter = format!("name={}", self.0);
        let listed = Command::new("docker").args(["volume", "ls", "-q", "--filter", &filter]).output();
        let names = listed.map(|listed| listed.stdout).unwrap_or_default();
        for name in String::from_utf8_lossy(&names).split_whitespace() {
            let _ = Command::new("docker").args(["volume", "rm", "-f", name]).output();
        }
    }
}

/// Swarm 2.1, Swarm 2.6.
#[tokio::test(flavor = "multi_thread")]
async fn limits_and_privileges_reach_the_process() {
    let rig = Rig::start().await;
    let container = running(
        &rig,
        ", user: '1000:1000', groups: ['1234'], readOnly: true, stopSignal: SIGINT, oomScoreAdj: 321, \
        capAdd: [net_admin, CHOWN], capDrop: [all], ulimits: [{name: nofile, soft: 100, hard: 200}], \
        privileges: {noNewPrivileges: true, seccomp: unconfined, apparmor: disabled}, \
        resources: {swap: 32Mi, limits: {memory: 64Mi, pids: 50}}",
    )
    .await;
    let config = &container["HostConfig"];
    assert_eq!(
        (&config["CapAdd"], &config["CapDrop"]),
        (&json!(["CAP_CHOWN", "CAP_NET_ADMIN"]), &json!(["ALL"]))
    );
    assert_eq!((&config["MemorySwap"], &config["PidsLimit"]), (&json!(96 << 20), &json!(50)));
    assert_eq!((&config["ReadonlyRootfs"], &config["GroupAdd"]), (&json!(true), &json!(["1234"])));
    assert_eq!(line(&container, "status", "Groups:"), "1000 1234");
    assert_eq!(line(&container, "status", "NoNewPrivs:"), "1");
    assert_eq!(line(&container, "status", "Seccomp:"), "0");
    assert_eq!(line(&container, "status", "CapBnd:"), "0000000000001001", "CHOWN and NET_ADMIN");
    assert_eq!(line(&container, "limits", "Max open files"), "100 200 files");
    assert_eq!(line(&container, "oom_score_adj", ""), "321");
    assert_eq!(container["Config"]["StopSignal"], "SIGINT");
}

/// Swarm 2.1, Swarm 2.6.
#[tokio::test(flavor = "multi_thread")]
async fn names_terminal_logging_and_health_reach_docker() {
    let rig = Rig::start().await;
    let container = running(
        &rig,
        ", tty: true, stdinOpen: true, hosts: {db: 10.1.2.3}, sysctls: {net.core.somaxconn: '512'}, \
        dns: {nameservers: [10.9.9.9], search: [skep.test], options: ['ndots:3']}, shmSize: 32Mi, ipc: private, \
        logging: {driver: json-file, options: {max-size: 1m}}, healthcheck: {test: [NONE]}, \
        mounts: [{type: tmpfs, target: /scratch, size: 1Mi, options: [exec, uid=7]}]",
    )
    .await;
    let config = &container["HostConfig"];
    assert_eq!(
        (&container["Config"]["Tty"], &container["Config"]["OpenStdin"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(config["ExtraHosts"], json!(["db:10.1.2.3"]));
    assert_eq!(config["Sysctls"], json!({"net.core.somaxconn": "512"}));
    assert_eq!(config["LogConfig"], json!({"Type": "json-file", "Config": {"max-size": "1m"}}));
    assert_eq!((&config["ShmSize"], &config["IpcMode"]), (&json!(32 << 20), &json!("private")));
    assert_eq!(container["Config"]["Healthcheck"]["Test"], json!(["NONE"]));
    assert_eq!(config["Tmpfs"], json!({"/scratch": "rw,size=1048576,exec,uid=7"}));
    let file = |name: &str| fs::read_to_string(container[name].as_str().unwrap()).unwrap();
    assert!(file("HostsPath").contains("10.1.2.3\tdb"), "{}", file("HostsPath"));
    let resolv = file("ResolvConfPath");
    for part in ["nameserver 10.9.9.9", "search skep.test", "options ndots:3"] {
        assert!(resolv.contains(part), "{part}: {resolv}");
    }
}

/// Swarm 2.1: mounts, with what Compose has of them.
#[tokio::test(flavor = "multi_thread")]
async fn mounts_are_made_with_all_their_options() {
    let volumes = Volumes::new();
    let name = format!("{}-own", volumes.0);
    let scratch = Scratch::new("missing").unwrap();
    let missing = scratch.path().join("not-there");
    let rig = Rig::start().await;
    let container = running(
        &rig,
        &format!(
            ", mounts: [{{type: bind, source: /etc, target: /b, readOnly: true, propagation: private, \
            nonRecursive: true, consistency: cached}}, \
            {{type: bind, source: {}, target: /m, createMountpoint: true}}, \
            {{source: {name}, target: /v, noCopy: true, driver: local, driverOptions: {{type: tmpfs, device: tmpfs, \
            o: 'size=1m,mode=0700'}}, labels: {{tier: back}}}}]",
            missing.display()
        ),
    )
    .await;
    assert!(missing.is_dir(), "the path was created");
    let mounts = container["Mounts"].as_array().unwrap();
    let at = |target: &str| mounts.iter().find(|mount| mount["Destination"] == target).unwrap().clone();
    assert_eq!((&at("/b")["Propagation"], &at("/b")["RW"]), (&json!("private"), &json!(false)));
    let asked = container["HostConfig"]["Mounts"].as_array().unwrap();
    let asked_at = |target: &str| asked.iter().find(|mount| mount["Target"] == target).unwrap().clone();
    assert_eq!(asked_at("/b")["BindOptions"], json!({"Propagation": "private", "NonRecursive": true}));
    assert_eq!(asked_at("/b")["Consistency"], "cached");
    assert_eq!(asked_at("/v")["VolumeOptions"]["NoCopy"], true);
    let mountinfo = fs::read_to_string(format!("/proc/{}/mountinfo", container["State"]["Pid"])).unwrap();
    assert!(
        mountinfo.lines().any(|line| line.contains(" /v ") && line.contains("size=1024k")),
        "{mountinfo}"
    );
    let volume: Value = serde_json::from_str(&output("docker", &["volume", "inspect", &name])).unwrap();
    assert_eq!(volume[0]["Labels"], json!({"tier": "back"}));
    assert_eq!(volume[0]["Options"]["o"], "size=1m,mode=0700");
}

/// Swarm 2.5, with the labels of nodes besides; Swarm 12.25.
#[tokio::test(flavor = "multi_thread")]
async fn templates_have_the_values_of_the_task_and_of_its_node() {
    let volumes = Volumes::new();
    let rig = Rig::start().await;
    let node = rig.hand.config.node.clone();
    let labels = [("zone".to_owned(), "b".to_owned())].into();
    let spec =
        NodeSpec { name: "n1".to_owned(), labels, ..serde_json::from_value(json!({"name": "x"})).unwrap() };
    rig.hand.put(Key::Node(node.clone()), spec).await;
    let template = format!(
        ", hostname: '{{{{.Service.Name}}}}-{{{{.Task.Slot}}}}', \
        env: {{WHERE: '{{{{.Node.Name}}}}/{{{{.Node.Labels.zone}}}}/{{{{.Node.Hostname}}}}', WHO: '{{{{.Task.Name}}}}', \
        TIER: '{{{{.Service.Labels.tier}}}}', ID: '{{{{.Node.ID}}}} {{{{.Task.ID}}}}', ARCH: '{{{{.Node.Platform.OS}}}}'}}, \
        args: [], labels: {{plain: '{{{{.Task.Slot}}}}'}}, \
        mounts: [{{source: '{}-{{{{.Task.Slot}}}}', target: '/data/{{{{.Task.Slot}}}}', \
        labels: {{slot: '{{{{.Task.Slot}}}}'}}}}]",
        volumes.0
    );
    let mut revision = demo(&template, "");
    revision.labels = [("tier".to_owned(), "front".to_owned())].into();
    rig.hand.put_revision(revision).await;
    let task = rig.hand.want(3, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    let container = inspect(&task);
    assert_eq!(container["Config"]["Hostname"], "web-3");
    let env: Vec<&str> =
        container["Config"]["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let id = container["Config"]["Labels"]["com.docker.swarm.task.id"].as_str().unwrap();
    for expected in [
        "WHERE=n1/b/host".to_owned(),
        format!("WHO={}", skep_agent::container_name(&task)),
        "TIER=front".to_owned(),
        format!("ID={node} {id}"),
        "ARCH=linux".to_owned(),
    ] {
        assert!(env.contains(&expected.as_str()), "{expected}: {env:?}");
    }
    assert_eq!(
        container["Config"]["Labels"]["plain"], "{{.Task.Slot}}",
        "labels of containers are no templates"
    );
    assert_eq!(container["Mounts"][0]["Name"], format!("{}-3", volumes.0));
    assert_eq!(container["Mounts"][0]["Destination"], "/data/3");
    let volume =
        output("docker", &["volume", "inspect", &format!("{}-3", volumes.0), "-f", "{{.Labels.slot}}"]);
    assert_eq!(volume, "3");
}

/// Swarm 2.5: a missing map key is an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_the_node_lacks_rejects_the_task() {
    let rig = Rig::start().await;
    let words = rejected(&rig, demo(", env: {RACK: '{{.Node.Labels.rack}}'}", "")).await;
    assert_eq!(words, "the node host has no label \"rack\", which a template names");
}

/// Swarm 2.1: its API has no privileged, devices and namespaces of the host, so they need the node's word.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_does_not_allow_rejects_the_task_and_names_the_setting() {
    let rig = Rig::start().await;
    let words = rejected(&rig, demo(", privileged: true", "")).await;
    assert!(words.starts_with("`task.privileged` is not allowed on this node"), "{words}");
    let (policy, path) = policy("forbid:\n  hostPaths: [/var/run/docker.sock]\n");
    let rig = Rig::start_under(policy).await;
    let words = rejected(&rig, demo(", mounts: [{type: bind, source: /run, target: /host}]", "")).await;
    let expected = format!("{} says `forbid: {{hostPaths: [/var/run/docker.sock]}}`", path.display());
    assert!(
        words.starts_with("`the mount at /host: /run` is forbidden") && words.contains(&expected),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_allows_reaches_the_process() {
    let (policy, _) = policy("allow: {privileged: true, hostNamespaces: true, devices: [/dev]}");
    let rig = Rig::start_under(policy).await;
    let device = "{source: /dev/zero, target: /dev/zero1, permissions: r}";
    let container =
        running(&rig, &format!(", devices: [{device}], pid: host, ipc: host, userns: host")).await;
    let config = &container["HostConfig"];
    assert_eq!(
        config["Devices"],
        json!([{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/zero1", "CgroupPermissions": "r"}])
    );
    assert_eq!(
        (&config["PidMode"], &config["IpcMode"], &config["UsernsMode"]),
        (&json!("host"), &json!("host"), &json!("host"))
    );
    assert!(!line(&container, "status", "NSpid:").contains(' '), "it is in the namespace of this test");
}

/// The container is not started: not every machine that runs this has all capabilities to give.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_allow_privileged_containers() {
    let (policy, _) = policy("allow: {privileged: true}");
    let rig = Rig::start_under(policy).await;
    rig.hand.put_revision(demo(", privileged: true", "")).await;
    let task = rig.hand.want(1, DesiredState::Ready).await;
    rig.hand.reaches(&task, TaskState::Ready).await;
    assert_eq!(inspect(&task)["HostConfig"]["Privileged"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_the_stack_is_created_as_it_says_and_never_mistaken_for_another() {
    let volumes = Volumes::new();
    let rig = Rig::start().await;
    let mut revision = demo(&format!(", mounts: [{{source: {}, target: /data}}]", volumes.0), "");
    let volume = |size: &str| {
        let options = json!({"type": "tmpfs", "device": "tmpfs", "o": format!("size={size}")});
        serde_json::from_value(json!({"driverOptions": options, "labels": {"tier": "back"}})).unwrap()
    };
    revision.volumes.insert(volumes.0.parse().unwrap(), volume("1m"));
    rig.hand.put_revision(revision.clone()).await;
    let task = rig.hand.want(1, DesiredState::Running).await;
    rig.hand.reaches(&task, TaskState::Running).await;
    let inspected: Value =
        serde_json::from_str(&output("docker", &["volume", "inspect", &volumes.0])).unwrap();
    assert_eq!(
        (&inspected[0]["Labels"]["tier"], &inspected[0]["Options"]["o"]),
        (&json!("back"), &json!("size=1m"))
    );
    // A second task on the node shares it.
    let second = rig.hand.want(2, DesiredState::Running).await;
    rig.hand.reaches(&second, TaskState::Running).await;
    assert_eq!(inspect(&second)["Mounts"][0]["Name"], json!(volumes.0));
    // Another agent, whose Volume of the same name has other options.
    let other = Rig::start().await;
    revision.volumes.insert(volumes.0.parse().unwrap(), volume("2m"));
    let words = rejected(&other, revision).await;
    let expected =
        format!("the volume {} is on this node already, but was created in another way", volumes.0);
    assert!(words.starts_with(&expected) && words.contains("other driver options"), "{words}");
}

/// Swarm 4.6
#[tokio::test(flavor = "multi_thread")]
async fn a_process_sees_which_generic_resources_its_task_was_given() {
    let rig = Rig::start().await;
    let reserved = ", resources: {reservations: {generic: {gpu: 2, SSD: 3}}}";
    rig.hand.put_revision(demo(reserved, "")).await;
    let key = rig.hand.task(1);
    let mut task = hand::task(1, DesiredState::Running);
    task.generic.insert("gpu".to_owned(), ["uuid2", "uuid1"].map(str::to_owned).into());
    rig.hand.put(Key::Task(key.clone()), task).await;
    rig.hand.reaches(&key, TaskState::Running).await;
    let environ = fs::read(format!("/proc/{}/environ", inspect(&key)["State"]["Pid"])).unwrap();
    let environ = String::from_utf8(environ).unwrap();
    let variables: Vec<&str> =
        environ.split('\0').filter(|text| text.starts_with("DOCKER_RESOURCE")).collect();
    assert_eq!(variables, ["DOCKER_RESOURCE_GPU=uuid1,uuid2", "DOCKER_RESOURCE_SSD=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_tells_the_drivers_that_its_docker_has() {
    let rig = Rig::start().await;
    let key = Key::NodeReport(rig.hand.config.node.clone());
    hand::until("it is reported", async || {
        let Some(skep_api::object::Object::NodeReport(report)) = rig.hand.read(&key).await else {
            return false;
        };
        let has = |names: &std::collections::BTreeSet<String>, name: &str| names.contains(name);
        let plugins = &report.plugins;
        has(&plugins.volume, "local") && has(&plugins.network, "bridge") && has(&plugins.log, "json-file")
    })
    .await;
}
