//! Jobs: so many runs that succeed, some of which fail first, on one node and on every node.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::rig::{Cluster, docker, eventually};

/// A job of the demo image: so many completions, four at a time, of whose runs so many of a hundred fail.
fn job(name: &str, completions: u32, fail_percent: u32, version: &str, attempts: u32) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  mode: replicated-job\n  job: \
         {{completions: {completions}, maxConcurrent: 4}}\n  task:\n    image: \"skep-demo:v1\"\n    env: {{VERSION: \
         {version}, EXIT_AFTER_MS: \"1000\", FAIL_PERCENT: \"{fail_percent}\"}}\n  restart: {{condition: on-failure, \
         delay: 200ms, maxDelay: 1s, maxAttempts: {attempts}}}\n"
    )
}

/// What the status of the only service says of its job.
fn status(cluster: &Cluster) -> Value {
    cluster.get("services")[0]["status"]["job"].clone()
}

/// The names of the tasks of the job that ended in `state`.
fn ended(cluster: &Cluster, state: &str) -> Vec<String> {
    let tasks = cluster.get("tasks").into_iter().filter(|task| task["status"]["state"] == state);
    tasks.map(|task| task["metadata"]["name"].to_string()).collect()
}

/// What happens to the containers of a cluster, written down as it happens: Docker remembers only its last 256 events.
struct Log {
    path: PathBuf,
    process: Child,
}

impl Log {
    fn of(cluster: &Cluster) -> Self {
        let path = cluster.write("docker-events", "");
        let mut command = Command::new("docker");
        command.args(["events", "--since", &docker::now().to_string(), "--filter", "type=container"]);
        command.args(["--filter", &docker::cluster_filter(cluster), "--format", "{{.Action}} {{.Actor.ID}}"]);
        let file = std::fs::File::create(&path).unwrap();
        let process = command.stdin(Stdio::null()).stdout(file).spawn().unwrap();
        Self { path, process }
    }

    /// The most containers that ran at once, and how many were started, each of them once.
    fn crowd(&self) -> (usize, usize) {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let (mut now, mut most, mut started) = (BTreeSet::new(), 0, BTreeSet::new());
        for (action, id) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
            match action {
                "start" => {
                    assert!(started.insert(id), "{id} was started twice");
                    now.insert(id);
                }
                "die" => assert!(now.remove(id), "{id} died without a start"),
                _ => {}
            }
            most = most.max(now.len());
        }
        (most, started.len())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn a_job_runs_until_every_completion_has_succeeded_at_most_so_many_at_a_time() {
    let cluster = Cluster::start();
    let log = Log::of(&cluster);
    cluster.apply(&job("etl", 20, 40, "v1", 0), &[]);
    let first = status(&cluster);
    assert_eq!((first["completed"].as_u64(), first["total"].as_u64()), (Some(20), Some(20)), "{first}");
    assert_eq!((first["active"].as_u64(), first["failed"].as_u64()), (Some(0), Some(0)), "{first}");
    assert!(first["finished"].is_string(), "{first}");
    let (most, started) = log.crowd();
    assert!(started > 20, "{started} containers: none has failed, so that nothing was tried again");
    assert!((2..=4).contains(&most), "{most} ran at once");

    // More completions are no other run: what has succeeded counts.
    let done = ended(&cluster, "COMPLETE");
    assert_eq!(done.len(), 20);
    cluster.apply(&job("etl", 23, 40, "v1", 0), &[]);
    let raised = status(&cluster);
    assert_eq!((raised["completed"].as_u64(), &raised["iteration"]), (Some(23), &first["iteration"]));
    let now = ended(&cluster, "COMPLETE");
    assert!(now.len() == 23 && done.iter().all(|task| now.contains(task)), "{done:?} {now:?}");

    // Another template is another run.
    let before = log.crowd().1;
    cluster.apply(&job("etl", 23, 0, "v2", 0), &[]);
    let again = status(&cluster);
    assert_eq!(again["completed"].as_u64(), Some(23), "{again}");
    assert!(again["iteration"].as_u64() > first["iteration"].as_u64(), "{again}");
    assert_eq!(log.crowd().1 - before, 23, "each ran once more");
}

/// Swarm 12.7: attempts count by slot; Swarm 12.3: what is not tried again still fills its slot.
#[test]
fn a_job_whose_attempts_are_used_up_has_failed_and_apply_says_so() {
    let cluster = Cluster::start();
    let file = cluster.write("hopeless.yaml", &job("hopeless", 3, 100, "v1", 1));
    let output = cluster.run(&["apply", "-f", file.to_str().unwrap()]);
    let said = crate::rig::text(&output.stderr) + &crate::rig::text(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("0 of 3 completed, 3 failed for good"), "{said}");
    let seen = status(&cluster);
    assert_eq!((seen["completed"].as_u64(), seen["failed"].as_u64()), (Some(0), Some(3)), "{seen}");
    assert_eq!(ended(&cluster, "FAILED").len(), 6, "each was tried once more");
}

/// Swarm 12.24, for jobs: a node that joins gets its run, and no other node another one.
#[test]
fn a_global_job_runs_once_on_every_node_also_on_one_that_joins_late() {
    let fleet = Cluster::with_nodes(2);
    let manifest = "apiVersion: skep/v1\nkind: Service\nmetadata: {name: sweep}\nspec:\n  mode: global-job\n  task:\n    \
                    image: \"skep-demo:v1\"\n    env: {EXIT_AFTER_MS: \"200\"}\n  restart: {condition: on-failure}\n";
    fleet.apply(manifest, &[]);
    let first = ended(&fleet, "COMPLETE");
    assert_eq!((first.len(), status(&fleet)["completed"].as_u64()), (2, Some(2)));
    fleet.ok(&["up", "--detach", "--nodes", "3", "--load", "skep-demo:v1"]);
    let last = eventually("the job has run on the new node", || {
        let now = ended(&fleet, "COMPLETE");
        let job = status(&fleet);
        (now.len() == 3 && job["completed"] == 3).then_some(now).ok_or_else(|| job.to_string())
    });
    assert!(first.iter().all(|task| last.contains(task)), "it ran again: {first:?} {last:?}");
}
