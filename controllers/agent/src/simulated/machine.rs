//! What a simulated machine holds, and what happens on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::service::Port;
use skep_api::task::{Health, PortStatus};
use skep_api::time::Timestamp;

use tokio::time::Instant;

use super::process::{Happening, Process, Script};
use super::{Faults, Latency, is_owned, refused};
use crate::engine::{Container, ContainerSpec, Disk, EngineError, Image, Machine, Owner, Phase};

/// Where automatic host ports begin, as in Docker.
const FIRST_PORT: u16 = 32768;
/// The exit code of a container whose daemon died.
pub(super) const DAEMON_DIED: i64 = 255;

/// What a watcher is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// The container with this id has changed.
    Changed(String),
    /// The container with this id is gone.
    Gone(String),
    /// The daemon died.
    Away,
}

/// Something that an oracle wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incident {
    /// The container was started.
    Started(Container),
    /// The container's process has ended.
    Ended(Container, End),
}

/// By what a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its process ended by itself.
    ByItself,
    /// It was stopped through the engine.
    Stopped,
    /// It was removed through the engine while it ran.
    Removed,
    /// People removed it.
    ByPeople,
    /// The daemon died.
    Daemon,
}

/// Who is told of incidents.
pub(super) type Witness = Arc<dyn Fn(&Incident) + Send + Sync>;

/// A machine.
pub(super) struct State {
    pub(super) machine: Machine,
    pub(super) is_up: bool,
    pub(super) latency: Latency,
    pub(super) faults: Faults,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) registry: BTreeMap<String, Image>,
    pub(super) witness: Option<Witness>,
    pub(super) disk: Option<Disk>,
    containers: BTreeMap<String, Held>,
    created: u64,
}

/// A container with what its host ports are to be, what its process will do, and what that has written.
struct Held {
    container: Container,
    ports: Vec<Port>,
    script: Script,
    process: Option<Process>,
    output: Vec<String>,
    /// Whether the daemon, as long as it remembers, was asked to end it.
    was_signalled: bool,
}

impl Held {
    fn new(container: Container) -> Self {
        Self {
            container,
            ports: Vec::new(),
            script: Script::default(),
            process: None,
            output: Vec::new(),
            was_signalled: false,
        }
    }
}

impl State {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            is_up: true,
            latency: Latency::default(),
            faults: Faults::default(),
            images: BTreeMap::new(),
            registry: BTreeMap::new(),
            witness: None,
            disk: None,
            containers: BTreeMap::new(),
            created: 0,
        }
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().map(|held| &held.container)
    }

    pub(super) fn owned(&self, owner: &Owner) -> Vec<Container> {
        self.containers().filter(|container| is_owned(container, owner)).cloned().collect()
    }

    /// The container with this id or name.
    pub(super) fn find(&self, name: &str) -> Result<&Container, EngineError> {
        let missing = || EngineError::NotFound(format!("No such container: {name}"));
        self.containers().find(|container| container.id == name || container.name == name).ok_or_else(missing)
    }

    pub(super) fn add(&mut self, container: Container) {
        self.containers.insert(container.id.clone(), Held::new(container));
    }

    pub(super) fn pull(&mut self, reference: &str) -> Result<(), EngineError> {
        let Some(image) = self.registry.get(reference) else {
            return Err(refused(&format!("manifest for {reference} not found: manifest unknown")));
        };
        self.images.insert(reference.to_owned(), image.clone());
        Ok(())
    }

    pub(super) fn create(&mut self, spec: &ContainerSpec) -> Result<String, EngineError> {
        if self.containers().any(|container| container.name == spec.name) {
            return Err(EngineError::NameTaken(format!("the name {} is already in use", spec.name)));
        }
        if !self.images.contains_key(&spec.image) {
            return Err(EngineError::NoSuchImage(format!("No such image: {}", spec.image)));
        }
        self.created += 1;
        let id = format!("{:064x}", self.created);
        let container = Container {
            id: id.clone(),
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            image: self.images.get(&spec.image).map(|image| image.id.clone()).unwrap_or_default(),
            ..Container::default()
        };
        let ports = spec.revision.host_ports.clone();
        let held = Held { ports, script: Script::of(spec), ..Held::new(container) };
        self.containers.insert(id.clone(), held);
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &str, now: Timestamp) -> Result<(), EngineError> {
        if self.find(id)?.phase == Phase::Running {
            return Ok(());
        }
        let ports = self.free_ports(id)?;
        let Some(held) = self.containers.get_mut(id) else { return Ok(()) };
        let process = Process::start(held.script.clone(), Instant::now());
        held.container.health.clone_from(&process.health);
        held.process = Some(process);
        held.output.extend(held.script.says.iter().cloned());
        held.container.phase = Phase::Running;
        held.container.finished = None;
        held.container.started = Some(now);
        held.container.ports = ports;
        let incident = Incident::Started(held.container.clone());
        self.tell(&incident);
        Ok(())
    }

    /// Ends a container that runs. Whether it did.
    pub(super) fn end(&mut self, id: &str, phase: Phase, by: End, now: Timestamp) -> bool {
        let running = self.containers.get_mut(id).filter(|held| held.container.phase == Phase::Running);
        let Some(held) = running else { return false };
        held.container.phase = phase;
        held.container.finished = Some(now);
        held.container.ports.clear();
        held.process = None;
        let incident = Incident::Ended(held.container.clone(), by);
        self.tell(&incident);
        true
    }

    /// Removes a container. Whether there was one.
    pub(super) fn remove(&mut self, id: &str, by: End, now: Timestamp) -> bool {
        self.end(id, Phase::Exited { code: 137, oom_killed: false }, by, now);
        self.containers.remove(id).is_some()
    }

    /// The daemon dies, or shuts down: every container ends with `code`.
    pub(super) fn go_away(&mut self, code: i64, now: Timestamp) {
        self.is_up = false;
        self.containers.values_mut().for_each(|held| held.was_signalled = false);
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            self.end(&id, Phase::Exited { code, oom_killed: false }, End::Daemon, now);
        }
    }

    /// The daemon is asked to end a container.
    pub(super) fn signal(&mut self, id: &str) {
        if let Some(held) = self.containers.get_mut(id).filter(|held| held.container.phase == Phase::Running)
        {
            held.was_signalled = true;
        }
    }

    /// Whether it was.
    pub(super) fn was_signalled(&self, id: &str) -> Result<bool, EngineError> {
        self.find(id)?;
        Ok(self.containers.get(id).is_some_and(|held| held.was_signalled))
    }

    /// When something happens next by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = self.containers.values().filter_map(|held| held.process.as_ref()?.next());
        next.map(|(at, _)| at).min()
    }

    /// Lets happen what was to happen until `instant`, which is `now` by the machine's clock. Names what has changed.
    pub(super) fn settle(&mut self, instant: Instant, now: Timestamp) -> Vec<String> {
        let mut changed = Vec::new();
        while let Some((id, at, happening)) = self.next_until(instant) {
            match happening {
                Happening::Checked => changed.extend(self.check(&id, at)),
                Happening::Exits(code) => {
                    let ago = i64::try_from((instant - at).as_millis()).unwrap_or(i64::MAX);
                    let then = Timestamp::from_millis(now.as_millis().saturating_sub(ago));
                    self.end(&id, Phase::Exited { code, oom_killed: false }, End::ByItself, then);
                    changed.push(id);
                }
            }
        }
        changed
    }

    fn next_until(&self, instant: Instant) -> Option<(String, Instant, Happening)> {
        let next = self.containers.iter().filter_map(|(id, held)| {
            let (at, happening) = held.process.as_ref()?.next()?;
            Some((id.clone(), at, happening))
        });
        next.filter(|(_, at, _)| *at <= instant).min_by_key(|(_, at, _)| *at)
    }

    /// A healthcheck. As with Docker, only a change of its state is news.
    fn check(&mut self, id: &str, at: Instant) -> Option<String> {
        let held = self.containers.get_mut(id)?;
        let process = held.process.as_mut()?;
        process.check(at);
        let before = std::mem::replace(&mut held.container.health, process.health.clone());
        let state = |health: &Option<Health>| health.as_ref().map(|health| health.state);
        (state(&before) != state(&held.container.health)).then(|| id.to_owned())
    }

    /// The last lines that a container has written.
    pub(super) fn tail(&self, id: &str, lines: usize) -> Result<Vec<String>, EngineError> {
        self.find(id)?;
        let output = self.containers.get(id).map(|held| held.output.as_slice()).unwrap_or_default();
        Ok(output.iter().skip(output.len().saturating_sub(lines)).cloned().collect())
    }

    fn tell(&self, incident: &Incident) {
        if let Some(witness) = &self.witness {
            witness(incident);
        }
    }

    /// The host ports of a container that is about to start; those that are automatic get free numbers.
    fn free_ports(&self, id: &str) -> Result<Vec<PortStatus>, EngineError> {
        let running = self.containers.values().flat_map(|held| &held.container.ports);
        let mut taken: Vec<(u16, _)> = running.map(|port| (port.published, port.protocol)).collect();
        let mut ports = Vec::new();
        for port in self.containers.get(id).into_iter().flat_map(|held| &held.ports) {
            let is_free = |number: &u16| !taken.contains(&(*number, port.protocol));
            let published = match port.published {
                0 => (FIRST_PORT..=u16::MAX).find(is_free),
                number => Some(number).filter(is_free),
            };
            let Some(published) = published else {
                return Err(refused(&format!("port {} is already allocated", port.published)));
            };
            taken.push((published, port.protocol));
            ports.push(PortStatus { target: port.target, published, protocol: port.protocol });
        }
        ports.sort();
        Ok(ports)
    }
}
