//! Revision and Rollout: what a service's containers are made of, and which slot may run which.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::TaskTemplate;
use crate::ident::Uid;
use crate::key::ServiceRef;
use crate::service::{Placement, Port};
use crate::task::Slot;
use crate::time::Timestamp;

/// An immutable, numbered snapshot of all that is baked into a service's containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The service's stack and name.
    pub service: ServiceRef,
    /// What goes into a container.
    pub task: TaskTemplate,
    /// The host-mode ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<Port>,
    /// Where its tasks may run.
    #[serde(default)]
    pub placement: Placement,
}

/// The image that all tasks of a revision run, as the first agent that asked the registry found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The digest, such as `sha256:…`.
    pub digest: String,
}

/// The slots that are being updated now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Batch {
    /// Every slot: a first rollout, or one that is complete.
    All,
    /// These.
    Slots(BTreeSet<Slot>),
}

/// How an update goes. The names are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Slots are being moved to the target.
    Updating,
    /// Held: by a failure, or by people.
    Paused,
    /// Every slot runs the target.
    Completed,
    /// Slots are being moved back.
    RollbackStarted,
    /// Moving back was held by a failure.
    RollbackPaused,
    /// Every slot runs what it ran before.
    RollbackCompleted,
}

/// What a rollout waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// For what, in one word in PascalCase.
    pub reason: String,
    /// Since when, by the updater's clock.
    pub since: Timestamp,
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Which revision each slot of a service may run, and the state of its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The service's stack and name.
    pub service: ServiceRef,
    /// The version of the service's spec that this speaks of.
    pub observed_version: i64,
    /// The last revision that completed and that some slot has really run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u64>,
    /// The revision that slots move to.
    pub target: u64,
    /// The etcd revision from which the target's failures count.
    pub since: i64,
    /// The slots that may take the target now.
    pub batch: Batch,
    /// What the next step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// How many slots were to be updated when it began.
    #[serde(default)]
    pub total: u32,
    /// How many of them have failed.
    #[serde(default)]
    pub failed: u32,
    /// How it goes.
    pub state: RolloutState,
    /// Why it was paused or rolled back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// People's word on a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// The service that is meant; the control is ignored for another one of the same name.
    pub uid: Uid,
    /// Whether the rollout is held.
    #[serde(default)]
    pub paused: bool,
}

impl Batch {
    /// Whether `slot` may take the target.
    pub fn has(&self, slot: &Slot) -> bool {
        match self {
            Self::All => true,
            Self::Slots(slots) => slots.contains(slot),
        }
    }
}

impl Rollout {
    /// Whether new tasks in new slots take `stable`: the target is held or withdrawn.
    pub fn is_held(&self) -> bool {
        matches!(self.state, RolloutState::Paused | RolloutState::RollbackPaused)
    }
}
