//! Clusters of any size: the objects of nodes, services, revisions and tasks.

use std::sync::Arc;

use skep_api::ident::{IdentError, Name, NodeId, Stack, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{
    Engine, NodeReport, NodeSpec, NodeState, NodeStatus, Platform, Resources, Role, Session,
};
use skep_api::object::Object;
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::{Cause, DesiredState, Slot, Task};
use skep_api::time::Timestamp;

use super::shape::{Shape, Variant};

const MIB: u64 = 1 << 20;
const ZONES: [&str; 3] = ["a", "b", "c"];
/// What a node has when tasks reserve little of it, in MiB.
const PLENTY: usize = 1 << 19;
/// When everything here was made, in milliseconds since 1970.
pub(super) const EPOCH_MS: i64 = 1_700_000_000_000;

/// A key and its value.
pub(super) type Item = (Key, Object);

/// A cluster on which nothing is placed yet.
#[derive(Debug, Clone)]
pub(super) struct Field {
    shape: Shape,
    variant: Variant,
    /// What the names of its services begin with.
    prefix: &'static str,
    stack: Stack,
}

/// A service, and what its tasks are made of.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    name: Name,
    service: ServiceRef,
    uid: Uid,
}

impl Field {
    pub(super) fn new(shape: Shape, variant: Variant, prefix: &'static str) -> Result<Self, String> {
        Ok(Self { shape, variant, prefix, stack: "bench".parse().map_err(text)? })
    }

    /// The id of a node. They are spread over all ids, as ids that are drawn are.
    pub(super) fn node_id(number: usize) -> NodeId {
        let number = u64::try_from(number).unwrap_or_default();
        NodeId::from_random(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// All keys of a node that is ready.
    pub(super) fn node(&self, number: usize) -> [Item; 4] {
        let id = Self::node_id(number);
        let session = Session { holder: format!("host-{number}:1"), since: at() };
        let status = NodeStatus { state: NodeState::Ready, since: at(), ..NodeStatus::default() };
        [
            (Key::Node(id.clone()), Self::node_spec(number).into()),
            (Key::NodeSession(id.clone()), session.into()),
            (Key::NodeReport(id.clone()), self.report(number).into()),
            (Key::NodeStatus(id), status.into()),
        ]
    }

    pub(super) fn node_spec(number: usize) -> NodeSpec {
        let zone = ZONES.get(number % ZONES.len()).copied().unwrap_or_default();
        let labels = [("zone".to_owned(), zone.to_owned()), ("rack".to_owned(), format!("r{}", number / 40))];
        NodeSpec {
            name: format!("host-{number}"),
            role: Role::Worker,
            availability: skep_api::node::Availability::Active,
            drain: skep_api::node::DrainMode::Gradual,
            labels: labels.into(),
        }
    }

    pub(super) fn report(&self, number: usize) -> NodeReport {
        let (_, mebibytes) = self.variant.reservation().unwrap_or_default();
        let density = u64::try_from(self.shape.density()).unwrap_or(u64::MAX);
        let memory = match self.variant {
            Variant::Full => mebibytes * density * 9 / 10,
            // A few more than an even share, so that the fullest node is one that has no room left after a while.
            Variant::Binpack => mebibytes * (density + density / 4 + 1),
            Variant::Plain
            | Variant::Reserved
            | Variant::Constrained
            | Variant::Zones
            | Variant::Random
            | Variant::Vast => u64::try_from(PLENTY).unwrap_or(u64::MAX),
        };
        let capacity =
            Resources { cpus: Cpus::from_nanos(1_000_000_000_000), memory: Memory::from_bytes(memory * MIB) };
        NodeReport {
            hostname: format!("host-{number}"),
            address: "192.0.2.1".to_owned(),
            capacity,
            platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() },
            engine: Engine {
                version: "20.10.24".to_owned(),
                labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            },
            ..NodeReport::default()
        }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Item> {
        (0..self.shape.nodes).flat_map(|number| self.node(number))
    }

    /// Every service's spec; an error if something that it asks for is refused.
    pub(super) fn services(&self) -> Result<Vec<Item>, String> {
        let placement = self.variant.placement();
        (0..self.shape.services)
            .map(|number| {
                let service = self.service(number)?;
                let spec = format!(
                    "{{apiVersion: skep/v1, kind: Service, metadata: {{name: {}, stack: {}}}, \
                     spec: {{task: {}, placement: {placement}}}}}",
                    service.name,
                    service.stack,
                    self.template()
                );
                decode(Key::Service(service), &spec)
            })
            .collect()
    }

    /// Every service as the owner of tasks. `identify` says what its uid is.
    pub(super) fn owners(&self, identify: impl Fn(&Key) -> Option<Uid>) -> Result<Vec<Owner>, String> {
        (0..self.shape.services)
            .map(|number| {
                let service = self.service(number)?;
                let key = Key::Service(service.clone());
                let uid = identify(&key).ok_or_else(|| format!("{key} is not there"))?;
                Ok(Owner { name: service.name.clone(), service, uid })
            })
            .collect()
    }

    /// Revision 1 of each service.
    pub(super) fn revisions(&self, owners: &[Owner]) -> Result<Vec<Item>, String> {
        let placement = self.variant.placement();
        owners
            .iter()
            .map(|owner| {
                let revision = format!(
                    "{{service: {{stack: {}, name: {}}}, task: {}, placement: {placement}, version: 1}}",
                    owner.service.stack,
                    owner.name,
                    self.template()
                );
                decode(Key::Revision(owner.uid.clone(), 1), &revision)
            })
            .collect()
    }

    /// All tasks: as many of each service, none of them placed.
    pub(super) fn tasks<'a>(&self, owners: &'a [Owner]) -> impl Iterator<Item = Item> + 'a {
        let services = owners.len().max(1);
        (0..self.shape.tasks).filter_map(move |number| {
            let owner = owners.get(number % services)?;
            Some(owner.task(number / services, &Place::Pending))
        })
    }

    fn service(&self, number: usize) -> Result<ServiceRef, String> {
        Ok(ServiceRef::new(self.stack.clone(), format!("{}-{number}", self.prefix).parse().map_err(text)?))
    }

    fn template(&self) -> String {
        let environment = "env: {LOG_LEVEL: info, DATABASE: \"postgres://db:5432/shop\"}";
        let resources = self.variant.reservation().map_or_else(String::new, |(millis, mebibytes)| {
            format!(", resources: {{reservations: {{cpus: {}, memory: {mebibytes}Mi}}}}", millis_of(millis))
        });
        format!("{{image: \"registry.example.com/shop/web:1.27\", {environment}{resources}}}")
    }
}

impl Owner {
    /// The task in slot `index` at `place`.
    pub(super) fn task(&self, index: usize, place: &Place) -> Item {
        let slot = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let key = TaskRef {
            place: place.clone(),
            stack: self.service.stack.clone(),
            name: TaskName::new(&self.name, &slot.to_string(), 123_456),
        };
        let task = Task {
            uid: self.uid.clone(),
            service: self.service.clone(),
            slot: Slot::Number(slot),
            revision: 1,
            desired: DesiredState::Running,
            cause: Cause::New,
            replaces: None,
            start_after: None,
            created: at(),
            restarts: 0,
            attempts: Vec::new(),
            streak: 0,
            generic: std::collections::BTreeMap::new(),
        };
        (Key::Task(key), Object::Task(Arc::new(task)))
    }
}

pub(super) fn at() -> Timestamp {
    Timestamp::from_millis(EPOCH_MS)
}

fn millis_of(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn decode(key: Key, value: &str) -> Result<Item, String> {
    let object = Object::decode(&key, value.as_bytes()).map_err(|invalid| format!("{key}: {invalid}"))?;
    Ok((key, object))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: IdentError) -> String {
    error.to_string()
}
