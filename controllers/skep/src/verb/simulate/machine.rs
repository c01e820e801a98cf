//! What a node of a file has: its `status`, which is otherwise for controllers alone to write.

use std::collections::BTreeMap;

use serde::Deserialize;
use skep_api::code;
use skep_api::ident::NodeId;
use skep_api::manifest::Source;
use skep_api::node::{Engine, Generic, NodeReport, Platform, Plugins, Resources};
use skep_api::problem::{Fault, Problem};
use skep_api::quantity::QuantityError;
use skep_api::tree::Node;
use skep_api::yaml;

/// What is to be written for a node that does not say what it has.
const EXAMPLE: &str =
    "add `status: {report: {capacity: {cpus: \"4\", memory: 8Gi}}}`, as `skep get nodes -o yaml` writes it";

/// A machine that a file describes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    /// Its id.
    pub(super) node: NodeId,
    /// Whether its agent lives.
    pub(super) is_up: bool,
    /// What its agent would say.
    pub(super) report: NodeReport,
}

/// What a report may say beside the capacity.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Beside {
    address: String,
    generic: BTreeMap<String, Generic>,
    platform: Option<Platform>,
    engine: Engine,
    plugins: Option<Plugins>,
}

/// Reads what all nodes of all files have. What is wrong with a manifest itself is not told here.
pub(super) fn read(sources: &[Source]) -> Vec<Result<Machine, Problem>> {
    let mut machines = Vec::new();
    for source in sources {
        let Ok(text) = std::str::from_utf8(&source.content) else { continue };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        let documents = yaml::documents(text);
        let roots = documents.iter().filter_map(|document| document.root.as_ref()).flat_map(objects);
        for root in roots.filter(|root| root.get("kind").and_then(Node::as_text) == Some("Node")) {
            let Some(node) = text_at(root, &["metadata", "name"]).and_then(|name| name.parse().ok()) else {
                continue;
            };
            let machine = machine(root, node).map_err(|fault| fault.in_file(&source.name, &lines));
            machines.push(machine);
        }
    }
    machines
}

/// A document, or the items of a list, as `skep get -o yaml` writes it.
fn objects(root: &Node) -> Vec<&Node> {
    match (root.get("kind").and_then(Node::as_text), root.get("items")) {
        (Some("List"), Some(items)) => items.items().iter().collect(),
        _ => vec![root],
    }
}

fn at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, key| node.get(key))
}

fn text_at<'a>(root: &'a Node, path: &[&str]) -> Option<&'a str> {
    at(root, path).and_then(Node::as_text)
}

fn machine(root: &Node, node: NodeId) -> Result<Machine, Fault> {
    let name = text_at(root, &["spec", "name"]).unwrap_or(node.as_str()).to_owned();
    let capacity =
        Resources { cpus: quantity(root, "cpus", &name)?, memory: quantity(root, "memory", &name)? };
    let beside = match at(root, &["status", "report"]) {
        Some(report) => Beside::deserialize(report.to_json()).map_err(|error| {
            Fault::new(code::WRONG_TYPE, report.extent, format!("`status.report` of node {name}: {error}"))
        })?,
        None => Beside::default(),
    };
    let state = text_at(root, &["status", "state"]);
    let report = NodeReport {
        hostname: name,
        address: beside.address,
        capacity,
        generic: beside.generic,
        platform: beside.platform.unwrap_or_else(usual_platform),
        engine: beside.engine,
        plugins: beside.plugins.unwrap_or_else(usual_plugins),
        ..NodeReport::default()
    };
    Ok(Machine { node, is_up: state.is_none_or(|state| state == "ready"), report })
}

fn quantity<T: std::str::FromStr<Err = QuantityError>>(
    root: &Node,
    field: &str,
    name: &str,
) -> Result<T, Fault> {
    let Some(found) = at(root, &["status", "report", "capacity", field]) else {
        let message =
            format!("node {name} does not say how much it has: `status.report.capacity.{field}` is missing");
        let place = root.locate_name(&["metadata".into(), "name".into()]);
        return Err(Fault::new(code::MISSING_FIELD, place, message).hint(EXAMPLE));
    };
    let wrong = |reason: String| {
        Fault::new(code::MALFORMED, found.extent, format!("`status.report.capacity.{field}`: {reason}"))
    };
    let text = found.as_text().ok_or_else(|| wrong("an amount is wanted".to_owned()))?;
    text.parse().map_err(|error: QuantityError| wrong(error.to_string()))
}

fn usual_platform() -> Platform {
    Platform { os: "linux".to_owned(), architecture: "x86_64".to_owned() }
}

/// What every Docker on Linux has.
fn usual_plugins() -> Plugins {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Plugins {
        volume: set(&["local"]),
        network: set(&["bridge", "host", "ipvlan", "macvlan", "null", "overlay"]),
        log: set(&[
            "awslogs",
            "fluentd",
            "gcplogs",
            "gelf",
            "journald",
            "json-file",
            "local",
            "splunk",
            "syslog",
        ]),
    }
}
