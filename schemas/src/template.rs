//! Templates in the texts of a service: the part of Go's that Docker Swarm's users write, such as
//! `{{.Node.Hostname}}-{{.Task.Slot}}`.
//!
//! Swarm expands environment values, the host name, and of mounts the source, the target, and the values of labels and of
//! the driver's options (`template/expand.go`); so does Skep. Beyond Swarm there are `.Node.Name` and `.Node.Labels`.

mod parse;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::container::{Mount, TaskTemplate};
use crate::node::{NodeSpec, Platform};
use crate::service::Labels;

/// What a text begins with that is to be expanded.
const OPEN: &str = "{{";
/// What every value is in a [sample](Template::sample).
const SAMPLE: &str = "x0";

/// A text with values that only the task knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
}

/// What stands between `{{` and `}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Literal(String),
    Field(Field),
    /// `.Service.Labels.x` must be there; `index .Service.Labels "x"` is empty if it is not, as in Go.
    Label {
        owner: Owner,
        key: String,
        is_required: bool,
    },
    Join {
        separator: Box<Value>,
        items: Vec<Value>,
    },
}

/// A value that every task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    ServiceId,
    ServiceName,
    NodeId,
    NodeHostname,
    NodeName,
    NodeArchitecture,
    NodeOs,
    TaskId,
    TaskName,
    TaskSlot,
}

/// Whose labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Service,
    Node,
}

/// How each value is written.
const FIELDS: [(&str, Field); 10] = [
    (".Service.ID", Field::ServiceId),
    (".Service.Name", Field::ServiceName),
    (".Node.ID", Field::NodeId),
    (".Node.Hostname", Field::NodeHostname),
    (".Node.Name", Field::NodeName),
    (".Node.Platform.Architecture", Field::NodeArchitecture),
    (".Node.Platform.OS", Field::NodeOs),
    (".Task.ID", Field::TaskId),
    (".Task.Name", Field::TaskName),
    (".Task.Slot", Field::TaskSlot),
];

/// How labels are written.
const LABELS: [(&str, Owner); 2] = [(".Service.Labels", Owner::Service), (".Node.Labels", Owner::Node)];

/// What a task's templates speak of.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The identity of the service.
    pub service_id: &'a str,
    /// Its name in Docker.
    pub service_name: &'a str,
    /// Its labels, or at least those that templates name.
    pub service_labels: &'a Labels,
    /// The node's id.
    pub node_id: &'a str,
    /// The machine's host name.
    pub node_hostname: &'a str,
    /// What people say of the node; `None` if that cannot be read.
    pub node: Option<&'a NodeSpec>,
    /// What the machine is.
    pub platform: &'a Platform,
    /// The identity of the task.
    pub task_id: &'a str,
    /// The name of its container.
    pub task_name: &'a str,
    /// Its slot; of a global service, the node's id.
    pub task_slot: &'a str,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Where it is wrong, in bytes from the beginning of the text.
    pub at: usize,
    /// How much of it is wrong, in bytes; at least the text has so many.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// Why a template has no value on a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A label is named that is not there.
    #[error("{owner} has no label {key:?}, which a template names")]
    MissingLabel {
        /// Whose.
        owner: String,
        /// Which.
        key: String,
    },
    /// The node's spec does not decode, or is gone.
    #[error("a template names what people say of the node, and its spec cannot be read")]
    UnknownNode,
}

/// Whether `text` is to be expanded.
pub fn is_template(text: &str) -> bool {
    text.contains(OPEN)
}

/// `text` with its values; as it is, if it has none.
///
/// # Errors
/// In words, for people: the template is wrong, or has no value here.
pub fn expand(text: &str, facts: &Facts<'_>) -> Result<String, String> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let template: Template =
        text.parse().map_err(|error| format!("the template {text:?} is wrong: {error}"))?;
    template.expand(facts).map_err(|error| error.to_string())
}

/// Those of a service's labels that the templates of its task name: what its Revision keeps of them, so that a change of
/// any other label replaces no task.
pub fn named_labels(task: &TaskTemplate, labels: &Labels) -> Labels {
    let templates = texts(task).filter_map(|text| text.parse::<Template>().ok());
    let named: BTreeSet<String> = templates.flat_map(|template| template.service_labels()).collect();
    labels.iter().filter(|(key, _)| named.contains(*key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The texts of a task that are expanded, and are templates.
fn texts(task: &TaskTemplate) -> impl Iterator<Item = &str> {
    let mounts = task.mounts.iter().flat_map(of_mount);
    let texts = task.env.values().chain(&task.hostname).chain(mounts);
    texts.map(String::as_str).filter(|text| is_template(text))
}

fn of_mount(mount: &Mount) -> impl Iterator<Item = &String> {
    let names = mount.source.iter().chain([&mount.target]);
    names.chain(mount.driver_options.values()).chain(mount.labels.values())
}

impl Template {
    /// The text with its values.
    ///
    /// # Errors
    /// [`ExpandError`] names what is missing.
    pub fn expand(&self, facts: &Facts<'_>) -> Result<String, ExpandError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value(value) => text.push_str(&value.of(facts)?),
            }
        }
        Ok(text)
    }

    /// What it could become: every value is `x0`. `None` if it begins with a label, which may hold anything.
    pub fn sample(&self) -> Option<String> {
        if matches!(self.parts.first(), Some(Part::Value(Value::Label { .. } | Value::Join { .. }))) {
            return None;
        }
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) | Part::Value(Value::Literal(text)) => text.as_str(),
            Part::Value(Value::Field(_) | Value::Label { .. } | Value::Join { .. }) => SAMPLE,
        });
        Some(parts.collect())
    }

    fn service_labels(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for part in &self.parts {
            if let Part::Value(value) = part {
                value.add_service_labels(&mut keys);
            }
        }
        keys
    }
}

impl Value {
    fn of(&self, facts: &Facts<'_>) -> Result<String, ExpandError> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Field(field) => field.of(facts),
            Self::Label { owner, key, is_required } => {
                let labels = match owner {
                    Owner::Service => facts.service_labels,
                    Owner::Node => &facts.node.ok_or(ExpandError::UnknownNode)?.labels,
                };
                match labels.get(key) {
                    Some(value) => Ok(value.clone()),
                    None if !is_required => Ok(String::new()),
                    None => Err(ExpandError::MissingLabel { owner: owner.called(facts), key: key.clone() }),
                }
            }
            Self::Join { separator, items } => {
                let items: Vec<String> = items.iter().map(|item| item.of(facts)).collect::<Result<_, _>>()?;
                Ok(items.join(&separator.of(facts)?))
            }
        }
    }

    fn add_service_labels(&self, keys: &mut BTreeSet<String>) {
        match self {
            Self::Label { owner: Owner::Service, key, .. } => drop(keys.insert(key.clone())),
            Self::Label { owner: Owner::Node, .. } | Self::Literal(_) | Self::Field(_) => {}
            Self::Join { separator, items } => {
                separator.add_service_labels(keys);
                for item in items {
                    item.add_service_labels(keys);
                }
            }
        }
    }
}

impl Owner {
    fn called(self, facts: &Facts<'_>) -> String {
        match self {
            Self::Service => format!("the service {}", facts.service_name),
            Self::Node => format!("the node {}", facts.node.map_or(facts.node_id, |node| &node.name)),
        }
    }
}

impl Field {
    fn of(self, facts: &Facts<'_>) -> Result<String, ExpandError> {
        let text = match self {
            Self::ServiceId => facts.service_id,
            Self::ServiceName => facts.service_name,
            Self::NodeId => facts.node_id,
            Self::NodeHostname => facts.node_hostname,
            Self::NodeName => &facts.node.ok_or(ExpandError::UnknownNode)?.name,
            Self::NodeArchitecture => &facts.platform.architecture,
            Self::NodeOs => &facts.platform.os,
            Self::TaskId => facts.task_id,
            Self::TaskName => facts.task_name,
            Self::TaskSlot => facts.task_slot,
        };
        Ok(text.to_owned())
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Value(value) => write!(f, "{{{{{value}}}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => parse::quote(text, f),
            Self::Field(field) => {
                let known = FIELDS.iter().find(|(_, known)| known == field);
                f.write_str(known.map_or("", |(path, _)| path))
            }
            Self::Label { owner, key, is_required } => {
                let known = LABELS.iter().find(|(_, known)| known == owner);
                let path = known.map_or("", |(path, _)| path);
                if *is_required {
                    return write!(f, "{path}.{key}");
                }
                write!(f, "index {path} ")?;
                parse::quote(key, f)
            }
            Self::Join { separator, items } => {
                f.write_str("join")?;
                [separator.as_ref()].into_iter().chain(items).try_for_each(|item| match item {
                    Self::Literal(_) | Self::Field(_) | Self::Label { is_required: true, .. } => {
                        write!(f, " {item}")
                    }
                    Self::Label { .. } | Self::Join { .. } => write!(f, " ({item})"),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
