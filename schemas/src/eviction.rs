//! Eviction: the request that a task leave its node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Why a task has to leave its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvictionReason {
    /// People drain the node. Written by the node controller.
    Drain,
    /// The node no longer meets what the service wants of it. Written by the scheduler.
    Constraint,
    /// Another node suits it better. Written by the scheduler, or by people (`skep rebalance`); deleted by the scheduler, also
    /// when no move would be for the better any more, or when the successor has ended: replica tries no second one. The
    /// successor comes first, whatever the service's order; jobs and global tasks stay.
    Rebalance,
}

/// The request that a task leave its node. Replica answers with a successor elsewhere; it never uses up attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Eviction {
    /// Why; it also says which controller wrote it, and deletes it.
    pub reason: EvictionReason,
    /// Why, in a sentence.
    pub message: String,
    /// Since when, by the clock of the controller that wrote it.
    pub since: Timestamp,
    /// Whether the task is stopped at once, beside the service's parallelism and order (Swarm's way).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}
