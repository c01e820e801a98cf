//! Conditions: what is true of an object, why, and since when (Kubernetes' API conventions).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody has looked yet.
    Unknown,
}

/// One aspect of an object's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: Truth,
    /// Why, in one word in `PascalCase`.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When `status` last changed, by the clock of the controller that wrote it.
    pub last_transition_time: Timestamp,
}

/// Sets the condition `kind` in `conditions`; its transition time moves only when its status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: Truth,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let old = conditions.iter_mut().find(|condition| condition.kind == kind);
    let since = match &old {
        Some(old) if old.status == status => old.last_transition_time,
        _ => now,
    };
    let new = Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
    };
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// The condition `kind` of `conditions`.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether the condition `kind` is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == Truth::True)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Truth::False, "Starting", "", Timestamp::from_millis(1));
        set(&mut conditions, "Ready", Truth::False, "Waiting", "for memory", Timestamp::from_millis(2));
        assert_eq!(conditions[0].last_transition_time, Timestamp::from_millis(1));
        assert_eq!(conditions[0].reason, "Waiting");
        set(&mut conditions, "Ready", Truth::True, "Running", "", Timestamp::from_millis(3));
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].last_transition_time, Timestamp::from_millis(3));
    }
}
