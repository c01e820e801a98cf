//! Service: containers that are kept running. Every field of Docker Swarm's service is here, under the names of
//! ARCHITECTURE.md; the defaults are in [`crate::defaults`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::container::TaskTemplate;
use crate::ident::{Name, Stack};
use crate::rollout::{Failure, RolloutState, Waiting};
use crate::time::{Span, Timestamp};

/// How many tasks a service has, and whether they end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `replicas` tasks that keep running.
    #[default]
    Replicated,
    /// One task on every node.
    Global,
    /// Tasks that run to their end, so many times.
    ReplicatedJob,
    /// One task on every node, which runs to its end.
    GlobalJob,
}

/// What people want of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// replicated (the default), global, replicated-job or global-job; it cannot change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// How many tasks (replicated only); 0 to 10,000, by default 1.
    #[schemars(range(max = 10_000))]
    #[serde(default = "crate::defaults::replicas", skip_serializing_if = "crate::defaults::is_one")]
    pub replicas: u32,
    /// How a replicated job runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// What goes into a container. A change here replaces tasks; a change elsewhere does not.
    pub task: TaskTemplate,
    /// Published ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// How the service's name is answered by DNS.
    #[serde(default, skip_serializing_if = "is_default")]
    pub endpoint_mode: EndpointMode,
    /// Where tasks may run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// How tasks are replaced when `task` changes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub update: UpdatePolicy,
    /// How tasks are replaced when an update is taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollback: UpdatePolicy,
    /// Whether and when a task that ended is replaced.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: RestartPolicy,
    /// Services that must be there before this one starts for the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
}

impl ServiceSpec {
    /// The ports that are open on the node of each task.
    pub fn host_ports(&self) -> Vec<Port> {
        self.ports.iter().filter(|port| port.mode == PublishMode::Host).cloned().collect()
    }
}

/// How a replicated job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// How many runs must succeed; by default 1.
    #[serde(default = "crate::defaults::replicas")]
    pub completions: u32,
    /// How many run at once; by default all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}

/// A protocol above IP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Where a published port is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// On every node, through the routing mesh.
    #[default]
    Ingress,
    /// On the node of each task.
    Host,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// A name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port in the container, 1 to 65535.
    #[schemars(range(min = 1))]
    pub target: u16,
    /// The port outside, 1 to 65535; left out or 0, a free one is chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub published: u16,
    /// tcp (the default), udp or sctp.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Protocol,
    /// ingress (the default) or host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: PublishMode,
}

/// How a service's name is answered by DNS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointMode {
    /// With one virtual address.
    #[default]
    Vip,
    /// With the addresses of all tasks.
    Dnsrr,
}

/// Where tasks may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placement {
    /// Expressions that a node must meet, such as `node.labels.zone == a`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Node labels over whose values tasks are spread, such as `node.labels.zone`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<String>,
    /// The most tasks of this service on one node; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_replicas_per_node: u32,
    /// Platforms on which the image runs; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformRequirement>,
    /// Which of the nodes that fit comes first: spread, binpack or random; by default the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Services that tasks must be together with, or apart from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<Affinity>,
    /// Whether running tasks are moved to nodes that suit them better: never or whenIdle; by default the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
}

/// Which of the nodes that fit comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The one with the fewest tasks of the service, then the least loaded (Swarm's way).
    #[default]
    Spread,
    /// The fullest one, so that as many nodes as possible stay empty.
    Binpack,
    /// Any, drawn by the task's name: the same choice each time it is asked for.
    Random,
}

/// Whether running tasks are moved to nodes that suit them better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rebalance {
    /// Only by `skep rebalance` (Swarm never does).
    #[default]
    Never,
    /// A few at a time, while the service has nothing else to do.
    WhenIdle,
}

/// A service that tasks must be together with, or apart from: exactly one of `with` and `apart` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Affinity {
    /// A service that has a task there. It may be the service itself: all of its tasks are together then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Name>,
    /// A service that has no task there, now or later. It may be the service itself: then there is one task at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Name>,
    /// Its stack, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// Where: on nodes with the same value of this property, such as `node.labels.zone`; by default on one node. Nodes
    /// without the label are together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// A platform on which an image runs; an empty field is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformRequirement {
    /// Operating system, such as `linux`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Processor, such as `amd64`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub architecture: String,
}

/// Which comes first when a task is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The old one stops, then the new one starts.
    #[default]
    StopFirst,
    /// The new one runs, then the old one stops.
    StartFirst,
}

/// What to do when an update fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureAction {
    /// Hold.
    #[default]
    Pause,
    /// Go on.
    Continue,
    /// Go back.
    Rollback,
}

/// How tasks are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpdatePolicy {
    /// How many slots at once; 0 is all, by default 1.
    #[serde(skip_serializing_if = "crate::defaults::is_one")]
    pub parallelism: u32,
    /// How long to wait after each batch; by default 0s.
    #[serde(skip_serializing_if = "is_default")]
    pub delay: Span,
    /// stop-first (the default) or start-first.
    #[serde(skip_serializing_if = "is_default")]
    pub order: Order,
    /// How long a new task is watched for failure; by default 5s.
    #[serde(skip_serializing_if = "crate::defaults::is_five_seconds")]
    pub monitor: Span,
    /// pause (the default), continue or rollback.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_action: FailureAction,
    /// The part of the slots that may fail, 0 to 1; by default 0.
    #[serde(skip_serializing_if = "is_default")]
    pub max_failure_ratio: Ratio,
    /// Update only so many slots, then wait until this is raised or left out (canaries); by default all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// How long a batch may take to run before the update counts as failed; by default 10m, 0s is for ever (Swarm's way).
    #[serde(skip_serializing_if = "crate::defaults::is_deadline")]
    pub deadline: Span,
}

/// A part of a whole, 0 to 1, in thousand-millionths; written as a decimal number in quotes.
pub use crate::ratio::Ratio;

/// After which ends a task is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    None,
    /// When it failed.
    OnFailure,
    /// Whatever the exit code.
    #[default]
    Any,
}

/// Whether and when a task that ended is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestartPolicy {
    /// any (the default), on-failure or none.
    #[serde(skip_serializing_if = "is_default")]
    pub condition: RestartCondition,
    /// How long to wait before the replacement starts; by default 5s.
    #[serde(skip_serializing_if = "crate::defaults::is_five_seconds")]
    pub delay: Span,
    /// How often in a slot; 0 (the default) is without limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_attempts: u32,
    /// How far back attempts count; 0s (the default) is for ever.
    #[serde(skip_serializing_if = "is_default")]
    pub window: Span,
    /// From the fifth quick failure in a row on, the delay doubles up to this; by default 5m, 0s is never (Swarm's way).
    #[serde(skip_serializing_if = "crate::defaults::is_max_delay")]
    pub max_delay: Span,
}

/// When a dependency is met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyCondition {
    /// It runs.
    #[default]
    Started,
    /// It runs and is healthy.
    Healthy,
    /// It ran to its end.
    Completed,
}

/// A service that must be there first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// Its name.
    pub service: Name,
    /// Its stack, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// started (the default), healthy or completed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub condition: DependencyCondition,
    /// How long to wait before giving up; left out, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// The summary of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// The version of the spec that this speaks of.
    pub observed_version: i64,
    /// How many tasks are wanted.
    pub desired: u32,
    /// How many run.
    pub running: u32,
    /// How many of those run the rollout's target.
    pub updated: u32,
    /// The number of the revision that slots move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How the update goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdateStatus>,
    /// How the job goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
    /// What happens next without anybody's doing; nothing if all is as it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Accepted, Placed, Progressing, Available, Ready, `RolledBack`, `CrashLooping`, `DependenciesMet`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How an update goes: what people need to know of the Rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStatus {
    /// How it goes.
    pub state: RolloutState,
    /// The revision to which a rollback goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u64>,
    /// The slots that are being updated now; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch: Vec<String>,
    /// Which batch that is, from 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch_number: u32,
    /// How many slots were to be updated.
    pub total: u32,
    /// How many slots have failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failed: u32,
    /// What the next step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why it was paused or rolled back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The task by which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How a job goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The revision that this run is of: a change of it is another run.
    pub iteration: u64,
    /// How many runs must succeed.
    pub total: u32,
    /// How many have.
    pub completed: u32,
    /// How many are under way.
    pub active: u32,
    /// How many slots have failed and are not tried again.
    pub failed: u32,
    /// When replica made the first task of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When replica saw that nothing of it is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// What, in a sentence.
    pub message: String,
    /// When; nothing if it waits for something that has no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// For serde: whether a field can be left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Labels and annotations.
pub type Labels = BTreeMap<String, String>;
