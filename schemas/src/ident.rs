//! Identifiers: names that people choose, and ids that Skep derives or draws.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

/// The longest name or stack: a DNS label (RFC 1035).
pub const NAME_MAX_BYTES: usize = 63;
/// The stack of an object that names none.
pub const DEFAULT_STACK: &str = "default";
/// Length of a uid: as Docker's ids, 25 characters of base 36.
const UID_CHARS: usize = 25;
/// Length of a node id.
const NODE_ID_CHARS: usize = 12;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {rule}")]
pub struct IdentError {
    /// What was expected.
    pub what: &'static str,
    /// What was given.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// Makes a checked string type: parsing is the only way in, so a key segment can never hold a `/`. Identifiers are copied
/// into every key, change and index: a short one lies in place, without a pointer to follow, and copies of a long one share it.
macro_rules! ident {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path, $pattern:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentError;
            fn from_str(text: &str) -> Result<Self, IdentError> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdentError { what: $what, text: text.chars().take(100).collect(), rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let rule = concat!("A ", $what, ": ", $rule, ".");
                json_schema!({"type": "string", "pattern": $pattern, "description": rule})
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

ident!(
    /// A name of an object: lower-case letters, digits, `-` and `_`, at most 63.
    Name, "name", is_name, "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
    "use lower-case letters, digits, '-' and '_', starting and ending with a letter or digit, at most 63"
);
ident!(
    /// The name of a stack: as [`Name`], but without `_`, which separates it from the name in Docker's names.
    Stack, "stack", is_stack, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "use lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63"
);
ident!(
    /// Identity of one object over its life: 25 characters of base 36.
    Uid, "uid", is_uid, "^[a-z0-9]{25}$", "a uid is 25 characters of 0-9 and a-z"
);
ident!(
    /// Identity of one machine: 12 characters of base 36, drawn at random once and never used again.
    NodeId, "node id", is_node_id, "^[a-z0-9]{12}$", "a node id is 12 characters of 0-9 and a-z"
);
ident!(
    /// Name of one task: `<service>.<slot>.<suffix>`; it never returns.
    TaskName, "task name", is_task_name,
    r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", "a task is named <service>.<slot>.<suffix>"
);
ident!(
    /// Identity of a record in the log (a Change, an Event) or of a process: lower-case letters, digits and `-`.
    RecordId, "record id", is_record_id, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "use lower-case letters, digits and '-', at most 63"
);

impl Default for Stack {
    fn default() -> Self {
        Self(DEFAULT_STACK.into())
    }
}

impl Uid {
    /// The uid of the object at `key`, created at etcd revision `created`, in the cluster with the id `cluster`.
    ///
    /// It is derived on reading and never stored, so a hand-written object has one, and an object that was
    /// deleted and created again has another.
    pub fn derive(cluster: &str, key: &str, created: i64) -> Self {
        let mut hash = Sha256::new();
        for part in [cluster.as_bytes(), &[0], key.as_bytes(), &[0], &created.to_be_bytes()] {
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut number = digest.iter().take(16).fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        let mut text = String::with_capacity(UID_CHARS);
        for _ in 0..UID_CHARS {
            text.push(base36_digit(number));
            number /= 36;
        }
        Self(text.into())
    }
}

impl NodeId {
    /// The node id that the random number `drawn` stands for.
    pub fn from_random(drawn: u64) -> Self {
        Self(base36(u128::from(drawn) % 36_u128.pow(12), NODE_ID_CHARS).into())
    }
}

impl TaskName {
    /// The name of a task of `service` in `slot`, planned on the state at etcd revision `planned_at`.
    ///
    /// The revision makes it unique for ever: a slot is planned at most once on one state.
    pub fn new(service: &Name, slot: &str, planned_at: i64) -> Self {
        let suffix = base36(u128::try_from(planned_at).unwrap_or_default(), 5);
        Self(format!("{service}.{slot}.{suffix}").into())
    }

    /// The name of its service.
    pub fn service(&self) -> &str {
        self.part(0)
    }

    /// Its slot, as text.
    pub fn slot(&self) -> &str {
        self.part(1)
    }

    /// The etcd revision on which it was planned: of two tasks of a slot, the newer one has the higher. 0 if the name
    /// was not made by [`TaskName::new`].
    pub fn planned_at(&self) -> u64 {
        u64::from_str_radix(self.part(2), 36).unwrap_or_default()
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('.').nth(index).unwrap_or_default()
    }
}

impl RecordId {
    /// An id that sorts by `millis` (Unix time) and is told apart by `drawn`.
    pub fn from_time(millis: i64, drawn: u32) -> Self {
        let time = base36(u128::try_from(millis).unwrap_or_default(), 9);
        Self(format!("{time}{}", base36(u128::from(drawn), 7)).into())
    }
}

/// `number` in base 36, padded with zeros to `width`.
fn base36(mut number: u128, width: usize) -> String {
    let mut digits = Vec::with_capacity(width);
    while number > 0 || digits.len() < width {
        digits.push(base36_digit(number));
        number /= 36;
    }
    digits.iter().rev().collect()
}

fn base36_digit(number: u128) -> char {
    u32::try_from(number % 36).ok().and_then(|digit| char::from_digit(digit, 36)).unwrap_or('0')
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| is_alphanumeric(*byte));
    bytes.len() <= NAME_MAX_BYTES
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| is_alphanumeric(*byte) || inner(*byte))
}

fn is_name(text: &str) -> bool {
    is_label(text, |byte| byte == b'-' || byte == b'_')
}

fn is_stack(text: &str) -> bool {
    is_label(text, |byte| byte == b'-')
}

fn is_record_id(text: &str) -> bool {
    is_label(text, |byte| byte == b'-')
}

fn is_uid(text: &str) -> bool {
    text.len() == UID_CHARS && text.bytes().all(is_alphanumeric)
}

fn is_node_id(text: &str) -> bool {
    text.len() == NODE_ID_CHARS && text.bytes().all(is_alphanumeric)
}

fn is_task_name(text: &str) -> bool {
    let mut parts = text.split('.');
    parts.next().is_some_and(is_name)
        && parts.next().is_some_and(is_name)
        && parts.next().is_some_and(is_name)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_slash_and_is_a_dns_label() {
        for good in ["a", "web", "web-1", "db_main", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", "ä", "a\0", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("a_b".parse::<Stack>().is_err());
    }

    #[test]
    fn an_object_that_is_created_again_has_another_uid() {
        let first = Uid::derive("c1", "/skep/spec/services/default/web", 5);
        assert_eq!(first, Uid::derive("c1", "/skep/spec/services/default/web", 5));
        assert_ne!(first, Uid::derive("c1", "/skep/spec/services/default/web", 6));
        assert_ne!(first, Uid::derive("c2", "/skep/spec/services/default/web", 5));
        assert!(first.as_str().parse::<Uid>().is_ok());
    }

    #[test]
    fn a_task_name_holds_the_revision_it_was_planned_on() -> Result<(), IdentError> {
        let name = TaskName::new(&"web".parse()?, "1", 36 * 36 + 1);
        assert_eq!(name.as_str(), "web.1.00101");
        assert!(name.as_str().parse::<TaskName>().is_ok());
        assert_eq!((name.service(), name.slot(), name.planned_at()), ("web", "1", 36 * 36 + 1));
        assert!("web.1".parse::<TaskName>().is_err());
        assert!("web.1.x.y".parse::<TaskName>().is_err());
        Ok(())
    }
}
