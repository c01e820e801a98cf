//! A cluster of its own for each test: `skep up` in a temporary directory, taken down whatever happens.

pub(crate) mod docker;
pub(crate) mod endpoints;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod wait;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

pub(crate) use wait::{eventually, within};

/// How long anything in a journey may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A running cluster on this machine.
pub(crate) struct Cluster {
    folder: PathBuf,
    docker_host: Option<String>,
}

/// A process of the cluster, as `skep status --system` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

/// The built `skep`, which lies beside the tests.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("skep")
}

impl Cluster {
    /// Starts a cluster on this machine's Docker, with the demo image at hand.
    pub(crate) fn start() -> Self {
        docker::build_demo_image();
        Self::start_on(None)
    }

    /// Starts a cluster on the Docker at `docker_host`.
    pub(crate) fn start_on(docker_host: Option<String>) -> Self {
        Self::start_with(docker_host, &[])
    }

    /// Starts a cluster with these further arguments of `skep up`.
    pub(crate) fn start_with(docker_host: Option<String>, args: &[&str]) -> Self {
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("skep-e2e-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let cluster = Self { folder, docker_host };
        cluster.ok(&[&["up", "--detach"], args].concat());
        cluster
    }

    /// Where the Dockers of its nodes answer, this machine's first; `None` is where `docker` looks by itself.
    pub(crate) fn docker_hosts(&self) -> Vec<Option<String>> {
        let nodes = std::fs::read_dir(self.state_dir().join("nodes")).into_iter().flatten().flatten();
        let sockets = nodes.map(|node| node.path().join("docker.sock"));
        let answering = sockets.filter(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok());
        let further = answering.map(|socket| Some(format!("unix://{}", socket.display())));
        std::iter::once(self.docker_host.clone()).chain(further).collect()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A `skep` of this cluster, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env("SKEP_STATE_DIR", self.state_dir())
            .env_remove("SKEP_ETCD")
            .stdin(Stdio::null());
        if let Some(host) = &self.docker_host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs `skep` and returns its standard output; it must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "skep {args:?}: {}\n{}\n{}",
            output.status,
            text(&output.stderr),
            self.logs()
        );
        text(&output.stdout)
    }

    /// Writes a manifest and applies it with these further arguments.
    pub(crate) fn apply(&self, manifest: &str, args: &[&str]) -> String {
        let path = self.write("manifest.yaml", manifest);
        let mut all = vec!["apply", "-f", path.to_str().unwrap()];
        all.extend(args);
        self.ok(&all)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The items of `skep get KIND -o json`.
    pub(crate) fn get(&self, kind: &str) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.ok(&["get", kind, "-A", "-o", "json"])).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// The tasks of `service` that run.
    pub(crate) fn running(&self, service: &str) -> Vec<Value> {
        let is_running = |task: &Value| {
            task["spec"]["service"]["name"] == service
                && task["status"]["state"] == "RUNNING"
                && task["spec"]["desired"] == "RUNNING"
        };
        self.get("tasks").into_iter().filter(is_running).collect()
    }

    /// The published host ports of the tasks of `service` that run.
    pub(crate) fn ports(&self, service: &str) -> Vec<u16> {
        let port = |task: &Value| {
            task["status"]["ports"][0]["published"].as_u64().map(|port| u16::try_from(port).unwrap())
        };
        self.running(service).iter().filter_map(port).collect()
    }

    /// Waits until `service` is as wanted: `count` tasks run, and no others are left to run.
    pub(crate) fn comes_to(&self, service: &str, count: usize) {
        eventually(&format!("{service} has {count} running tasks"), || {
            let running = self.running(service).len();
            let containers = docker::running(self, service).len();
            (running == count && containers == count).then_some(()).ok_or_else(|| {
                format!("{running} run, {containers} containers; {}", self.ok(&["get", "tasks"]))
            })
        });
    }

    /// The cluster's processes.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let list: Value = serde_json::from_str(&self.ok(&["status", "--system", "-o", "json"])).unwrap();
        let process = |item: &Value| Process {
            name: item["name"].as_str().unwrap().to_owned(),
            pid: u32::try_from(item["pid"].as_u64().unwrap_or_default()).unwrap(),
        };
        list["processes"].as_array().unwrap().iter().map(process).collect()
    }

    pub(crate) fn process(&self, name: &str) -> Process {
        let found = self.processes().into_iter().find(|process| process.name == name);
        found.unwrap_or_else(|| panic!("no process {name}"))
    }

    /// Kills a process of the cluster, and waits until another one runs in its place.
    pub(crate) fn kill(&self, name: &str) {
        let old = self.process(name).pid;
        signal(old, "KILL");
        eventually(&format!("{name} is started again"), || {
            let new = self.process(name).pid;
            (new != 0 && new != old).then_some(()).ok_or_else(|| format!("pid {new}"))
        });
    }

    /// An `etcdctl` that may speak to this cluster's etcd.
    pub(crate) fn etcdctl(&self, args: &[&str]) -> Command {
        let text = std::fs::read_to_string(self.state_dir().join("cluster.json")).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let tls = |name: &str| found["tls"][name].as_str().unwrap().to_owned();
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(found["endpoints"][0].as_str().unwrap());
        command.args(["--cacert", &tls("ca"), "--cert", &tls("cert"), "--key", &tls("key")]);
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Puts a value as somebody without `skep` would.
    pub(crate) fn etcd_put(&self, key: &str, value: &str) {
        assert!(self.etcdctl(&["put", key, value]).output().unwrap().status.success());
    }

    /// What lies at `key`.
    pub(crate) fn etcd_get(&self, key: &str) -> String {
        text(&self.etcdctl(&["get", "--print-value-only", key]).output().unwrap().stdout)
    }

    /// The ends of all logs, for a failed test.
    fn logs(&self) -> String {
        let Ok(folder) = std::fs::read_dir(self.state_dir().join("log")) else { return String::new() };
        let tail = |path: &Path| {
            let content = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = content.lines().rev().take(15).collect();
            format!("--- {}\n{}\n", path.display(), lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        folder.flatten().map(|entry| tail(&entry.path())).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seen = self.run(&["get", "services,tasks,nodes,events", "-A"]);
            eprintln!("{}\n{}", text(&seen.stdout), self.logs());
        }
        let output = self.run(&["down", "--purge"]);
        if output.status.success() {
            std::fs::remove_dir_all(&self.folder).ok();
        } else {
            eprintln!("skep down: {}", text(&output.stderr));
        }
    }
}

/// Sends a signal to a process of the test's own cluster.
pub(crate) fn signal(pid: u32, name: &str) {
    assert!(pid > 1, "no process");
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A service of the demo image: so many replicas on free host ports.
pub(crate) fn demo(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         task: {{image: \"skep-demo:v1\", stopGracePeriod: 2s}}\n  ports: [{{target: 8080, mode: host}}]\n  \
         restart: {{delay: 0s}}\n"
    )
}
