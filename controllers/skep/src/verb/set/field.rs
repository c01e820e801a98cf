//! Fields of a spec that have names of their own on the command line: limits, reservations, policies.

use serde_json::{Map, Value, json};
use skep_api::service::ServiceSpec;

use crate::failure::Failure;
use crate::output::text::nearest;
use crate::verb::set::assign::Assignment;

/// A group of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// The most that a task may use.
    Limit,
    /// What is set aside for it.
    Reserve,
    /// What happens when it ends.
    Restart,
    /// How tasks are replaced.
    Update,
    /// How they are replaced when an update is taken back.
    Rollback,
}

const POLICY: &[&str] = &[
    "parallelism",
    "delay",
    "order",
    "monitor",
    "failureAction",
    "maxFailureRatio",
    "partition",
    "deadline",
];
/// Fields that are numbers; every other one is written as text.
const NUMBERS: [&str; 4] = ["parallelism", "partition", "maxAttempts", "pids"];

impl Group {
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Limit => &["task", "resources", "limits"],
            Self::Reserve => &["task", "resources", "reservations"],
            Self::Restart => &["restart"],
            Self::Update => &["update"],
            Self::Rollback => &["rollback"],
        }
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Limit => &["cpus", "memory", "pids"],
            Self::Reserve => &["cpus", "memory"],
            Self::Restart => &["condition", "delay", "maxAttempts", "window", "maxDelay"],
            Self::Update | Self::Rollback => POLICY,
        }
    }
}

/// Sets and removes fields of `spec`.
///
/// # Errors
/// [`Failure::Argument`] for a field that is not in the group, or a value that it cannot have.
pub(crate) fn set_fields(spec: &mut ServiceSpec, group: Group, pairs: &[Assignment]) -> Result<(), Failure> {
    for pair in pairs {
        let argument = match pair {
            Assignment::Put(key, value) => format!("{key}={value}"),
            Assignment::Remove(key) => format!("{key}-"),
        };
        let wrong = |rule: String| Failure::Argument { argument: argument.clone(), rule };
        let field = known(group, pair.key()).map_err(wrong)?;
        let mut document = serde_json::to_value(&*spec).map_err(|error| wrong(error.to_string()))?;
        let fields = descend(&mut document, group.path());
        match pair {
            Assignment::Put(_, value) => fields.insert(field.to_owned(), typed(field, value)),
            Assignment::Remove(_) => fields.remove(field),
        };
        *spec = serde_json::from_value(document).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

/// The field that `key` names, in the spelling of manifests or of Docker's options.
fn known(group: Group, key: &str) -> Result<&'static str, String> {
    let squeezed = |text: &str| text.replace('-', "").to_lowercase();
    let found = group.fields().iter().find(|field| squeezed(field) == squeezed(key));
    found.copied().ok_or_else(|| {
        nearest(key, group.fields().iter().copied()).map_or_else(
            || format!("there is no such field; there are {}", group.fields().join(", ")),
            |near| format!("there is no such field; did you mean {near}?"),
        )
    })
}

fn typed(field: &str, value: &str) -> Value {
    match value.parse::<u64>() {
        Ok(number) if NUMBERS.contains(&field) => json!(number),
        _ => json!(value),
    }
}

/// The mapping at `path`, made if it is not there.
fn descend<'a>(document: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut value = document;
    for name in path {
        value = object(value).entry(*name).or_insert_with(|| json!({}));
    }
    object(value)
}

/// The mapping that `value` is; one that is none becomes an empty one.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(fields) => fields,
        // It was made one above.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => object(value),
    }
}

#[cfg(test)]
mod tests {
    use skep_api::quantity::Memory;
    use skep_api::service::{FailureAction, Order};
    use skep_api::time::Span;

    use super::*;

    fn spec() -> ServiceSpec {
        serde_json::from_value(json!({"task": {"image": "a"}})).unwrap()
    }

    fn set(spec: &mut ServiceSpec, group: Group, words: &[&str]) -> Result<(), Failure> {
        let pairs: Vec<Assignment> = words.iter().map(|word| word.parse().unwrap()).collect();
        set_fields(spec, group, &pairs)
    }

    #[test]
    fn fields_are_named_as_in_manifests_or_as_in_docker() {
        let mut spec = spec();
        let words =
            ["parallelism=2", "failure-action=rollback", "order=start-first", "max-failure-ratio=0.5"];
        set(&mut spec, Group::Update, &words).unwrap();
        set(&mut spec, Group::Update, &["maxFailureRatio-", "partition=1"]).unwrap();
        assert_eq!((spec.update.parallelism, spec.update.partition), (2, Some(1)));
        assert_eq!(spec.update.failure_action, FailureAction::Rollback);
        assert_eq!(spec.update.order, Order::StartFirst);
        assert_eq!(spec.update.max_failure_ratio.to_string(), "0", "what is removed has its default again");
        set(&mut spec, Group::Restart, &["delay=2m", "max-attempts=3"]).unwrap();
        assert_eq!((spec.restart.delay, spec.restart.max_attempts), (Span::from_secs(120), 3));
    }

    #[test]
    fn limits_can_be_set_and_removed_again() {
        let (mut spec, bare) = (spec(), spec());
        set(&mut spec, Group::Limit, &["memory=256Mi", "pids=100", "cpus=2"]).unwrap();
        assert_eq!(spec.task.resources.limits.memory, Some(Memory::from_bytes(256 << 20)));
        set(&mut spec, Group::Limit, &["memory-", "pids-", "cpus-"]).unwrap();
        assert_eq!(spec, bare);
    }

    #[test]
    fn a_wrong_field_or_value_is_refused_with_what_would_be_right() {
        for (words, hint) in [
            ("parallelsm=2", "did you mean parallelism?"),
            ("colour=red", "there are"),
            ("delay=5", "5s"),
            ("order=last", "start-first"),
        ] {
            let error = set(&mut spec(), Group::Update, &[words]).unwrap_err();
            assert!(matches!(error, Failure::Argument { .. }), "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}
