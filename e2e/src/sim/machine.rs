//! The machines: what runs on them outlives the agent, and every start is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_agent::engine::{
    Call, Container, ContainerSpec, Disk, Engine, Image, Machine as Equipment, Meter, Owner, Phase, Sights,
};
use skep_agent::labels;
use skep_agent::simulated::{End, Faults, Incident, Latency, SimulatedEngine};
use skep_api::ident::NodeId;
use skep_api::key::{Key, TaskRef, prefix};
use skep_api::node::{Generic, Platform, Plugins, Resources};
use skep_api::quantity::{Cpus, Memory};
use skep_api::time::Timestamp;

use super::fault::Fault;
use super::ground::Ground;
use super::oracle::Oracle;
use super::oracle::rest::Found;
use super::user::IMAGE_VERSIONS;

/// The memory of one machine.
pub(crate) const MEMORY_MIB: u64 = 1024;
/// The label of containers that end by themselves.
pub(crate) const ENDS: &str = "ends";
/// The label that names the identity of a container's service.
const SERVICE: &str = "com.docker.swarm.service.id";
/// The cores of one machine.
const CPUS: u64 = 4;

/// One machine. Clones are the same machine.
#[derive(Clone)]
pub(crate) struct Machine {
    /// The id of its node.
    pub(crate) node: NodeId,
    engine: SimulatedEngine,
    /// Whether its agent has made it a node: what an agent remembers in its state directory.
    joined: Arc<AtomicBool>,
}

impl Machine {
    /// Machine number `index`.
    pub(crate) fn new(ground: &Ground, index: usize) -> Self {
        let mut random = ground.random(&format!("machine {index}"));
        let node = NodeId::from_random(random.u64(..));
        let engine = SimulatedEngine::new(ground.env_with(0, random.u64(..)), equipment(index));
        engine.set_latency(Latency {
            read: 0..3,
            create: 5..60,
            start: 5..400,
            stop: 5..800,
            pull: 50..3000,
        });
        for version in IMAGE_VERSIONS {
            let digest = format!("sha256:{version:064}");
            let image = Image { id: digest.clone(), repo_digests: vec![format!("app@{digest}")] };
            engine.publish_image(&format!("app:{version}"), image.clone());
            engine.publish_image(&format!("app:{version}@{digest}"), image);
        }
        let machine = Self { node, engine, joined: Arc::default() };
        machine.set_failing(ground, true);
        let oracle = ground.oracle.clone();
        machine.engine.set_witness(move |incident| witness(&oracle, incident));
        machine
    }

    /// Whether its engine fails at times, if the seed wants that.
    pub(crate) fn set_failing(&self, ground: &Ground, is_failing: bool) {
        let rate = if is_failing { ground.weather.menu.rate(Fault::FailEngine) } else { 0.0 };
        self.engine.set_faults(Faults { lose_answer: rate, refuse_start: rate, refuse_pull: rate });
    }

    /// Whether its agent has made it a node.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::SeqCst)
    }

    /// Remembers that.
    pub(crate) fn set_joined(&self) {
        self.joined.store(true, Ordering::SeqCst);
    }

    /// Its engine, as the agent `wire` handles it.
    pub(crate) fn hands(&self, wire: &str, oracle: Oracle) -> Arc<dyn Engine> {
        Arc::new(Hands { engine: self.engine.clone(), wire: wire.to_owned(), oracle })
    }

    /// What the oracle compares with the tasks.
    pub(crate) fn found(&self) -> Vec<Found> {
        let found = |held: &Container| {
            let service = held.labels.get(SERVICE).cloned().unwrap_or_default();
            Some(Found { task: task_of(held)?, service, runs: held.phase == Phase::Running })
        };
        self.engine.containers().iter().filter_map(found).collect()
    }

    /// Ends a container that runs, as if by itself. Whether there was one.
    pub(crate) fn crash_one(&self, random: &mut fastrand::Rng) -> bool {
        let containers = self.engine.containers();
        let running: Vec<&Container> =
            containers.iter().filter(|held| held.phase == Phase::Running).collect();
        random.choice(running).is_some_and(|held| {
            if random.bool() {
                self.engine.exit(&held.id, random.i64(0..3))
            } else {
                self.engine.remove_by_force(&held.id)
            }
        })
    }

    /// Lets tasks of jobs come to their end: most of them well. What their label asks for is not more than a hint.
    pub(crate) fn end_some(&self, random: &mut fastrand::Rng) {
        let containers = self.engine.containers();
        let ends = |held: &&Container| held.phase == Phase::Running && held.labels.contains_key(ENDS);
        for held in containers.iter().filter(ends) {
            if random.u32(..3) == 0 {
                self.engine.exit(&held.id, i64::from(random.u32(..5) == 0));
            }
        }
    }

    /// The engine dies, and all containers with it.
    pub(crate) fn crash_engine(&self) {
        self.engine.crash();
    }

    /// The engine starts again.
    pub(crate) fn restart_engine(&self) {
        self.engine.come_back();
    }
}

/// What machine number `index` is: every second one has named resources and another volume driver.
fn equipment(index: usize) -> Equipment {
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let is_special = index.is_multiple_of(2);
    let gpus = Generic::Named(set(if is_special { &["gpu-a", "gpu-b", "gpu-c"] } else { &["gpu-d"] }));
    let generic = [("GPU".to_owned(), gpus), ("SSD".to_owned(), Generic::Count(2))];
    let volume = set(if is_special { &["local", "nfs"] } else { &["local"] });
    Equipment {
        generic: generic.into_iter().collect(),
        plugins: Plugins { volume, network: set(&["bridge", "host"]), log: set(&["json-file"]) },
        capacity: Resources {
            cpus: Cpus::from_nanos(CPUS * 1_000_000_000),
            memory: Memory::from_bytes(MEMORY_MIB << 20),
        },
        platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
        ..Equipment::default()
    }
}

fn witness(oracle: &Oracle, incident: &Incident) {
    match incident {
        Incident::Started(container) => {
            if let Some(task) = task_of(container) {
                oracle.container_started(&task);
            }
        }
        Incident::Ended(container, by) => {
            if let Some(task) = task_of(container) {
                // One that is unhealthy is stopped although it is wanted.
                let is_agents = matches!(by, End::Stopped | End::Removed) && !container.is_unhealthy();
                oracle.container_ended(&task, is_agents);
            }
        }
    }
}

fn task_of(container: &Container) -> Option<TaskRef> {
    let text = container.labels.get(labels::TASK)?;
    match Key::parse(&format!("{}{text}", prefix::TASKS)) {
        Some(Key::Task(task)) => Some(task),
        _ => None,
    }
}

/// The engine in the hands of one life of an agent: what it is asked to start is told to the oracle.
struct Hands {
    engine: SimulatedEngine,
    wire: String,
    oracle: Oracle,
}

impl Engine for Hands {
    fn watch(&self, owner: &Owner) -> Sights {
        self.engine.watch(owner)
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> Call<'a, Vec<Container>> {
        self.engine.list(owner)
    }

    fn inspect<'a>(&'a self, name: &'a str) -> Call<'a, Container> {
        self.engine.inspect(name)
    }

    fn image<'a>(&'a self, reference: &'a str) -> Call<'a, Image> {
        self.engine.image(reference)
    }

    fn pull<'a>(&'a self, reference: &'a str, meter: Meter<'a>) -> Call<'a, ()> {
        self.engine.pull(reference, meter)
    }

    fn create<'a>(&'a self, spec: &'a ContainerSpec) -> Call<'a, String> {
        self.engine.create(spec)
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let containers = self.engine.containers();
        if let Some(task) = containers.iter().find(|held| held.id == id).and_then(task_of) {
            self.oracle.container_is_to_start(&self.wire, &task);
        }
        self.engine.start(id)
    }

    fn stop<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        self.engine.stop(id)
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        self.engine.remove(id)
    }

    fn tail<'a>(&'a self, id: &'a str, lines: usize) -> Call<'a, Vec<String>> {
        self.engine.tail(id, lines)
    }

    fn was_signalled<'a>(&'a self, id: &'a str, finished: Timestamp) -> Call<'a, bool> {
        self.engine.was_signalled(id, finished)
    }

    fn disk(&self) -> Call<'_, Option<Disk>> {
        self.engine.disk()
    }
}
