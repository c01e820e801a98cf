//! What etcd says of a service's tasks, read as often as a figure needs.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use skep_api::key::{Key, prefix};
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_store::{Config, Range, Store, Tls};
use tokio::runtime::Runtime;

/// How often etcd is asked: a figure is too large by half of it at most.
const EVERY: Duration = Duration::from_millis(5);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A connection to a cluster's etcd.
pub(super) struct Observer {
    runtime: Runtime,
    store: Store,
}

/// One task.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) revision: u64,
    pub(super) desired: DesiredState,
    pub(super) state: TaskState,
}

impl Seen {
    /// Whether it serves.
    pub(super) fn is_serving(&self) -> bool {
        self.desired == DesiredState::Running && self.state == TaskState::Running
    }
}

/// How to reach the etcd of the cluster with this state directory.
pub(super) fn config(state: &Path) -> Result<Config, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let cluster: Value =
        serde_json::from_slice(&read(&state.join("cluster.json"))?).map_err(|error| error.to_string())?;
    let urls = cluster.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    let urls = urls.filter_map(Value::as_str).map(str::to_owned).collect();
    let mut config = Config::new(urls, u64::from(std::process::id()));
    let file = |name: &str| {
        let path = cluster.pointer(&format!("/tls/{name}")).and_then(Value::as_str);
        read(Path::new(path.unwrap_or_default()))
    };
    config.tls = Some(Tls { ca: file("ca")?, cert: file("cert")?, key: file("key")? });
    Ok(config)
}

impl Observer {
    /// Connects to the cluster with this state directory.
    pub(super) fn connect(state: &Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let store = runtime.block_on(Store::connect(config(state)?)).map_err(|error| error.to_string())?;
        Ok(Self { runtime, store })
    }

    /// The tasks of `service` in the stack `default`.
    pub(super) fn tasks(&self, service: &str) -> Result<Vec<Seen>, String> {
        let ranges = [Range::prefix(prefix::TASKS), Range::prefix(prefix::TASK_STATUSES)];
        let listing =
            self.runtime.block_on(self.store.list_all(&ranges)).map_err(|error| error.to_string())?;
        let mut tasks = Vec::new();
        let mut statuses = std::collections::BTreeMap::new();
        for entry in listing.entries {
            let Some(key) = Key::parse(&entry.key) else { continue };
            match (key.clone(), Object::decode(&key, &entry.value)) {
                (Key::Task(at), Ok(Object::Task(task))) if task.service.name.as_str() == service => {
                    tasks.push((at, task));
                }
                (Key::TaskStatus(at), Ok(Object::TaskStatus(status))) => drop(statuses.insert(at, status)),
                _ => {}
            }
        }
        let seen = tasks.into_iter().map(|(at, task)| Seen {
            name: at.name.to_string(),
            revision: task.revision,
            desired: task.desired,
            state: TaskState::observed(&at.place, statuses.get(&at).map(|status| &**status), true),
        });
        Ok(seen.collect())
    }

    /// Waits until the tasks of `service` are as wanted.
    #[allow(clippy::disallowed_methods)] // A limit of a bench is real time.
    pub(super) fn until(&self, service: &str, is_so: impl Fn(&[Seen]) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let tasks = self.tasks(service)?;
            if is_so(&tasks) {
                return Ok(());
            }
            if begin.elapsed() > LIMIT {
                return Err(format!("{service} does not come to rest: {tasks:#?}"));
            }
            std::thread::sleep(EVERY);
        }
    }
}
