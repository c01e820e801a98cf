//! Nodes as people read them: the spec, and the summary that the node controller writes.

use serde_json::Value;
use skep_api::condition;
use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{NodeReport, NodeSpec, NodeStatus};
use skep_api::object::Object;

use crate::cut::{Cut, Entry};
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// Every node, by name.
pub(crate) fn items(cut: &Cut, style: Style) -> Vec<Item> {
    let nodes = cut.iter().filter_map(|(key, entry)| {
        let Key::Node(node) = key else { return None };
        Some(item(cut, key, node, entry, style))
    });
    let mut nodes: Vec<Item> = nodes.collect();
    nodes.sort_by(|one, other| one.cells.first().cmp(&other.cells.first()));
    nodes
}

fn item(cut: &Cut, key: &Key, node: &NodeId, entry: &Entry, style: Style) -> Item {
    let status = match cut.object(&Key::NodeStatus(node.clone())) {
        Some(Object::NodeStatus(status)) => Some(&**status),
        _ => None,
    };
    let spec = match &entry.value {
        Ok(Object::Node(spec)) => Some(&**spec),
        _ => None,
    };
    let metadata = item::metadata(node.as_str(), None, entry.modified, &cut.uid(key, entry));
    let mut document = item::document(Kind::Nodes, &metadata, &spec, status);
    if let (Err(invalid), Value::Object(fields)) = (&entry.value, &mut document) {
        fields.insert("invalid".to_owned(), Value::from(invalid.reason.clone()));
    }
    let mut names = vec![node.to_string()];
    names.extend(spec.map(|spec| spec.name.clone()));
    Item {
        kind: Kind::Nodes,
        stack: None,
        names,
        part_of: Vec::new(),
        labels: spec.map(|spec| spec.labels.clone()).unwrap_or_default(),
        cells: cells(node, spec, status, style),
        document,
    }
}

fn cells(node: &NodeId, spec: Option<&NodeSpec>, status: Option<&NodeStatus>, style: Style) -> Vec<String> {
    let report = status.and_then(|status| status.report.as_ref());
    let text = |get: fn(&NodeReport) -> String| report.map_or(String::new(), get);
    let ready = status.and_then(|status| condition::find(&status.conditions, "Ready"));
    let message = ready.filter(|ready| ready.status != condition::Truth::True);
    let mut cells = vec![
        spec.map_or_else(|| node.to_string(), |spec| spec.name.clone()),
        node.to_string(),
        status.map_or("?".to_owned(), |status| word(&status.state)),
        spec.map_or("Invalid".to_owned(), |spec| word(&spec.availability)),
        spec.map_or(String::new(), |spec| word(&spec.role)),
        text(|report| report.address.clone()),
    ];
    if style.is_wide {
        cells.push(text(|report| report.capacity.cpus.to_string()));
        cells.push(text(|report| report.capacity.memory.to_string()));
        cells.push(text(|report| report.engine.version.clone()));
        cells.push(text(|report| format!("{}/{}", report.platform.os, report.platform.architecture)));
        let labels =
            spec.into_iter().flat_map(|spec| &spec.labels).map(|(name, value)| format!("{name}={value}"));
        cells.push(labels.collect::<Vec<_>>().join(","));
    }
    cells.push(status.map_or(String::new(), |status| style.time(status.since)));
    cells.push(message.map_or(String::new(), |ready| ready.message.clone()));
    cells
}
