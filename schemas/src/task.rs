//! Task: one run of one container, and what is said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::{Name, NodeId, TaskName, Uid};
use crate::key::{Place, ServiceRef};
use crate::quantity::{Cpus, Memory};
use crate::service::{Protocol, is_default};
use crate::time::Timestamp;

/// The observed state of a task. It only moves forward; the order is SwarmKit's (api/types.proto, `TaskState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// Created, and not looked at.
    New,
    /// Waits for a node.
    Pending,
    /// Placed on a node.
    Assigned,
    /// The agent has seen it.
    Accepted,
    /// The image is being pulled, the container created.
    Preparing,
    /// The container can be started.
    Ready,
    /// Claimed: the container may be started from here on.
    Starting,
    /// The container runs.
    Running,
    /// It ended with exit code 0.
    Complete,
    /// It was stopped because it was told to.
    Shutdown,
    /// It ended by itself, with an error.
    Failed,
    /// It could not be started.
    Rejected,
    /// Its node is gone for good.
    Orphaned,
}

/// What is wanted of a task. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DesiredState {
    /// Prepared, not started: it waits for the task that it replaces, or for a delay.
    Ready,
    /// Running.
    Running,
    /// Running to its end (jobs).
    Complete,
    /// Stopped, and kept as history.
    Shutdown,
    /// Stopped, and forgotten.
    Remove,
}

/// Why a task was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The slot was new.
    New,
    /// The task before it ended.
    Restart,
    /// The slot's revision changed.
    Update,
    /// The task before it had to leave its node.
    Evict,
}

/// The place of a task within its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Slot {
    /// Replicated: 1 to N. Replicated jobs: 0 to completions − 1.
    Number(u32),
    /// Global: the node.
    Node(NodeId),
}

/// What is wanted of one run of one container. Immutable but for `desired`, which only rises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The service's identity.
    pub uid: Uid,
    /// The service's stack and name.
    pub service: ServiceRef,
    /// Its place in the service.
    pub slot: Slot,
    /// The number of the Revision that it runs.
    pub revision: u64,
    /// What is wanted of it.
    pub desired: DesiredState,
    /// Why it was made.
    pub cause: Cause,
    /// The task in the slot that it takes over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TaskName>,
    /// Not to be started before this instant, by the clock of the controller that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_after: Option<Timestamp>,
    /// When it was made, by the clock of the controller that wrote it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub created: Timestamp,
    /// How many tasks of this slot and revision ended by themselves before it. Evictions and lost nodes do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// When the successors of those were made, the oldest first: only with `restart.window`, and only as many as
    /// `restart.maxAttempts` asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Timestamp>,
    /// How many of those ended quickly, one after another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub streak: u32,
    /// Which of its node's named generic resources it has, by kind: the scheduler says so when it places the task.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generic: BTreeMap<String, BTreeSet<String>>,
}

/// A port of the host that leads to a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortStatus {
    /// The port in the container.
    pub target: u16,
    /// The port on the node.
    pub published: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// The container of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Whether its agent is about to tell more of its end: its last lines, and whether it was killed for want of memory. Whoever
    /// follows the task need not wait for that; whoever judges it does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unexamined: bool,
    /// Docker's id of it.
    pub id: String,
    /// The exit code, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for want of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom_killed: bool,
    /// The engine's id of its image: tasks of one revision should all have the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// What a healthcheck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// It has not answered well yet, and need not.
    Starting,
    /// It answers well.
    Healthy,
    /// It failed as often in a row as `retries` says.
    Unhealthy,
}

/// The health of a task that has a healthcheck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// What the healthcheck says.
    pub state: HealthState,
    /// How many checks have failed in a row.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failing_streak: u32,
    /// What the last check that failed printed; at most [`HEALTH_OUTPUT_MAX_CHARS`] of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// How much of a check's output is kept, in characters.
pub const HEALTH_OUTPUT_MAX_CHARS: usize = 500;
/// How many of the last lines of a task that failed are kept in its status.
pub const LOG_TAIL_LINES: usize = 5;
/// How much of each of those lines, in characters.
pub const LOG_LINE_MAX_CHARS: usize = 200;

/// Why a filter of the scheduler leaves some nodes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Obstacle {
    /// The filter, such as `memory`.
    pub filter: String,
    /// How many nodes it leaves out.
    pub nodes: u32,
    /// What is missing on the node that comes nearest.
    pub detail: String,
    /// The nodes that come nearest, the best first; at most [`NEAR_MISSES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<NearMiss>,
    /// The task that this one replaces, if it would fit somewhere were that one gone: a service that keeps its tasks apart
    /// over a level has only so many places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed_by: Option<TaskName>,
}

/// How many of the nodes that come nearest are told, per filter.
pub const NEAR_MISSES_MAX: usize = 3;

/// A node that a filter leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NearMiss {
    /// The node's name.
    pub node: String,
    /// What is missing there, with the number.
    pub missing: String,
}

/// The smallest change that would let a task be placed: on one node, all of these together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// What to do, in a sentence, with the command where there is one.
    pub message: String,
    /// What exactly. Empty if there are no nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RemedyStep>,
}

/// One step towards a node on which a task fits. `node` is the node's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RemedyStep {
    /// Let the node take tasks again: it is paused or drained.
    Activate {
        /// The node.
        node: NodeId,
    },
    /// Bring the node back: its agent does not answer.
    Revive {
        /// The node.
        node: NodeId,
    },
    /// Free so many cores on the node, or give it so many more.
    FreeCpus {
        /// The node.
        node: NodeId,
        /// How many are missing.
        cpus: Cpus,
    },
    /// Free so much memory on the node, or give it so much more.
    FreeMemory {
        /// The node.
        node: NodeId,
        /// How much is missing.
        memory: Memory,
    },
    /// Free so many of a generic resource on the node, or give it so many more.
    FreeGeneric {
        /// The node.
        node: NodeId,
        /// The kind of resource.
        kind: String,
        /// How many are missing.
        count: u64,
    },
    /// Install a plugin on the node.
    Install {
        /// The node.
        node: NodeId,
        /// `volume`, `network` or `log`.
        kind: String,
        /// The driver.
        name: String,
    },
    /// Give the node this label.
    Label {
        /// The node.
        node: NodeId,
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
    /// Take this label from the node.
    Unlabel {
        /// The node.
        node: NodeId,
        /// The label.
        key: String,
    },
    /// Drop this constraint of the service: no label would meet it.
    Relax {
        /// The constraint as it is written.
        constraint: String,
    },
    /// Make the image for the platform of the node, and say so in `placement.platforms`.
    Port {
        /// The node.
        node: NodeId,
        /// Its platform, as `os/architecture`.
        platform: String,
    },
    /// Free the port of the node.
    FreePort {
        /// The node.
        node: NodeId,
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
    /// Raise `placement.maxReplicasPerNode`.
    RaiseMaxReplicas {
        /// What it must be at least.
        to: u32,
    },
    /// Take back that the volume is on another node.
    MoveVolume {
        /// The volume.
        volume: Name,
        /// The node that the task would be on.
        node: NodeId,
    },
    /// Drop this term of the service's or the other service's affinity.
    DropAffinity {
        /// The service whose term it is.
        service: ServiceRef,
        /// The service that it names.
        other: ServiceRef,
    },
}

/// What is observed of a task: written by its agent, or by the scheduler while it has no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// How far it is.
    pub state: TaskState,
    /// When it came there, by the clock of the writer; for people to read.
    pub since: Timestamp,
    /// What goes on, in a few words (SwarmKit's: "preparing", "started", …).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What went wrong: the engine's own words, the exit code, or why no node fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the container was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the task came to RUNNING: started, and healthy if it has a healthcheck. By the same clock as `since`, and kept
    /// when the task ends, so that their difference tells how long it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Timestamp>,
    /// Since when it takes no new connections, because it is about to be stopped (`task.preStop`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Timestamp>,
    /// What its healthcheck says; nothing without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The last lines that it wrote, if it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerStatus>,
    /// The host ports that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortStatus>,
    /// Why no node fits, most frequent first; only while unplaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<Obstacle>,
    /// The smallest change by which it would fit; only while unplaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

impl TaskStatus {
    /// Whether its agent is about to tell more of the task's end.
    pub fn is_unexamined(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.unexamined)
    }
}

impl TaskState {
    /// The observed state of the task at `place`: what its status says. A task without one is ASSIGNED if it has a node;
    /// one that had not ended when its node's spec was deleted is ORPHANED.
    pub fn observed(place: &Place, status: Option<&TaskStatus>, node_exists: bool) -> Self {
        let said = status.map(|status| status.state);
        match place {
            Place::Pending => said.unwrap_or(Self::Pending),
            Place::Node(_) => match said {
                Some(state) if state.is_terminal() || node_exists => state,
                None if node_exists => Self::Assigned,
                Some(_) | None => Self::Orphaned,
            },
        }
    }

    /// Whether the task has ended: nothing of it runs, and it holds no resources.
    pub fn is_terminal(self) -> bool {
        self > Self::Running
    }
}

impl Slot {
    /// The number of a replicated slot.
    pub fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Node(_) => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Node(node) => node.fmt(f),
        }
    }
}

/// The name of a variant as it is written.
fn written<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

impl fmt::Display for DesiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}
