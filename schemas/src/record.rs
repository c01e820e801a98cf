//! Records for people: who changed what, what each manager asked for, and what happened. No controller decides from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A field that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where, such as `spec.task.image`.
    pub path: String,
    /// What it was; nothing if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<serde_json::Value>,
    /// What it is; nothing if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<serde_json::Value>,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// Which, such as `Service/shop/web`.
    pub object: String,
    /// created, changed or deleted.
    pub action: ChangeAction,
    /// The fields that moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What a change did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// It was not there.
    Created,
    /// It was there.
    Changed,
    /// It is gone.
    Deleted,
}

/// Who changed which specs, when, with what and why; written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When, by the writer's clock.
    pub time: Timestamp,
    /// Who, such as `alice@laptop`.
    pub actor: String,
    /// With what: `cli`.
    pub manager: String,
    /// The words of the command, or the commit's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What moved.
    pub objects: Vec<ObjectChange>,
}

/// What one manager last applied to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The document that it asked for.
    pub applied: serde_json::Value,
    /// The file it came from, and the line where it began.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// When.
    pub time: Timestamp,
}

/// What each manager (`cli`, later `sync:NAME`, …) last applied to an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Owners(pub BTreeMap<String, Owner>);

/// Whether an event is worth a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// In the ordinary course.
    Normal,
    /// Something is wrong.
    Warning,
}

/// What happened; the same thing again raises the count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The object it happened to, such as `Service/shop/web`.
    pub regarding: String,
    /// What, in one word in PascalCase.
    pub reason: String,
    /// What, in a sentence.
    pub message: String,
    /// How much it matters.
    pub severity: Severity,
    /// The controller that says so.
    pub source: String,
    /// How often.
    pub count: u32,
    /// First time, by the controller's clock.
    pub first_seen: Timestamp,
    /// Last time, by the controller's clock.
    pub last_seen: Timestamp,
}
