//! What the types cannot say: limits, fields that exclude each other, texts with a grammar of their own.
//!
//! Where the form of a section is wrong, a check that would stumble over it waits, so that one mistake is told once.

mod mounts;
mod placement;
mod ports;
mod process;
mod resources;
mod strategy;

use std::collections::BTreeMap;

use crate::code;
use crate::node::NodeSpec;
use crate::object::Service;
use crate::problem::{Code, Fault, PROBLEMS_MAX};
use crate::tree::{Node, Step};

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
    strategy::check(&service.spec, report);
    ports::check(&service.spec, report);
    placement::check(&service.spec.placement, report);
    process::check(&service.spec.task, report);
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
        if !self.is_full() {
            self.faults.push(Fault::new(code, self.root.locate(path), message).hint(hint));
        }
    }

    /// Notes a fault of the name at the end of `path`.
    fn fault_name(
        &mut self,
        code: Code,
        path: &[Step<'_>],
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if !self.is_full() {
            self.faults.push(Fault::new(code, self.root.locate_name(path), message).hint(hint));
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

    /// Refuses a text that is meant to be expanded.
    fn no_template(&mut self, path: &[Step<'_>], text: &str) {
        if text.contains("{{") {
            self.fault(
                code::NOT_SUPPORTED,
                path,
                "templates such as `{{.Task.Slot}}` are not supported yet",
                "",
            );
        }
    }
}

fn steps<'a>(path: &[&'a str]) -> Vec<Step<'a>> {
    path.iter().map(|name| Step::Key(name)).collect()
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
