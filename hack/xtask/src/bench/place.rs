//! A service on many simulated nodes, through a real etcd and every controller as a process of its own: from the spec to
//! the last task that is assigned, and that runs.

mod tally;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skep_agent::simulated::Latency;
use skep_api::key::{Key, Place, prefix};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_store::rig::Etcd;
use skep_store::{Config, Event, Guard, Put, Range, Store, Txn};

use super::child::{self, Figures};
use super::fleet::Fleet;
use super::measure::{Report, clock, per_second, run};
use tally::Tally;

const IMAGE: &str = "registry.example.com/shop/web:1.27";
const CONTROLLERS: [&str; 4] = ["updater", "replica", "scheduler", "node"];
/// Nodes and tasks: what is measured, and with `--quick`.
const FULL: (usize, usize) = (1_000, 10_000);
const QUICK: (usize, usize) = (100, 1_000);
/// How long the nodes may take to be ready, and the tasks to run.
const READY_LIMIT: Duration = Duration::from_secs(90);
const RUN_LIMIT: Duration = Duration::from_secs(90);
/// How often the nodes are looked at before anything is timed.
const EVERY: Duration = Duration::from_millis(250);
/// SwarmKit 3e72cb64 end to end with 1,000 agents and 10,000 tasks, in tasks per second: 970 to 1,170, over mutual TLS.
const SWARMKIT: f64 = 1_070.0;

/// Places one large service.
pub(super) fn bench(report: &mut Report) -> Result<(), String> {
    let (nodes, tasks) = if report.is_quick { QUICK } else { FULL };
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--quiet", "--package", "skep"]).current_dir(crate::root());
    run(&mut build)?;
    child::build()?;
    let runs = child::run(&["place", &nodes.to_string(), &tasks.to_string()], 1)?;
    let name = format!("place.{nodes}/{tasks}");
    for figure in runs.names() {
        let unit = match figure.rsplit_once('.').map_or(figure, |(_, last)| last) {
            "created" | "assigned" | "running" => "s",
            "assigned-per-second" | "running-per-second" => "1/s",
            "bytes" => "B",
            "peak" => "MiB",
            _ => "1",
        };
        report.samples(&format!("{name}.{figure}"), unit, &runs.of(figure));
    }
    if !report.is_quick {
        let ratio = runs.of("running-per-second").median() / SWARMKIT;
        let note = "SwarmKit 3e72cb64 end to end, with TLS, measured before on a like machine";
        report.against(&format!("{name}.running-to-swarmkit"), ratio, note);
    }
    Ok(())
}

/// One run, in this process.
pub(super) fn child(args: &[&str]) -> Result<Figures, String> {
    let numbers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let [nodes, tasks] = numbers.as_slice() else { return Err(format!("not nodes and tasks: {args:?}")) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let etcd = runtime.block_on(Etcd::start()).map_err(|error| error.to_string())?;
    let store = runtime.block_on(async {
        let store = etcd.store(1).await?;
        store.bootstrap().await.map(|_| store)
    });
    let store = store.map_err(|error| error.to_string())?;
    let _controllers = Controllers::start(&etcd.endpoint())?;
    let config = Config::new(vec![etcd.endpoint()], 2);
    let count = u64::try_from(*nodes).unwrap_or_default();
    let latency = Latency { read: 0..1, create: 0..1, start: 0..1, stop: 0..1, pull: 0..1 };
    let _fleet = Fleet::with(&config, count, IMAGE, &latency)?;
    runtime.block_on(async {
        until_ready(&store, *nodes).await?;
        place(&store, *tasks).await
    })
}

/// Writes the service's spec and follows its tasks until all of them run.
async fn place(store: &Store, tasks: usize) -> Result<Figures, String> {
    let text = |error: skep_store::Error| error.to_string();
    let (key, value) = service(tasks)?;
    let txn = Txn::new().guard(Guard::absent(key.clone())).put(Put::new(key, value));
    let before = store.list_all(&[Range::prefix(prefix::SERVICES)]).await.map_err(text)?.revision;
    let ranges = vec![Range::prefix(prefix::TASKS), Range::prefix(prefix::TASK_STATUSES)];
    let mut watch = store.watch(ranges, before + 1);
    let begin = clock();
    store.commit(&txn).await.map_err(text)?;
    let mut seen = Seen::default();
    while seen.running.len() < tasks {
        let left = RUN_LIMIT.saturating_sub(begin.elapsed());
        let Ok(batch) = tokio::time::timeout(left, watch.next()).await else {
            return Err(format!("after {RUN_LIMIT:?} only {seen:?}"));
        };
        for event in batch.map_err(text)?.events {
            seen.take(&event, tasks);
        }
    }
    let now = clock();
    let mut figures = Figures::default();
    let since = |instant: Option<Instant>| instant.map_or(f64::NAN, |at| (at - begin).as_secs_f64());
    figures.insert("created".to_owned(), since(seen.all_created));
    figures.insert("assigned".to_owned(), since(seen.all_assigned));
    figures.insert("running".to_owned(), (now - begin).as_secs_f64());
    let assigned = seen.all_assigned.map_or(f64::NAN, |at| per_second(tasks, at - begin));
    figures.insert("assigned-per-second".to_owned(), assigned);
    figures.insert("running-per-second".to_owned(), per_second(tasks, now - begin));
    let tally = Tally::of(store, before + 1, seen.revision).await?;
    tally.tell(tasks, |name, value| {
        figures.insert(name, value);
    });
    Ok(figures)
}

/// How far the tasks are.
#[derive(Default)]
struct Seen {
    created: usize,
    assigned: usize,
    running: BTreeSet<String>,
    all_created: Option<Instant>,
    all_assigned: Option<Instant>,
    revision: i64,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} created, {} assigned, {} running", self.created, self.assigned, self.running.len())
    }
}

impl Seen {
    fn take(&mut self, event: &Event, tasks: usize) {
        self.revision = self.revision.max(event.revision());
        let Event::Put(kv) = event else { return };
        if let Some(task) = kv.key.strip_prefix(prefix::TASKS) {
            let is_first = kv.created == kv.modified;
            let is_pending = task.starts_with(&format!("{}/", Place::Pending));
            let (count, instant) = if is_pending {
                (&mut self.created, &mut self.all_created)
            } else {
                (&mut self.assigned, &mut self.all_assigned)
            };
            *count += usize::from(is_first);
            if *count == tasks && instant.is_none() {
                *instant = Some(clock());
            }
        } else if kv.value.windows(RUNNING.len()).any(|part| part == RUNNING) {
            self.running.insert(kv.key.clone());
        }
    }
}

/// How a status that says RUNNING is written.
const RUNNING: &[u8] = b"\"state\":\"RUNNING\"";

fn service(tasks: usize) -> Result<(Key, Vec<u8>), String> {
    let text = format!(
        "{{apiVersion: skep/v1, kind: Service, metadata: {{name: web}}, spec: {{replicas: {tasks}, task: {{image: \"{IMAGE}\"}}}}}}"
    );
    let reference = skep_api::key::ServiceRef::new(
        skep_api::ident::Stack::default(),
        "web".parse().map_err(|error: skep_api::ident::IdentError| error.to_string())?,
    );
    let key = Key::Service(reference);
    let object = Object::decode(&key, text.as_bytes()).map_err(|invalid| invalid.reason)?;
    let value = object.encode(&key).map_err(|invalid| invalid.reason)?;
    Ok((key, value))
}

/// Waits until so many nodes are Ready and have told what they have.
async fn until_ready(store: &Store, nodes: usize) -> Result<(), String> {
    let begin = clock();
    loop {
        let ranges = [Range::prefix(prefix::NODE_STATUSES)];
        let listing = store.list_all(&ranges).await.map_err(|error| error.to_string())?;
        let is_ready = |kv: &&skep_store::KeyValue| {
            let key = Key::parse(&kv.key);
            let object = key.and_then(|key| Object::decode(&key, &kv.value).ok());
            matches!(object, Some(Object::NodeStatus(status)) if status.state == NodeState::Ready && status.report.is_some())
        };
        let ready = listing.entries.iter().filter(is_ready).count();
        if ready >= nodes {
            return Ok(());
        }
        if begin.elapsed() > READY_LIMIT {
            return Err(format!("after {READY_LIMIT:?} only {ready} of {nodes} nodes are ready"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The controllers, each a process of its own; they end with this value.
struct Controllers {
    folder: PathBuf,
    processes: Vec<Child>,
}

impl Controllers {
    fn start(endpoint: &str) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("skep-bench-place-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut started = Self { folder, processes: Vec::new() };
        for name in CONTROLLERS {
            let process = Command::new(crate::root().join("target/release/skep"))
                .args(["--etcd", endpoint, "--state-dir"])
                .arg(started.folder.join("state"))
                .args(["controller", name])
                .env("SKEP_LOG", "warn")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn();
            started.processes.push(process.map_err(|error| format!("{name}: {error}"))?);
        }
        Ok(started)
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended by itself has said why.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
