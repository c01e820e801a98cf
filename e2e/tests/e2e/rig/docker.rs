//! What Docker says of a cluster's containers.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use serde_json::Value;

use super::{Cluster, text};

static IMAGE: Once = Once::new();

/// Builds the demo image, once.
pub(crate) fn build_demo_image() {
    IMAGE.call_once(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let output = Command::new(root.join("hack/demo/image")).current_dir(root).output().unwrap();
        assert!(output.status.success(), "hack/demo/image: {}", text(&output.stderr));
    });
}

/// Runs `docker` against the Docker of `cluster`, of its first node if it has several; it must succeed.
pub(crate) fn docker(cluster: &Cluster, args: &[&str]) -> String {
    docker_at(cluster.docker_host.as_deref(), args)
}

/// Runs `docker` against the Docker at `host`; it must succeed.
pub(crate) fn docker_at(host: Option<&str>, args: &[&str]) -> String {
    let mut command = Command::new("docker");
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    let output = command.args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The id of the cluster, as its containers are labelled.
pub(crate) fn cluster_filter(cluster: &Cluster) -> String {
    format!("label=skep.cluster={}", cluster.etcd_get("/skep/meta/cluster").trim())
}

/// The ids of the containers of `service` that run, on all nodes whose Docker answers.
pub(crate) fn running(cluster: &Cluster, service: &str) -> Vec<String> {
    let hosts = cluster.docker_hosts();
    hosts.iter().flat_map(|host| running_at(cluster, host.as_deref(), service)).collect()
}

/// The ids of the containers of `service` that run in the Docker at `host`.
pub(crate) fn running_at(cluster: &Cluster, host: Option<&str>, service: &str) -> Vec<String> {
    let service = format!("label=com.docker.swarm.service.name={service}");
    let filter = cluster_filter(cluster);
    let ids = docker_at(host, &["ps", "-q", "--no-trunc", "--filter", &filter, "--filter", &service]);
    ids.lines().map(str::to_owned).collect()
}

/// What happened to the cluster's containers since `since` (Unix time), on all nodes whose Docker answers: `(action,
/// container id, name)`. A Docker that was restarted tells only of what came after.
pub(crate) fn events(cluster: &Cluster, since: u64) -> Vec<(String, String, String)> {
    let hosts = cluster.docker_hosts();
    hosts.iter().flat_map(|host| events_at(cluster, host.as_deref(), since)).collect()
}

fn events_at(cluster: &Cluster, host: Option<&str>, since: u64) -> Vec<(String, String, String)> {
    let until = now() + 1;
    let filter = cluster_filter(cluster);
    let (since, until) = (since.to_string(), until.to_string());
    let lines = docker_at(
        host,
        &[
            "events",
            "--since",
            &since,
            "--until",
            &until,
            "--filter",
            &filter,
            "--filter",
            "type=container",
            "--format",
            "{{json .}}",
        ],
    );
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (field(&event["Action"]), field(&event["Actor"]["ID"]), field(&event["Actor"]["Attributes"]["name"]))
    };
    lines.lines().map(event).collect()
}

/// Unix time in seconds.
#[allow(clippy::disallowed_methods)] // Docker's events are asked for by the machine's clock.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// No container was ever started twice.
pub(crate) fn none_started_twice(cluster: &Cluster, since: u64) {
    let mut started: Vec<String> = events(cluster, since)
        .into_iter()
        .filter(|(action, ..)| action == "start")
        .map(|(_, _, name)| name)
        .collect();
    let all = started.len();
    started.sort();
    started.dedup();
    assert!(all > 0, "Docker told of no start");
    assert_eq!(started.len(), all, "a container was started twice");
}

/// A Docker of the test's own, which it may restart.
pub(crate) struct OwnDocker {
    folder: std::path::PathBuf,
    process: std::cell::RefCell<std::process::Child>,
}

/// The bridge of the test's own Docker.
const BRIDGE: &str = "skep-e2e0";

impl OwnDocker {
    pub(crate) fn start() -> Self {
        build_demo_image();
        let folder = std::env::temp_dir().join(format!("skep-e2e-docker-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        run("ip", &["link", "add", BRIDGE, "type", "bridge"]);
        run("ip", &["address", "add", "10.213.0.1/24", "dev", BRIDGE]);
        run("ip", &["link", "set", BRIDGE, "up"]);
        let process = std::cell::RefCell::new(Self::spawn(&folder));
        let own = Self { folder, process };
        own.wait();
        let archive = own.folder.join("image.tar");
        let archive = archive.to_str().unwrap();
        run("docker", &["save", "-o", archive, "skep-demo:v1"]);
        run("docker", &["-H", &own.host(), "load", "-i", archive]);
        own
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    /// Stops it as its service manager would, and starts it again.
    pub(crate) fn restart(&self) {
        self.stop();
        *self.process.borrow_mut() = Self::spawn(&self.folder);
        self.wait();
    }

    fn spawn(folder: &Path) -> std::process::Child {
        let path = |name: &str| folder.join(name).display().to_string();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        command.args([
            "--host",
            &format!("unix://{}", path("docker.sock")),
            "--bridge",
            BRIDGE,
            "--iptables=false",
        ]);
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(std::process::Stdio::null());
        command.spawn().unwrap()
    }

    fn wait(&self) {
        super::eventually("the test's own Docker answers", || {
            let output = Command::new("docker").args(["-H", &self.host(), "info"]).output().unwrap();
            output.status.success().then_some(()).ok_or_else(|| text(&output.stderr))
        });
    }

    fn stop(&self) {
        let mut process = self.process.borrow_mut();
        super::signal(process.id(), "TERM");
        process.wait().unwrap();
    }
}

impl Drop for OwnDocker {
    fn drop(&mut self) {
        self.stop();
        run("ip", &["link", "delete", BRIDGE]);
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
}
