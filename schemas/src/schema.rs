//! JSON Schemas (draft 07) of what people write, for editors and for the reader of manifests itself: one source of truth.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::cluster::{ClusterMetadata, ClusterSpec};
use crate::manifest::NodeMetadata;
use crate::node::NodeSpec;
use crate::object::{API_VERSION, Metadata};
use crate::service::ServiceSpec;
use crate::volume::VolumeSpec;

/// What every schema says it is.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Every schema under its file name: one for each kind, and `skep.json` for any of them.
pub fn all() -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("service.json".to_owned(), service()),
        ("volume.json".to_owned(), volume()),
        ("node.json".to_owned(), node()),
        ("cluster.json".to_owned(), cluster()),
        ("skep.json".to_owned(), any_kind()),
    ])
}

/// A schema as it stands in its file.
pub fn render(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// A Service as it is applied.
pub fn service() -> Value {
    alone("Service", "Containers that are kept running.", envelope::<Metadata, ServiceSpec>)
}

/// A Volume as it is applied.
pub fn volume() -> Value {
    alone("Volume", "Storage that tasks mount by name.", envelope::<Metadata, VolumeSpec>)
}

/// A Node as it is applied.
pub fn node() -> Value {
    alone("Node", "A machine: what people say of it.", envelope::<NodeMetadata, NodeSpec>)
}

/// A Cluster as it is applied.
pub fn cluster() -> Value {
    alone("Cluster", "What holds for every service that does not say otherwise.", cluster_envelope)
}

type Envelope = fn(&str, &mut SchemaGenerator) -> Map<String, Value>;

/// The schema of one kind.
fn alone(kind: &str, description: &str, envelope: Envelope) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let body = envelope(kind, &mut generator);
    finish(kind, description, body, generator)
}

/// The schema that picks the kind's by the field `kind`: editors then complain about the field that is wrong, not about all kinds.
fn any_kind() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let kinds = [
        ("Service", envelope::<Metadata, ServiceSpec>("Service", &mut generator)),
        ("Volume", envelope::<Metadata, VolumeSpec>("Volume", &mut generator)),
        ("Node", envelope::<NodeMetadata, NodeSpec>("Node", &mut generator)),
        ("Cluster", cluster_envelope("Cluster", &mut generator)),
    ];
    let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let choices: Vec<Value> = kinds
        .iter()
        .map(|(name, schema)| {
            json!({"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": schema})
        })
        .collect();
    let body = json!({
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": names, "description": "What kind of object this is."}},
        "allOf": choices,
    });
    let Value::Object(body) = body else { return Value::Null };
    finish("Skep", "An object of Skep.", body, generator)
}

fn finish(title: &str, description: &str, body: Map<String, Value>, mut generator: SchemaGenerator) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), DRAFT.into());
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    schema.extend(body);
    let mut definitions: Vec<(String, Value)> = generator.take_definitions(true).into_iter().collect();
    definitions.sort_by(|(left, _), (right, _)| left.cmp(right));
    schema.insert("definitions".to_owned(), Value::Object(definitions.into_iter().collect()));
    let mut schema = Value::Object(schema);
    tidy(&mut schema);
    schema
}

/// An object of `kind` with the metadata `M` and the spec `S`.
fn envelope<M: JsonSchema, S: JsonSchema>(kind: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let metadata = described("What it is called, and what people note.", &generator.subschema_for::<M>());
    let spec = described("What is wanted.", &generator.subschema_for::<S>());
    let body = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of the format."},
            "kind": {"const": kind, "description": "What kind of object this is."},
            "metadata": metadata,
            "spec": spec,
            "status": {"description": "Written by controllers; ignored when it is applied."},
        },
    });
    if let Value::Object(body) = body { body } else { Map::new() }
}

/// There is one cluster, so that it needs no name.
fn cluster_envelope(kind: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut body = envelope::<ClusterMetadata, ClusterSpec>(kind, generator);
    body.insert("required".to_owned(), json!(["apiVersion", "kind", "spec"]));
    body
}

/// A reference with a description beside it, which draft 07 would not see.
fn described(description: &str, schema: &schemars::Schema) -> Value {
    json!({"description": description, "allOf": [schema]})
}

/// Brings what schemars writes to what the reader takes:
/// no field is null, integers have bounds, objects take `x-` keys, and text may be written without quotes.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            fields.values_mut().for_each(tidy);
            forbid_null(fields);
            bound(fields);
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.insert("patternProperties".to_owned(), json!({"^x-": {}}));
            }
            take_bare_text(fields);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An optional field is left out, not null.
fn forbid_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    let null = json!({"type": "null"});
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf")
        && choices.contains(&null)
    {
        choices.retain(|choice| *choice != null);
        if let Some(choices) = fields.shift_remove("anyOf") {
            fields.insert("allOf".to_owned(), choices);
        }
    }
}

/// Text without a form of its own may look like a number or a truth value: it is taken as it is written.
fn take_bare_text(fields: &mut Map<String, Value>) {
    let has_form = ["const", "enum", "pattern", "format"].iter().any(|keyword| fields.contains_key(*keyword));
    if !has_form && fields.get("type").is_some_and(|kind| kind == "string") {
        fields.insert("type".to_owned(), json!(["string", "number", "boolean"]));
    }
}

/// Bounds instead of Rust's names of integers, which no editor knows.
fn bound(fields: &mut Map<String, Value>) {
    let Some(format) = fields.get("format").and_then(Value::as_str) else { return };
    let (min, max) = match format {
        "uint16" => (json!(0), json!(u16::MAX)),
        "uint32" => (json!(0), json!(u32::MAX)),
        "uint64" => (json!(0), json!(u64::MAX)),
        "int32" => (json!(i32::MIN), json!(i32::MAX)),
        "int64" => (json!(i64::MIN), json!(i64::MAX)),
        _ => return,
    };
    fields.shift_remove("format");
    fields.entry("minimum").or_insert(min);
    fields.entry("maximum").or_insert(max);
}
