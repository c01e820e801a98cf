//! A cluster of several nodes on this machine: `skep up --nodes N`, nodes that fail and come back, and a look for what is
//! left behind at the end.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Cluster, docker, eventually, text, within};

/// Beyond the time in which a node counts as lost: what a machine with two busy cores needs for the rest.
pub(crate) const LOSS_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// A running cluster of several nodes; the first is this machine, the others are called n2, n3 and so on.
pub(crate) struct Fleet {
    cluster: Option<Cluster>,
    traces: Traces,
}

/// By what everything of a cluster can be told on this machine.
struct Traces {
    folder: String,
    network: String,
    subnet: String,
    label: String,
}

impl Cluster {
    /// Starts a cluster of so many nodes, each with the demo images.
    pub(crate) fn with_nodes(count: u32) -> Fleet {
        docker::build_demo_image();
        let count = count.to_string();
        let cluster =
            Self::start_with(None, &["--nodes", &count, "--load", "skep-demo:v1", "--load", "skep-demo:v2"]);
        let file = std::fs::read(cluster.state_dir().join("nodes/network.json")).unwrap();
        let network: Value = serde_json::from_slice(&file).unwrap();
        let traces = Traces {
            folder: cluster.folder.display().to_string(),
            network: format!("skep-{}", network["id"].as_str().unwrap()),
            subnet: format!("198.19.{}.", network["subnet"]),
            label: docker::cluster_filter(&cluster),
        };
        Fleet { cluster: Some(cluster), traces }
    }
}

impl Deref for Fleet {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }
}

impl Fleet {
    /// The names of all nodes by their ids.
    fn names(&self) -> BTreeMap<String, String> {
        let name = |node: &Value| (string(&node["metadata"]["name"]), string(&node["spec"]["name"]));
        self.get("nodes").iter().map(name).collect()
    }

    /// The name of the node that is this machine.
    pub(crate) fn machine(&self) -> String {
        let others =
            |name: &String| name.strip_prefix('n').is_some_and(|number| number.parse::<u32>().is_ok());
        self.names().into_values().find(|name| !others(name)).unwrap()
    }

    /// A node as `skep get nodes -o json` shows it.
    pub(crate) fn node(&self, name: &str) -> Value {
        let found = self.get("nodes").into_iter().find(|node| node["spec"]["name"] == name);
        found.unwrap_or_else(|| panic!("no node {name}"))
    }

    /// Where the Docker of a node answers; `None` is this machine's own.
    pub(crate) fn docker_host(&self, name: &str) -> Option<String> {
        let dir = self.state_dir().join("nodes").join(name);
        dir.is_dir().then(|| format!("unix://{}", dir.join("docker.sock").display()))
    }

    /// How many tasks of `service` run on each node; nodes without any are left out.
    pub(crate) fn spread(&self, service: &str) -> BTreeMap<String, usize> {
        let names = self.names();
        let mut spread = BTreeMap::new();
        for task in self.running(service) {
            let node = string(&task["spec"]["node"]);
            *spread.entry(names.get(&node).cloned().unwrap_or(node)).or_default() += 1;
        }
        spread
    }

    /// Waits until the tasks of `service` that run are spread like this, and each node's Docker runs just their containers.
    pub(crate) fn spreads(&self, service: &str, wanted: &[(&str, usize)]) {
        let wanted: BTreeMap<String, usize> =
            wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        within(LOSS_LIMIT, &format!("{service} is spread as {wanted:?}"), || {
            let tasks = self.spread(service);
            let containers = self.containers(service);
            (tasks == wanted && containers == wanted).then_some(()).ok_or_else(|| {
                format!("tasks {tasks:?}, containers {containers:?}; {}", self.ok(&["get", "tasks,nodes"]))
            })
        });
    }

    /// How many containers of `service` run in each node's Docker, of those that answer.
    pub(crate) fn containers(&self, service: &str) -> BTreeMap<String, usize> {
        let answering = self.docker_hosts();
        let counts = self.names().into_values().filter_map(|name| {
            let host = self.docker_host(&name);
            let count = || docker::running_at(self, host.as_deref(), service).len();
            answering.contains(&host).then(|| (name.clone(), count())).filter(|(_, count)| *count > 0)
        });
        counts.collect()
    }

    /// A node loses its power: agent, Docker and containers are gone at once.
    pub(crate) fn cut_off(&self, name: &str) {
        self.ok(&["down", "--node", name, "--cut-off"]);
    }

    /// A node's agent is stopped; Docker and the containers run on.
    pub(crate) fn stop_agent(&self, name: &str) {
        self.ok(&["down", "--node", name, "--keep"]);
    }

    /// All nodes that were cut off or stopped are back.
    pub(crate) fn bring_back(&self) {
        self.ok(&["up", "--detach"]);
    }

    /// Waits until the cluster says of a node that it is in this state.
    pub(crate) fn becomes(&self, name: &str, state: &str) {
        within(LOSS_LIMIT, &format!("{name} is {state}"), || {
            let node = self.node(name);
            (node["status"]["state"] == state).then_some(()).ok_or_else(|| node["status"].to_string())
        });
    }

    /// Waits until nothing of a node is left on this machine.
    pub(crate) fn is_taken_down(&self, name: &str) {
        let dir = self.state_dir().join("nodes").join(name);
        let link = format!("{}-{name}", self.traces.network);
        eventually(&format!("{name} is taken down"), || {
            let left: Vec<String> =
                self.traces.left().into_iter().filter(|trace| trace.contains(&link)).collect();
            (left.is_empty() && !dir.exists()).then_some(()).ok_or_else(|| format!("{left:?}"))
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.cluster.take());
        if !std::thread::panicking() {
            let left = self.traces.left();
            assert!(left.is_empty(), "left behind: {left:#?}");
        }
    }
}

impl Traces {
    /// What there is of the cluster on this machine: files, links, namespaces, rules, mounts, processes, containers.
    fn left(&self) -> Vec<String> {
        let is_of = |line: &&str| {
            let words = [&self.folder, &self.network, &self.subnet];
            words.iter().any(|word| line.contains(word.as_str()))
        };
        let mut left: Vec<String> = Vec::new();
        for (program, args) in [
            ("ip", &["netns", "list"][..]),
            ("ip", &["-brief", "address"]),
            ("ip", &["-brief", "link"]),
            ("iptables-save", &[]),
        ] {
            let output = Command::new(program).args(args).output().unwrap();
            assert!(output.status.success(), "{program}: {}", text(&output.stderr));
            left.extend(text(&output.stdout).lines().filter(is_of).map(str::to_owned));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(is_of).map(str::to_owned));
        left.extend(processes().into_iter().filter(|line| is_of(&line.as_str())));
        left.extend(Path::new(&self.folder).exists().then(|| self.folder.clone()));
        let containers = docker::docker_at(None, &["ps", "--all", "--quiet", "--filter", &self.label]);
        left.extend(containers.lines().map(str::to_owned));
        left
    }
}

/// The command lines of all processes.
fn processes() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| text(&line).replace('\0', " ")).collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
