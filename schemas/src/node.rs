//! Node: a machine, what people say of it, what its agent says of it, and the summary.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::ident::NodeId;
use crate::quantity::{Cpus, Memory};
use crate::service::is_default;
use crate::time::Timestamp;

/// Whether tasks may be placed on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Tasks are placed on it.
    #[default]
    Active,
    /// It keeps its tasks and gets no more.
    Pause,
    /// Its tasks move elsewhere.
    Drain,
}

/// How the tasks of a node that is drained leave it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DrainMode {
    /// As in an update: within the service's parallelism, and start-first where the service is.
    #[default]
    Gradual,
    /// All at once (Swarm's way).
    Now,
}

/// What a node does for the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It runs tasks.
    #[default]
    Worker,
    /// It runs controllers as well.
    Manager,
}

/// What people want of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// Its name: the host name, until people change it.
    pub name: String,
    /// What it does for the cluster.
    #[serde(default)]
    pub role: Role,
    /// Whether tasks may be placed on it.
    #[serde(default)]
    pub availability: Availability,
    /// How its tasks leave it when it is drained: gradual (the default) or now.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drain: DrainMode,
    /// Labels that constraints see as `node.labels.KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// CPU and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Cores.
    #[serde(default)]
    pub cpus: Cpus,
    /// Memory.
    #[serde(default)]
    pub memory: Memory,
}

/// The operating system and processor of a machine, in Go's words (`linux`, `amd64`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Processor.
    #[serde(default)]
    pub architecture: String,
}

/// Docker on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The daemon's labels, which constraints see as `engine.labels.KEY`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What a node has of a generic resource (SwarmKit, `api/genericresource`; Docker's `node-generic-resources`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Generic {
    /// So many, all alike, such as `SSD=4`.
    Count(u64),
    /// These, each by its name, such as `GPU=uuid1`.
    Named(BTreeSet<String>),
}

impl Generic {
    /// How many there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::Named(names) => u64::try_from(names.len()).unwrap_or(u64::MAX),
        }
    }
}

/// The drivers that a Docker daemon has, built in or installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plugins {
    /// Of volumes, such as `local`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub volume: BTreeSet<String>,
    /// Of networks, such as `bridge`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub network: BTreeSet<String>,
    /// Of logs, such as `json-file`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub log: BTreeSet<String>,
}

/// What an agent says of its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// The machine's host name.
    pub hostname: String,
    /// The address under which its host ports answer.
    pub address: String,
    /// What it has.
    pub capacity: Resources,
    /// Generic resources that it has, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generic: BTreeMap<String, Generic>,
    /// What it is.
    pub platform: Platform,
    /// What runs its containers.
    pub engine: Engine,
    /// The drivers that its Docker daemon has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plugins: Plugins,
    /// The version of the agent.
    pub skep_version: String,
    /// What of its disk is nearly full, in a sentence; nothing while there is enough room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_pressure: Option<String>,
    /// What its own clock said when it last asked for the time: the node controller answers in the node's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_asked: Option<Timestamp>,
    /// By how many milliseconds its clock is ahead of the node controller's; only if it is more than
    /// [`CLOCK_SKEW_MAX_MS`] either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
}

/// By how much a node's clock may differ from the node controller's, in milliseconds.
pub const CLOCK_SKEW_MAX_MS: i64 = 2_000;

/// What a lease says: an agent lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The process that holds it, for people: `<host>:<pid>`.
    pub holder: String,
    /// Since when, by its own clock.
    pub since: Timestamp,
}

/// How a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Its agent lives.
    Ready,
    /// Its agent has not been heard of, for a short time.
    Unreachable,
    /// Its agent has not been heard of for so long that its tasks are replaced.
    Down,
}

/// What the tasks of a node hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    /// What is set aside.
    #[serde(flatten)]
    pub resources: Resources,
    /// How many tasks have not ended.
    #[serde(default)]
    pub tasks: u32,
    /// How many of each generic resource are set aside, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generic: BTreeMap<String, u64>,
}

/// The node controller's answer to an agent that asked for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClockAnswer {
    /// What the agent's clock said.
    pub asked: Timestamp,
    /// What the node controller's said when it saw that.
    pub answered: Timestamp,
}

/// The summary of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The version of the spec that this speaks of.
    pub observed_version: i64,
    /// How it is.
    pub state: NodeState,
    /// Since when, by the node controller's clock.
    pub since: Timestamp,
    /// What its agent says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<NodeReport>,
    /// What its tasks hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allocated: Allocated,
    /// When that was counted: it is counted at most every few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Timestamp>,
    /// The answer to the last question for the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockAnswer>,
    /// Accepted, Ready, `DiskPressure`, `ClockSkew`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A node as people see it: for messages.
pub fn display_name<'a>(spec: Option<&'a NodeSpec>, id: &'a NodeId) -> &'a str {
    spec.map_or(id.as_str(), |spec| spec.name.as_str())
}
