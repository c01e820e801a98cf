//! One object as people read it.

use serde::Serialize;
use serde_json::{Map, Value, json};
use skep_api::ident::{Stack, Uid};
use skep_api::object::API_VERSION;
use skep_api::service::Labels;

use crate::view::Kind;

/// One object as people read it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its stack, if it has one.
    pub(crate) stack: Option<Stack>,
    /// Its names; the first is the one that it is shown by.
    pub(crate) names: Vec<String>,
    /// What it is part of: asking for that shows it too.
    pub(crate) part_of: Vec<String>,
    /// Its labels.
    pub(crate) labels: Labels,
    /// Its cells, in the order of the heading.
    pub(crate) cells: Vec<String>,
    /// The whole of it.
    pub(crate) document: Value,
}

impl Item {
    /// Its own name.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// What tells it from every other.
    pub(crate) fn identity(&self) -> (Kind, Option<Stack>, String) {
        (self.kind, self.stack.clone(), self.name().to_owned())
    }
}

/// The metadata that every object has.
pub(crate) fn metadata(name: &str, stack: Option<&Stack>, version: i64, uid: &Uid) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    if let Some(stack) = stack {
        metadata.insert("stack".to_owned(), json!(stack));
    }
    metadata.insert("version".to_owned(), json!(version));
    metadata.insert("uid".to_owned(), json!(uid));
    metadata
}

/// An object in its envelope. A status that is not there is left out.
pub(crate) fn document(
    kind: Kind,
    metadata: &Map<String, Value>,
    spec: &impl Serialize,
    status: Option<&impl Serialize>,
) -> Value {
    let mut document = json!({
        "apiVersion": API_VERSION,
        "kind": kind.document(),
        "metadata": metadata,
        "spec": spec,
    });
    if let (Some(status), Value::Object(fields)) = (status, &mut document) {
        fields.insert("status".to_owned(), json!(status));
    }
    document
}
