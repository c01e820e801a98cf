//! What the types cannot say: limits, fields that exclude each other, texts with a grammar of their own.
//!
//! Where the form of a section is wrong, a check that would stumble over it waits, so that one mistake is told once.

mod affinity;
mod environment;
mod health;
mod mounts;
mod placement;
mod ports;
mod process;
mod resources;
mod security;
mod strategy;
mod volume;

use std::collections::BTreeMap;

use crate::code;
use crate::node::NodeSpec;
use crate::object::Service;
use crate::problem::{Code, Fault, PROBLEMS_MAX};
use crate::template::{Template, is_template};
use crate::tree::{Extent, Node, Position, Step};

pub(crate) use volume::check as volume;

/// The most labels or constraints in one list.
const LABELS_MAX: usize = 64;
/// The longest key, value or constraint, in bytes.
const LABEL_MAX_BYTES: usize = 256;

/// Collects faults, and knows where the fields are written.
pub(crate) struct Report<'a> {
    root: &'a Node,
    form: &'a [Fault],
    faults: Vec<Fault>,
}

/// Checks a service.
pub(crate) fn service(service: &Service, report: &mut Report<'_>) {
    labels(&["metadata", "labels"], &service.metadata.labels, report);
    strategy::check(service, report);
    ports::check(&service.spec, report);
    placement::check(service, report);
    process::check(&service.spec.task, report);
    environment::check(&service.spec.task, report);
    security::check(&service.spec.task, report);
    health::check(&service.spec.task, report);
    labels(&["spec", "task", "labels"], &service.spec.task.labels, report);
    mounts::check(&service.spec.task.mounts, report);
    resources::check(&service.spec.task.resources, report);
}

/// Checks what people say of a node.
pub(crate) fn node(spec: &NodeSpec, report: &mut Report<'_>) {
    let is_name = !spec.name.trim().is_empty() && !spec.name.chars().any(char::is_control);
    if !is_name || spec.name.len() > LABEL_MAX_BYTES {
        let message = format!("a node's name has 1 to {LABEL_MAX_BYTES} bytes and no control characters");
        report.fault(code::MALFORMED, &["spec".into(), "name".into()], message, "");
    }
    labels(&["spec", "labels"], &spec.labels, report);
}

impl<'a> Report<'a> {
    /// A report on the object `root`, whose form has the faults `form`.
    pub(crate) fn new(root: &'a Node, form: &'a [Fault]) -> Self {
        Self { root, form, faults: Vec::new() }
    }

    /// What was found.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Notes a fault of the value at `path`.
    fn fault(&mut self, code: Code, path: &[Step<'_>], message: impl Into<String>, hint: impl Into<String>) {
        self.push(Fault::new(code, self.root.locate(path), message).hint(hint));
    }

    /// Notes a fault of the name at the end of `path`.
    fn fault_name(
        &mut self,
        code: Code,
        path: &[Step<'_>],
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Fault::new(code, self.root.locate_name(path), message).hint(hint));
    }

    /// Notes a fault.
    fn push(&mut self, fault: Fault) {
        if !self.is_full() {
            self.faults.push(fault);
        }
    }

    /// Whether enough is said.
    fn is_full(&self) -> bool {
        self.faults.len() > PROBLEMS_MAX
    }

    /// Whether the form of what is at `path` is right, or nothing is there.
    fn is_sound(&self, path: &[Step<'_>]) -> bool {
        let is_inside = |node: &Node| self.form.iter().any(|fault| node.extent.contains(&fault.extent));
        !self.root.find(path).is_some_and(is_inside)
    }

    /// Whether `path` is written.
    fn has(&self, path: &[&str]) -> bool {
        self.root.find(&steps(path)).is_some()
    }

    /// The line of `path`, for pointing to the other one of two.
    fn line(&self, path: &[Step<'_>]) -> usize {
        self.root.locate(path).start.line
    }

    /// What to judge a text by that may be a template: the text, or what it could become. `None` if that is wrong, which is
    /// noted, or cannot be known.
    fn template(&mut self, path: &[Step<'_>], text: &str) -> Option<String> {
        if !is_template(text) {
            return Some(text.to_owned());
        }
        match text.parse::<Template>() {
            Ok(template) => template.sample(),
            Err(error) => {
                let whole = self.root.locate(path);
                let extent = within(whole, text, error.at, error.length).unwrap_or(whole);
                self.push(Fault::new(code::BAD_TEMPLATE, extent, error.message).hint(error.hint));
                None
            }
        }
    }
}

/// Where in the file the `length` bytes from `at` of `text` are, which is all of `whole`, if it is written on one line as it
/// is.
fn within(whole: Extent, text: &str, at: usize, length: usize) -> Option<Extent> {
    let chars = |text: Option<&str>| text.map_or(0, |text| text.chars().count());
    let width = whole.end.column.saturating_sub(whole.start.column);
    let quote = match width.checked_sub(text.chars().count()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return None,
    };
    if whole.start.line != whole.end.line {
        return None;
    }
    let column = whole.start.column + quote + chars(text.get(..at));
    let length = chars(text.get(at..at + length));
    let at = |column| Position { line: whole.start.line, column };
    Some(Extent { start: at(column), end: at(column + length) })
}

fn steps<'a>(path: &[&'a str]) -> Vec<Step<'a>> {
    path.iter().map(|name| Step::Key(name)).collect()
}

/// The field `name` of an item of the list at `list`.
fn item<'a>(list: &[&'a str], index: usize, name: &'a str) -> Vec<Step<'a>> {
    let mut path = steps(list);
    path.extend([Step::Item(index), Step::Key(name)]);
    path
}

/// The value of `key` in the map at `map`.
fn entry<'a>(map: &[&'a str], key: &'a str) -> Vec<Step<'a>> {
    let mut path = steps(map);
    path.push(Step::Key(key));
    path
}

/// `a, b or c`.
fn one_of(values: &[&str]) -> String {
    match values {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        values => values.concat(),
    }
}

fn labels(path: &[&str], labels: &BTreeMap<String, String>, report: &mut Report<'_>) {
    if labels.len() > LABELS_MAX {
        let message = format!("{} labels are more than {LABELS_MAX}", labels.len());
        report.fault(code::LIMIT, &steps(path), message, "");
    }
    for (key, value) in labels {
        let at = [steps(path).as_slice(), &[Step::Key(key)]].concat();
        if key.trim().is_empty() || key.chars().any(char::is_control) {
            report.fault_name(code::MALFORMED, &at, "a label's key is empty or has control characters", "");
        }
        if key.len() > LABEL_MAX_BYTES || value.len() > LABEL_MAX_BYTES {
            let message = format!("a label's key and value have at most {LABEL_MAX_BYTES} bytes each");
            report.fault(code::LIMIT, &at, message, "use an annotation for longer texts");
        }
    }
}
