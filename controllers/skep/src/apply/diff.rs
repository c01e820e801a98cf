//! Which fields of a document moved.

use serde_json::Value;
use skep_api::record::FieldChange;

use crate::apply::merge::items;

/// The longest value that is kept beside a change, in bytes of JSON.
const VALUE_MAX_BYTES: usize = 1024;

/// The fields in which `new` differs from `old`, both as their types write them.
pub(crate) fn fields(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", "", Some(old), Some(new), &mut changes);
    changes
}

fn compare(path: &str, name: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    let is_map = |value: Option<&Value>| value.is_none_or(Value::is_object);
    if is_map(old) && is_map(new) {
        let names = |value: Option<&Value>| -> Vec<String> {
            value.and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys().cloned()).collect()
        };
        for field in union(names(old), names(new)) {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            let get = |value: Option<&Value>| value.and_then(|value| value.get(&field)).cloned();
            compare(&path, &field, get(old).as_ref(), get(new).as_ref(), changes);
        }
        return;
    }
    if let (Some(old), Some(new)) = (items(name, old), items(name, new)) {
        let ids = |items: &[(String, &Value)]| items.iter().map(|(id, _)| id.clone()).collect();
        for id in union(ids(&old), ids(&new)) {
            let get = |items: &[(String, &Value)]| {
                items.iter().find(|(known, _)| *known == id).map(|(_, item)| (*item).clone())
            };
            compare_item(&format!("{path}[{id}]"), get(&old).as_ref(), get(&new).as_ref(), changes);
        }
        return;
    }
    changes.push(FieldChange { path: path.to_owned(), old: old.map(short), new: new.map(short) });
}

/// An item that comes or goes is one change; one that stays is compared field by field.
fn compare_item(path: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if old.is_some() && new.is_some() {
        compare(path, "", old, new, changes);
    } else {
        changes.push(FieldChange { path: path.to_owned(), old: old.map(short), new: new.map(short) });
    }
}

fn union(mut old: Vec<String>, new: Vec<String>) -> Vec<String> {
    for name in new {
        if !old.contains(&name) {
            old.push(name);
        }
    }
    old
}

fn short(value: &Value) -> Value {
    let length = value.to_string().len();
    if length > VALUE_MAX_BYTES { Value::String(format!("({length} bytes)")) } else { value.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_named_by_their_paths() {
        let old = json!({"spec": {"replicas": 3, "task": {"image": "a", "env": {"X": "1"}}}});
        let new = json!({"spec": {"task": {"image": "b", "env": {"X": "1", "Y": "2"}}}});
        let changes = fields(&old, &new);
        let seen: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(seen, ["spec.replicas", "spec.task.image", "spec.task.env.Y"]);
        assert_eq!(changes[0], FieldChange { path: "spec.replicas".into(), old: Some(json!(3)), new: None });
    }

    #[test]
    fn items_with_an_identity_are_compared_one_by_one() {
        let old = json!({"ports": [{"target": 80, "published": 1}, {"target": 81}]});
        let new = json!({"ports": [{"target": 82}, {"target": 80, "published": 2}]});
        let changes = fields(&old, &new);
        let seen: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(seen, ["ports[80/tcp].published", "ports[81/tcp]", "ports[82/tcp]"]);
    }

    #[test]
    fn equal_documents_have_no_changes_and_long_values_are_not_kept() {
        assert!(fields(&json!({"a": [1]}), &json!({"a": [1]})).is_empty());
        let changes = fields(&json!({"a": "x"}), &json!({"a": "y".repeat(5000)}));
        assert_eq!(changes[0].new, Some(json!("(5002 bytes)")));
    }
}
