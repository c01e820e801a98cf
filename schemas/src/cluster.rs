//! Cluster: what holds for every service that does not say otherwise.
//!
//! There is one, under [`Key::Cluster`](crate::key::Key::Cluster). While nobody has applied one, every default holds.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::Uid;
use crate::service::{Rebalance, Strategy, is_default};

/// What people want of the cluster as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Where tasks run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: ClusterPlacement,
}

/// Where tasks run whose service does not say it in `placement`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPlacement {
    /// Which of the nodes that fit comes first: spread (the default), binpack or random.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Strategy,
    /// Whether running tasks are moved to nodes that suit them better: never (the default) or whenIdle.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rebalance: Rebalance,
}

/// What the cluster is called: there is one only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterMetadata {
    /// Always `default`, and may be left out.
    #[serde(default)]
    pub name: ClusterName,
    /// Only on reading: the etcd revision of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Only on reading: the object's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
}

/// The one name that a cluster has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterName {
    /// There is one cluster.
    #[default]
    Default,
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("default")
    }
}
