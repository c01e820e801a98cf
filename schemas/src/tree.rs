//! YAML as a tree that knows where each part of it stands, and keeps scalars as they were written.

use serde_json::Value as Json;

/// A place in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A part of a text, `[start, end)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its first character.
    pub start: Position,
    /// What follows its last character.
    pub end: Position,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub extent: Extent,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A single value, with the text as it was written.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order in which they were written; no key comes twice.
    Mapping(Vec<Entry>),
}

/// A single value: what it is, is decided by who reads it, so `no`, `012` and `1.10` stay what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes.
    pub text: String,
    /// Whether it stood without quotes.
    pub plain: bool,
}

/// One key of a mapping, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as it was written.
    pub key: String,
    /// Where the key stands.
    pub extent: Extent,
    /// Its value.
    pub value: Node,
}

/// One step down a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// To the value of a key.
    Key(&'a str),
    /// To an item of a list, from 0.
    Item(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(item: usize) -> Self {
        Self::Item(item)
    }
}

/// A path as people write it: `spec.ports[0].target`.
pub fn path_to_string(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Item(item) => text.extend(["[", &item.to_string(), "]"]),
        }
    }
    text
}

impl Extent {
    /// Whether `inner` begins within this part.
    pub fn contains(&self, inner: &Self) -> bool {
        self.start <= inner.start && inner.start < self.end
    }
}

impl Scalar {
    /// Whether it stands for "no value".
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The truth value that it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// The whole number that it is: decimal, without leading zeros, which some read as octal.
    pub fn as_integer(&self) -> Option<i128> {
        let digits = self.text.strip_prefix('-').unwrap_or(&self.text);
        let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_padded = digits.len() > 1 && digits.starts_with('0');
        if self.plain && is_decimal && !is_padded { self.text.parse().ok() } else { None }
    }

    fn to_json(&self) -> Json {
        if self.is_null() {
            Json::Null
        } else if let Some(truth) = self.as_bool() {
            Json::Bool(truth)
        } else if let Some(number) = self.as_integer().and_then(|number| i64::try_from(number).ok()) {
            Json::from(number)
        } else {
            Json::from(self.text.as_str())
        }
    }
}

impl Node {
    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        if let Value::Scalar(scalar) = &self.value { Some(scalar) } else { None }
    }

    /// The text, if it is a scalar that stands for something.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar().filter(|scalar| !scalar.is_null()).map(|scalar| scalar.text.as_str())
    }

    /// The entries; none if it is not a mapping.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Mapping(entries) = &self.value { entries } else { &[] }
    }

    /// The items; none if it is not a list.
    pub fn items(&self) -> &[Node] {
        if let Value::Sequence(items) = &self.value { items } else { &[] }
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The node that `path` leads to.
    pub fn find(&self, path: &[Step<'_>]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Item(item) => node.items().get(*item),
        })
    }

    /// Where to point for `path`: at its value if that is a scalar, else at its name.
    pub fn locate(&self, path: &[Step<'_>]) -> Extent {
        match self.find(path) {
            Some(node) if node.as_scalar().is_some() => node.extent,
            _ => self.locate_name(path),
        }
    }

    /// Where the name of `path` stands; if there is no such value, the last name on the way.
    pub fn locate_name(&self, path: &[Step<'_>]) -> Extent {
        let mut node = self;
        let mut extent = self.heading();
        for step in path {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| (&entry.value, entry.extent)),
                Step::Item(item) => node.items().get(*item).map(|item| (item, item.heading())),
            };
            let Some((value, name)) = next else { return extent };
            (node, extent) = (value, name);
        }
        extent
    }

    /// Its beginning: the first key of a mapping, else all of it.
    pub fn heading(&self) -> Extent {
        self.entries().first().map_or(self.extent, |entry| entry.extent)
    }

    /// The value by YAML's core schema, without fractions: they stay text.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.to_json(),
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }
}
