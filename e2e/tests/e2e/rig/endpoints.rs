//! Where a service answers, as its status objects publish it: a load balancer would read nothing else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, TaskRef, prefix};
use skep_api::object::Object;
use skep_api::task::{DesiredState, Task, TaskState, TaskStatus};
use skep_store::{Config, Event, Range, Store, Tls, Update};
use tokio_util::sync::CancellationToken;

use super::Cluster;

type Addresses = Arc<Mutex<Vec<SocketAddr>>>;

/// The addresses of one service's tasks, followed until this is dropped.
pub(crate) struct Endpoints {
    addresses: Addresses,
    fewest: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What etcd holds of the service's tasks.
#[derive(Default)]
struct Published {
    tasks: BTreeMap<TaskRef, Arc<Task>>,
    statuses: BTreeMap<TaskRef, Arc<TaskStatus>>,
    /// The addresses of nodes; those that have not said theirs yet answer on 127.0.0.1.
    nodes: BTreeMap<NodeId, IpAddr>,
}

impl Endpoints {
    /// Follows the tasks of `service`.
    pub(crate) fn follow(cluster: &Cluster, service: &str) -> Self {
        let (config, service) = (config(cluster), service.to_owned());
        let (addresses, stop) = (Addresses::default(), CancellationToken::new());
        let (written, stopped) = (Arc::clone(&addresses), stop.clone());
        let fewest = Arc::new(AtomicUsize::new(usize::MAX));
        let counted = Arc::clone(&fewest);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(stopped.run_until_cancelled(keep(config, &service, &written, &counted)));
        });
        Self { addresses, fewest, stop, thread: Some(thread) }
    }

    /// Begins to count anew; there are addresses now.
    pub(crate) fn count_from_now(&self) {
        self.fewest.store(self.addresses().len(), Ordering::SeqCst);
    }

    /// The least number of addresses that there was at any revision since it was counted anew.
    pub(crate) fn fewest(&self) -> usize {
        self.fewest.load(Ordering::SeqCst)
    }

    /// The addresses now; one that was taken out is out from here on.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn keep(config: Config, service: &str, addresses: &Addresses, fewest: &AtomicUsize) {
    let store = Store::connect(config).await.unwrap();
    let ranges = [prefix::TASKS, prefix::TASK_STATUSES, prefix::NODE_STATUSES].map(Range::prefix);
    let mut follow = store.follow(ranges.into());
    let mut published = Published::default();
    while let Ok(update) = follow.next().await {
        match update {
            Update::Resync(listing) => {
                published = Published::default();
                for entry in listing.entries {
                    published.set(&entry.key, Some(&entry.value), service);
                }
            }
            Update::Changed(batch) => {
                for event in batch.events {
                    let value = if let Event::Put(entry) = &event { Some(&*entry.value) } else { None };
                    published.set(event.key(), value, service);
                }
            }
        }
        let now = published.addresses();
        fewest.fetch_min(now.len(), Ordering::SeqCst);
        *addresses.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Published {
    fn set(&mut self, key: &str, value: Option<&[u8]>, service: &str) {
        let Some(key) = Key::parse(key) else { return };
        let object = value.and_then(|value| Object::decode(&key, value).ok());
        match (key, object) {
            (Key::Task(at), Some(Object::Task(task))) if task.service.name.as_str() == service => {
                self.tasks.insert(at, task);
            }
            (Key::Task(at), _) => drop(self.tasks.remove(&at)),
            (Key::TaskStatus(at), Some(Object::TaskStatus(status))) => {
                self.statuses.insert(at, status);
            }
            (Key::TaskStatus(at), _) => drop(self.statuses.remove(&at)),
            (Key::NodeStatus(node), Some(Object::NodeStatus(status))) => {
                let address = status.report.as_ref().and_then(|report| report.address.parse().ok());
                self.nodes.extend(address.map(|address| (node, address)));
            }
            _ => {}
        }
    }

    /// A task takes new connections while it is wanted, runs, and is not being drained.
    fn addresses(&self) -> Vec<SocketAddr> {
        let serving = self.tasks.iter().filter_map(|(at, task)| {
            let status = self.statuses.get(at)?;
            let is_serving = task.desired == DesiredState::Running
                && status.state == TaskState::Running
                && status.draining.is_none();
            let port = status.ports.first()?.published;
            let Place::Node(node) = &at.place else { return None };
            let address = self.nodes.get(node).copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
            is_serving.then(|| SocketAddr::new(address, port))
        });
        serving.collect()
    }
}

/// How to reach the cluster's etcd.
fn config(cluster: &Cluster) -> Config {
    let found: Value =
        serde_json::from_slice(&std::fs::read(cluster.state_dir().join("cluster.json")).unwrap()).unwrap();
    let urls = found["endpoints"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned());
    let mut config = Config::new(urls.collect(), u64::from(std::process::id()));
    let file = |name: &str| std::fs::read(found["tls"][name].as_str().unwrap()).unwrap();
    config.tls = Some(Tls { ca: file("ca"), cert: file("cert"), key: file("key") });
    config
}
