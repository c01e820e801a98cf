//! What a simulated machine holds, and what happens on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::service::Port;
use skep_api::task::PortStatus;
use skep_api::time::Timestamp;

use super::{Faults, Latency, is_owned, refused};
use crate::engine::{Container, ContainerSpec, EngineError, Image, Machine, Owner, Phase};

/// Where automatic host ports begin, as in Docker.
const FIRST_PORT: u16 = 32768;
/// The exit code of a container whose daemon died.
const DAEMON_DIED: i64 = 255;

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
    containers: BTreeMap<String, Held>,
    created: u64,
}

/// A container with what its host ports are to be.
struct Held {
    container: Container,
    ports: Vec<Port>,
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
        self.containers.insert(container.id.clone(), Held { container, ports: Vec::new() });
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
            phase: Phase::Created,
            started: None,
            ports: Vec::new(),
        };
        self.containers.insert(id.clone(), Held { container, ports: spec.revision.host_ports.clone() });
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &str, now: Timestamp) -> Result<(), EngineError> {
        if self.find(id)?.phase == Phase::Running {
            return Ok(());
        }
        let ports = self.free_ports(id)?;
        let Some(held) = self.containers.get_mut(id) else { return Ok(()) };
        held.container.phase = Phase::Running;
        held.container.started = Some(now);
        held.container.ports = ports;
        let incident = Incident::Started(held.container.clone());
        self.tell(&incident);
        Ok(())
    }

    /// Ends a container that runs. Whether it did.
    pub(super) fn end(&mut self, id: &str, phase: Phase, by: End) -> bool {
        let running = self.containers.get_mut(id).filter(|held| held.container.phase == Phase::Running);
        let Some(held) = running else { return false };
        held.container.phase = phase;
        held.container.ports.clear();
        let incident = Incident::Ended(held.container.clone(), by);
        self.tell(&incident);
        true
    }

    /// Removes a container. Whether there was one.
    pub(super) fn remove(&mut self, id: &str, by: End) -> bool {
        self.end(id, Phase::Exited { code: 137, oom_killed: false }, by);
        self.containers.remove(id).is_some()
    }

    pub(super) fn crash(&mut self) {
        self.is_up = false;
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            self.end(&id, Phase::Exited { code: DAEMON_DIED, oom_killed: false }, End::Daemon);
        }
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
