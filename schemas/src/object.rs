//! Values of etcd as typed objects. A value that does not decode is data as well: an [`Invalid`].

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterSpec;
use crate::eviction::Eviction;
use crate::ident::{Name, Stack, Uid};
use crate::key::{Key, ServiceRef};
use crate::manifest;
use crate::node::{NodeReport, NodeSpec, NodeStatus, Session};
use crate::record::{Change, Event, Owners};
use crate::rollout::{Control, Pin, Revision, Rollout};
use crate::service::{Labels, ServiceSpec, ServiceStatus};
use crate::task::{Task, TaskStatus};
use crate::volume::VolumeSpec;
use crate::yaml;

/// The version of every object's form.
pub const API_VERSION: &str = "skep/v1";
/// The largest value of one object, in bytes: a third of what etcd takes in one request.
pub const OBJECT_MAX_BYTES: usize = 512 * 1024;

/// What an object is called, and what people say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Its name within its stack.
    pub name: Name,
    /// Its stack; by default `default`.
    #[serde(default, skip_serializing_if = "crate::service::is_default")]
    pub stack: Stack,
    /// Labels, for selecting.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Anything else that people note.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    /// Only on reading: the etcd revision of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Only on reading: the object's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
}

/// A service as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Name, stack, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ServiceSpec,
}

impl Service {
    /// Its stack and name.
    pub fn reference(&self) -> ServiceRef {
        ServiceRef::new(self.metadata.stack.clone(), self.metadata.name.clone())
    }
}

/// A volume as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Name, stack, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: VolumeSpec,
}

impl Volume {
    /// Its stack and name.
    pub fn reference(&self) -> ServiceRef {
        ServiceRef::new(self.metadata.stack.clone(), self.metadata.name.clone())
    }
}

/// A value that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    /// Where and why, for people.
    pub reason: String,
}

/// A decoded value, by the kind of its key. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A text: the cluster's id, the incarnation, the format, a name claim.
    Text(Arc<str>),
    /// A service's spec.
    Service(Arc<Service>),
    /// A volume's spec.
    Volume(Arc<Volume>),
    /// What holds for every service.
    Cluster(Arc<ClusterSpec>),
    /// A service's summary.
    ServiceStatus(Arc<ServiceStatus>),
    /// A node's spec.
    Node(Arc<NodeSpec>),
    /// A node's summary.
    NodeStatus(Arc<NodeStatus>),
    /// What an agent says of its machine.
    NodeReport(Arc<NodeReport>),
    /// A lease's key: a node's heartbeat, a controller's leader.
    Session(Arc<Session>),
    /// A revision.
    Revision(Arc<Revision>),
    /// A revision's image digest.
    Pin(Arc<Pin>),
    /// A rollout.
    Rollout(Arc<Rollout>),
    /// People's word on a rollout.
    Control(Arc<Control>),
    /// A task.
    Task(Arc<Task>),
    /// What is observed of a task.
    TaskStatus(Arc<TaskStatus>),
    /// The request that a task leave its node.
    Eviction(Arc<Eviction>),
    /// A record of a change.
    Change(Arc<Change>),
    /// Something that happened.
    Event(Arc<Event>),
    /// What each manager applied.
    Owners(Arc<Owners>),
}

impl Object {
    /// Reads the value of `key`. Both of YAML's forms are taken everywhere; JSON is one of them.
    ///
    /// # Errors
    /// [`Invalid`] says where the value is wrong.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(value).map_err(|_| Invalid { reason: "not UTF-8".to_owned() })?;
        Ok(match key {
            Key::ClusterId
            | Key::Incarnation
            | Key::Format
            | Key::ServiceNameClaim(_)
            | Key::VolumeNameClaim(_) => Self::Text(text.trim().into()),
            Key::Service(service) => Self::Service(manifest::decode_service(service, text)?.into()),
            Key::Node(node) => Self::Node(manifest::decode_node(node, text)?.into()),
            Key::Volume(volume) => Self::Volume(manifest::decode_volume(volume, text)?.into()),
            Key::Cluster => Self::Cluster(manifest::decode_cluster(text)?.into()),
            Key::ServiceStatus(_) => Self::ServiceStatus(read(text)?),
            Key::NodeStatus(_) => Self::NodeStatus(read(text)?),
            Key::NodeReport(_) => Self::NodeReport(read(text)?),
            Key::NodeSession(_) | Key::Leader(_) => Self::Session(read(text)?),
            Key::Revision(..) => Self::Revision(read(text)?),
            Key::Pin(..) => Self::Pin(read(text)?),
            Key::Rollout(_) => Self::Rollout(read(text)?),
            Key::Control(_) => Self::Control(read(text)?),
            Key::Task(_) => Self::Task(read(text)?),
            Key::TaskStatus(_) => Self::TaskStatus(read(text)?),
            Key::Eviction(_) => Self::Eviction(read(text)?),
            Key::Change(_) => Self::Change(read(text)?),
            Key::Event(_) => Self::Event(read(text)?),
            Key::ServiceOwners(_) | Key::NodeOwners(_) | Key::VolumeOwners(_) | Key::ClusterOwners => {
                Self::Owners(read(text)?)
            }
        })
    }

    /// Writes the value of `key`: what people read in etcd as block YAML, what machines write in bulk as flow YAML (JSON).
    ///
    /// # Errors
    /// [`Invalid`] if the value cannot be written; no type of Skep's has such values.
    pub fn encode(&self, key: &Key) -> Result<Vec<u8>, Invalid> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::Service(service) => manifest::encode_service(service),
            Self::Node(spec) => {
                let Key::Node(node) = key else {
                    return Err(Invalid { reason: format!("{key} is not a node's key") });
                };
                manifest::encode_node(node, spec)
            }
            Self::Volume(volume) => manifest::encode_volume(volume),
            Self::Cluster(spec) => manifest::encode_cluster(spec),
            Self::ServiceStatus(status) => block(status),
            Self::NodeStatus(status) => block(status),
            Self::NodeReport(value) => flow(value),
            Self::Session(value) => flow(value),
            Self::Revision(value) => flow(value),
            Self::Pin(value) => flow(value),
            Self::Rollout(value) => flow(value),
            Self::Control(value) => flow(value),
            Self::Task(value) => flow(value),
            Self::TaskStatus(value) => flow(value),
            Self::Eviction(value) => flow(value),
            Self::Change(value) => flow(value),
            Self::Event(value) => flow(value),
            Self::Owners(value) => flow(value),
        }
    }
}

/// A type that is one of [`Object`]'s variants.
pub trait Typed: Sized {
    /// The value, if `object` is of this type.
    fn from_object(object: &Object) -> Option<Arc<Self>>;
}

/// Lets a typed value stand where an [`Object`] is wanted, and be taken out of one.
macro_rules! from_typed {
    ($($name:ident($type:ty)),+ $(,)?) => {
        $(impl From<$type> for Object {
            fn from(value: $type) -> Self {
                Self::$name(Arc::new(value))
            }
        }

        impl Typed for $type {
            fn from_object(object: &Object) -> Option<Arc<Self>> {
                if let Object::$name(value) = object { Some(Arc::clone(value)) } else { None }
            }
        })+
    };
}

from_typed!(
    Service(Service),
    ServiceStatus(ServiceStatus),
    Volume(Volume),
    Node(NodeSpec),
    Cluster(ClusterSpec),
    NodeStatus(NodeStatus),
    NodeReport(NodeReport),
    Session(Session),
    Revision(Revision),
    Pin(Pin),
    Rollout(Rollout),
    Control(Control),
    Task(Task),
    TaskStatus(TaskStatus),
    Eviction(Eviction),
    Change(Change),
    Event(Event),
    Owners(Owners),
);

fn read<T: DeserializeOwned>(text: &str) -> Result<Arc<T>, Invalid> {
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(Arc::new(value));
    }
    yaml::from_str(text).map(Arc::new).map_err(|error| Invalid { reason: error.to_string() })
}

fn block<T: Serialize>(value: &T) -> Result<Vec<u8>, Invalid> {
    yaml::to_string(value).map(String::into_bytes).map_err(|error| Invalid { reason: error.to_string() })
}

fn flow<T: Serialize>(value: &T) -> Result<Vec<u8>, Invalid> {
    serde_json::to_vec(value).map_err(|error| Invalid { reason: error.to_string() })
}
