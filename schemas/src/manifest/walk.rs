//! Compares a located tree with the shape of its kind: collects every fault, and returns what was written, cleaned.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::shape::{Field, Form, Shape};
use super::suggest;
use crate::code;
use crate::problem::{Code, Fault, PROBLEMS_MAX};
use crate::tree::{Entry, Extent, Node, Scalar, Step, Value, path_to_string};

/// Walks one document.
pub(crate) struct Walk<'a> {
    root: &'a Shape,
    subject: &'a str,
    path: Vec<Step<'a>>,
    faults: Vec<Fault>,
}

/// What a document says, as far as it can be read, and what is wrong with it.
pub(crate) struct Walked {
    /// The fields with their values, numbers as text where text is wanted; stand-ins where something is wrong.
    pub(crate) value: Json,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
}

/// Compares `node`, which is the document of `subject` (such as `Service/web`), with `shape`.
pub(crate) fn walk(node: &Node, shape: &Shape, subject: &str) -> Walked {
    let mut walk = Walk { root: shape, subject, path: Vec::new(), faults: Vec::new() };
    let value = walk.node(node, shape).unwrap_or_else(|| shape.stand_in());
    Walked { value, faults: walk.faults }
}

impl<'a> Walk<'a> {
    /// The value of `node`; `None` if it is wrong, which is noted.
    fn node(&mut self, node: &'a Node, shape: &'a Shape) -> Option<Json> {
        if node.as_scalar().is_some_and(Scalar::is_null) && !matches!(shape, Shape::Any) {
            return self.no_value(node);
        }
        match (shape, &node.value) {
            (Shape::Any, _) => Some(node.to_json()),
            (Shape::Text { min_chars, form }, Value::Scalar(scalar)) => {
                self.text(node.extent, scalar, *min_chars, *form)
            }
            (Shape::Integer { min, max }, Value::Scalar(scalar)) => {
                self.integer(node.extent, scalar, *min, *max)
            }
            (Shape::Boolean, Value::Scalar(scalar)) => self.boolean(node.extent, scalar),
            (Shape::Choice(values), Value::Scalar(scalar)) => self.choice(node.extent, scalar, values),
            (Shape::List(inner), Value::Sequence(items)) => Some(self.list(items, inner)),
            (Shape::Map(inner), Value::Mapping(entries)) => Some(self.map(entries, inner)),
            (Shape::Object(fields), Value::Mapping(entries)) => Some(self.object(node, entries, fields)),
            _ => self.wrong_type(node, shape),
        }
    }

    fn child(&mut self, step: Step<'a>, node: &'a Node, shape: &'a Shape) -> Option<Json> {
        self.path.push(step);
        let value = self.node(node, shape);
        self.path.pop();
        value
    }

    /// A wrong item gets a stand-in, so that the others keep their places.
    fn list(&mut self, items: &'a [Node], shape: &'a Shape) -> Json {
        let items = items.iter().enumerate();
        items
            .map(|(index, item)| {
                self.child(Step::Item(index), item, shape).unwrap_or_else(|| shape.stand_in())
            })
            .collect()
    }

    fn map(&mut self, entries: &'a [Entry], shape: &'a Shape) -> Json {
        let mut map = Map::new();
        for entry in entries {
            if let Some(value) = self.child(Step::Key(&entry.key), &entry.value, shape) {
                map.insert(entry.key.clone(), value);
            }
        }
        Json::Object(map)
    }

    fn object(&mut self, node: &Node, entries: &'a [Entry], fields: &'a BTreeMap<String, Field>) -> Json {
        let mut object = Map::new();
        for entry in entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
            let Some(field) = fields.get(&entry.key) else {
                self.unknown_field(entry, fields);
                continue;
            };
            if let Some(value) = self.child(Step::Key(&entry.key), &entry.value, &field.shape) {
                object.insert(entry.key.clone(), value);
            }
        }
        for (name, field) in fields.iter().filter(|(_, field)| field.is_required) {
            if !object.contains_key(name) {
                if node.entry(name).is_none() {
                    self.missing_field(node, name);
                }
                object.insert(name.clone(), field.shape.stand_in());
            }
        }
        Json::Object(object)
    }

    fn text(&mut self, at: Extent, scalar: &Scalar, min_chars: usize, form: Option<&Form>) -> Option<Json> {
        if scalar.text.chars().count() < min_chars {
            let message = format!("`{}` is empty", self.here());
            return self.fault(code::MALFORMED, at, message, "");
        }
        let Some(form) = form else { return Some(Json::from(scalar.text.as_str())) };
        match (form.read)(&scalar.text) {
            Ok(text) => Some(Json::String(text)),
            Err(reason) => {
                let message = format!("`{}`: {reason}", self.here());
                self.fault(code::MALFORMED, at, message, "")
            }
        }
    }

    fn integer(&mut self, at: Extent, scalar: &Scalar, min: i128, max: i128) -> Option<Json> {
        let Some(number) = scalar.as_integer() else {
            let message = format!("`{}` wants a whole number, not `{}`", self.here(), short(&scalar.text));
            let bare = Scalar { text: scalar.text.trim_start_matches('0').to_owned(), plain: true };
            let hint = bare.as_integer().map_or(String::new(), |number| {
                let without = if scalar.plain { "" } else { " without quotes" };
                format!("write {number}{without}")
            });
            return self.fault(code::WRONG_TYPE, at, message, &hint);
        };
        if number < min || number > max {
            let message = format!("`{}` is {number}, which is not from {min} to {max}", self.here());
            return self.fault(code::OUT_OF_RANGE, at, message, "");
        }
        u64::try_from(number).map(Json::from).or_else(|_| i64::try_from(number).map(Json::from)).ok()
    }

    fn boolean(&mut self, at: Extent, scalar: &Scalar) -> Option<Json> {
        if let Some(truth) = scalar.as_bool() {
            return Some(Json::Bool(truth));
        }
        let hint = match scalar.text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => "write true",
            "no" | "off" | "n" | "0" | "false" => "write false",
            _ => "",
        };
        let message = format!("`{}` wants true or false, not `{}`", self.here(), short(&scalar.text));
        self.fault(code::WRONG_TYPE, at, message, hint)
    }

    fn choice(&mut self, at: Extent, scalar: &Scalar, values: &[String]) -> Option<Json> {
        if values.contains(&scalar.text) {
            return Some(Json::from(scalar.text.as_str()));
        }
        let hint = match suggest::nearest(&scalar.text, values.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected {}", one_of(values)),
        };
        let message = format!("`{}` is not a value of {}", short(&scalar.text), self.here());
        self.fault(code::UNKNOWN_VALUE, at, message, &hint)
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape) -> Option<Json> {
        let wanted = match shape {
            Shape::Text { .. } | Shape::Choice(_) => "text",
            Shape::Integer { .. } => "a whole number",
            Shape::Boolean => "true or false",
            Shape::List(_) => "a list",
            Shape::Map(_) | Shape::Object(_) => "a mapping",
            Shape::Any => "anything",
        };
        let (found, hint) = match (&node.value, shape) {
            (Value::Scalar(scalar), Shape::List(_)) => {
                ("a single value", format!("write [{}]", short(&scalar.text)))
            }
            (Value::Sequence(_), Shape::Map(_)) => {
                ("a list", "write a line `KEY: value` for each item".to_owned())
            }
            (Value::Scalar(_), _) => ("a single value", String::new()),
            (Value::Sequence(_), _) => ("a list", String::new()),
            (Value::Mapping(_), Shape::List(_)) => ("a mapping", "begin each item with `- `".to_owned()),
            (Value::Mapping(_), _) => ("a mapping", String::new()),
        };
        let message = format!("`{}` wants {wanted}, not {found}", self.here());
        self.fault(code::WRONG_TYPE, node.extent, message, &hint)
    }

    fn no_value(&mut self, node: &Node) -> Option<Json> {
        let message = format!("`{}` has no value", self.here());
        self.fault(code::NO_VALUE, node.extent, message, "write a value, or remove the field")
    }

    fn unknown_field(&mut self, entry: &'a Entry, fields: &BTreeMap<String, Field>) {
        if self.is_full() {
            return;
        }
        self.path.push(Step::Key(&entry.key));
        let message = format!("unknown field `{}` in {}", self.here(), self.subject);
        self.path.pop();
        let hint = suggest::hint(&entry.key, fields, self.root);
        self.faults.push(Fault::new(code::UNKNOWN_FIELD, entry.extent, message).hint(hint));
    }

    fn missing_field(&mut self, node: &Node, name: &str) {
        let path = path_to_string(&[self.path.as_slice(), &[Step::Key(name)]].concat());
        let message = format!("`{path}` is missing in {}", self.subject);
        self.faults.push(Fault::new(code::MISSING_FIELD, node.heading(), message));
    }

    fn fault(&mut self, code: Code, at: Extent, message: String, hint: &str) -> Option<Json> {
        if !self.is_full() {
            self.faults.push(Fault::new(code, at, message).hint(hint));
        }
        None
    }

    /// Whether enough is said.
    fn is_full(&self) -> bool {
        self.faults.len() > PROBLEMS_MAX
    }

    fn here(&self) -> String {
        path_to_string(&self.path)
    }
}

/// `a`, `b` or `c`, in code marks.
fn one_of(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Enough of a text to recognize it.
fn short(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{head}…") } else { head }
}
