//! What the fields of a kind may hold: the JSON Schema that is derived from the types, made ready for walking.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::ident::{Name, NodeId, Stack, Uid};
use crate::quantity::{Cpus, Memory};
use crate::ratio::Ratio;
use crate::schema;
use crate::time::Span;

/// What a value may be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Text, as long as `min_chars`, or of a type with rules of its own.
    Text { min_chars: usize, form: Option<&'static Form> },
    /// A whole number within bounds.
    Integer { min: i128, max: i128 },
    /// true or false.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// A list.
    List(Box<Shape>),
    /// Names that people choose, with values of one shape.
    Map(Box<Shape>),
    /// Fields.
    Object(BTreeMap<String, Field>),
    /// Anything.
    Any,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) shape: Shape,
    pub(crate) is_required: bool,
}

/// A type that is written as text; its own parser says what is wrong.
#[derive(Debug)]
pub(crate) struct Form {
    /// Its name among the schema's definitions.
    name: &'static str,
    /// A value of it.
    pub(crate) example: &'static str,
    /// The text in its usual spelling, or why it is none.
    pub(crate) read: fn(&str) -> Result<String, String>,
}

const FORMS: [Form; 8] = [
    form::<Span>("Span", "1s"),
    form::<Memory>("Memory", "4Mi"),
    form::<Cpus>("Cpus", "1"),
    form::<Ratio>("Ratio", "0"),
    form::<Name>("Name", "x"),
    form::<Stack>("Stack", "x"),
    form::<NodeId>("NodeId", "000000000000"),
    form::<Uid>("Uid", "0000000000000000000000000"),
];

static FORMS_BY_NAME: LazyLock<BTreeMap<&'static str, &'static Form>> = LazyLock::new(|| {
    static ALL: [Form; 8] = FORMS;
    ALL.iter().map(|form| (form.name, form)).collect()
});

/// A Service.
pub(crate) static SERVICE: LazyLock<Shape> = LazyLock::new(|| Shape::of(&schema::service()));
/// A Volume.
pub(crate) static VOLUME: LazyLock<Shape> = LazyLock::new(|| Shape::of(&schema::volume()));
/// A Node.
pub(crate) static NODE: LazyLock<Shape> = LazyLock::new(|| Shape::of(&schema::node()));
/// A Cluster.
pub(crate) static CLUSTER: LazyLock<Shape> = LazyLock::new(|| Shape::of(&schema::cluster()));

const fn form<T: FromStr<Err: Display> + Display>(name: &'static str, example: &'static str) -> Form {
    Form { name, example, read: read::<T> }
}

fn read<T: FromStr<Err: Display> + Display>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|value| value.to_string()).map_err(|error| error.to_string())
}

impl Shape {
    /// The shape that a whole schema describes.
    fn of(schema: &Value) -> Self {
        let none = Map::new();
        let definitions = schema.get("definitions").and_then(Value::as_object).unwrap_or(&none);
        Self::compile(schema, definitions)
    }

    fn compile(schema: &Value, definitions: &Map<String, Value>) -> Self {
        if let Some(name) = reference(schema) {
            if let Some(form) = FORMS_BY_NAME.get(name) {
                return Self::Text { min_chars: 0, form: Some(form) };
            }
            return definitions.get(name).map_or(Self::Any, |schema| Self::compile(schema, definitions));
        }
        if let Some(choices) = choices(schema) {
            return Self::Choice(choices);
        }
        match schema.get("type") {
            Some(Value::String(kind)) => Self::of_type(kind, schema, definitions),
            Some(Value::Array(_)) => Self::of_type("string", schema, definitions),
            _ => Self::Any,
        }
    }

    fn of_type(kind: &str, schema: &Value, definitions: &Map<String, Value>) -> Self {
        let inner = |name: &str| {
            Box::new(schema.get(name).map_or(Self::Any, |schema| Self::compile(schema, definitions)))
        };
        match kind {
            "string" => {
                let min = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
                Self::Text { min_chars: usize::try_from(min).unwrap_or(0), form: None }
            }
            "integer" => {
                let bound = |name| schema.get(name).and_then(|bound: &Value| bound.to_string().parse().ok());
                Self::Integer {
                    min: bound("minimum").unwrap_or(i128::MIN),
                    max: bound("maximum").unwrap_or(i128::MAX),
                }
            }
            "boolean" => Self::Boolean,
            "array" => Self::List(inner("items")),
            "object" if schema.get("properties").is_some() => Self::Object(fields(schema, definitions)),
            "object" => Self::Map(inner("additionalProperties")),
            _ => Self::Any,
        }
    }

    /// A value that the typed form takes: it stands in for one that is wrong, so that the rest can be checked.
    pub(crate) fn stand_in(&self) -> Value {
        match self {
            Self::Text { form: Some(form), .. } => form.example.into(),
            Self::Text { form: None, .. } => "x".into(),
            Self::Integer { min, .. } => u64::try_from(*min).map_or(1, |min| min.max(1)).into(),
            Self::Boolean => false.into(),
            Self::Choice(values) => values.first().cloned().into(),
            Self::List(_) => Value::Array(Vec::new()),
            Self::Map(_) => Value::Object(Map::new()),
            Self::Object(fields) => fields
                .iter()
                .filter(|(_, field)| field.is_required)
                .map(|(name, field)| (name.clone(), field.shape.stand_in()))
                .collect(),
            Self::Any => Value::Null,
        }
    }

    /// The fields, if it has any.
    pub(crate) fn fields(&self) -> Option<&BTreeMap<String, Field>> {
        match self {
            Self::Object(fields) => Some(fields),
            Self::List(inner) => inner.fields(),
            Self::Text { .. }
            | Self::Integer { .. }
            | Self::Boolean
            | Self::Choice(_)
            | Self::Map(_)
            | Self::Any => None,
        }
    }
}

/// The definition that a schema stands for.
fn reference(schema: &Value) -> Option<&str> {
    let target = match schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => only.get("$ref"),
        _ => schema.get("$ref"),
    };
    target?.as_str()?.rsplit('/').next()
}

/// The values of an enum.
fn choices(schema: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(only) = schema.get("const") {
        return text(only).map(|only| vec![only]);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(text).collect();
    }
    let variants = schema.get("oneOf")?.as_array()?;
    let lists: Option<Vec<Vec<String>>> = variants.iter().map(choices).collect();
    lists.map(|lists| lists.concat())
}

fn fields(schema: &Value, definitions: &Map<String, Value>) -> BTreeMap<String, Field> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties
        .map(|(name, schema)| {
            let is_required = required.contains(&name.as_str());
            (name.clone(), Field { shape: Shape::compile(schema, definitions), is_required })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Metadata;
    use crate::service::ServiceSpec;

    fn anything(path: &str, shape: &Shape, found: &mut Vec<String>) {
        match shape {
            Shape::Any => found.push(path.to_owned()),
            Shape::List(inner) | Shape::Map(inner) => anything(path, inner, found),
            Shape::Object(fields) => {
                for (name, field) in fields {
                    anything(&format!("{path}.{name}"), &field.shape, found);
                }
            }
            Shape::Text { .. } | Shape::Integer { .. } | Shape::Boolean | Shape::Choice(_) => {}
        }
    }

    #[test]
    fn every_field_but_the_status_has_a_shape() {
        let mut found = Vec::new();
        anything("", &SERVICE, &mut found);
        anything("", &VOLUME, &mut found);
        anything("", &NODE, &mut found);
        anything("", &CLUSTER, &mut found);
        assert_eq!(found, [".status"; 4]);
    }

    #[test]
    fn stand_ins_are_values_of_the_types() {
        let value = SERVICE.stand_in();
        serde_json::from_value::<Metadata>(value["metadata"].clone()).unwrap();
        serde_json::from_value::<ServiceSpec>(value["spec"].clone()).unwrap();
        for form in FORMS {
            assert_eq!((form.read)(form.example).as_deref(), Ok(form.example));
        }
    }
}
