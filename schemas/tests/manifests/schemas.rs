//! The JSON Schemas in `json/` are what the types say, and they say what the reader takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skep_api::schema;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("json")
}

#[test]
fn the_checked_in_schemas_are_fresh() {
    let schemas = schema::all();
    for (name, schema) in &schemas {
        let path = folder().join(name);
        let rendered = schema::render(schema);
        if std::env::var_os("SKEP_BLESS").is_some() {
            fs::write(&path, &rendered).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == rendered, "{name} is stale: run `cargo xtask schemas`");
    }
    let found: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, schemas.into_keys().collect(), "nothing else lies there");
}

/// Calls `visit` for every object of a schema, with its path.
fn each(path: &str, value: &Value, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(path, fields);
            for (name, value) in fields {
                each(&format!("{path}/{name}"), value, visit);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                each(&format!("{path}/{index}"), value, visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_to_a_definition_and_no_definition_is_left_over() {
    for (name, schema) in schema::all() {
        let mut used = BTreeSet::new();
        each("", &schema, &mut |_, fields| {
            if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                used.insert(target.strip_prefix("#/definitions/").unwrap().to_owned());
            }
        });
        let defined: BTreeSet<String> = schema["definitions"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(used, defined, "{name}");
    }
}

#[test]
fn every_field_is_described_for_editors() {
    for (name, schema) in schema::all() {
        each("", &schema, &mut |path, fields| {
            let Some(properties) = fields.get("properties").and_then(Value::as_object) else { return };
            if path.ends_with("/if") || path.is_empty() {
                return;
            }
            for (field, schema) in properties {
                assert!(schema.get("description").is_some(), "{name}{path}: {field} has no description");
            }
        });
    }
}
