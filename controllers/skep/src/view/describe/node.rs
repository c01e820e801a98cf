//! A node: a machine, what it has and gives, and what runs on it.

use skep_api::ident::NodeId;
use skep_api::key::Key;
use skep_api::node::{Allocated, Availability, DrainMode, Generic, NodeReport, NodeSpec, NodeStatus};
use skep_api::object::Object;

use super::{Page, is_behind};
use crate::cut::Cut;
use crate::view::Style;
use crate::view::service::word;

/// Everything about `node`; nothing if it is not there.
pub(crate) fn node(cut: &Cut, node: &NodeId, style: Style) -> Option<String> {
    let key = Key::Node(node.clone());
    let entry = cut.entry(&key)?;
    let mut page = Page::about(&format!("Node/{node}"));
    match &entry.value {
        Ok(Object::Node(spec)) => wanted(&mut page, spec),
        Ok(_) => {}
        Err(invalid) => page.line("Invalid", &invalid.reason),
    }
    if let Some(Object::NodeStatus(status)) = cut.object(&Key::NodeStatus(node.clone())) {
        if is_behind(cut, &key, status.observed_version) {
            page.line("Status", "speaks of an earlier version: the controllers have not looked yet");
        }
        page.line("State", &format!("{} since {}", word(&status.state), style.time(status.since)));
        if let Some(report) = &status.report {
            machine(&mut page, report, status);
        }
        page.conditions(&status.conditions, style);
    }
    let name = cut.node_name(node);
    let column = usize::from(style.is_wide) * 2 + 2;
    page.tasks(cut, style, |item| item.cells.get(column).is_some_and(|node| *node == name));
    page.events(cut, style, &format!("Node/{node}"));
    Some(page.0)
}

fn wanted(page: &mut Page, spec: &NodeSpec) {
    page.line("Name", &spec.name);
    page.line("Role", &word(&spec.role));
    let now = if spec.availability == Availability::Drain && spec.drain == DrainMode::Now {
        ", at once"
    } else {
        ""
    };
    page.line("Availability", &format!("{}{now}", word(&spec.availability)));
    let labels: Vec<String> = spec.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    page.line("Labels", &labels.join(", "));
}

fn machine(page: &mut Page, report: &NodeReport, status: &NodeStatus) {
    page.line("Host", &format!("{} at {}", report.hostname, report.address));
    page.line("Platform", &format!("{}/{}", report.platform.os, report.platform.architecture));
    page.line("Engine", &format!("Docker {}, skep {}", report.engine.version, report.skep_version));
    let labels: Vec<String> =
        report.engine.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    page.line("Engine has", &labels.join(", "));
    let (has, gives) = (&report.capacity, &status.allocated);
    page.line("CPUs", &format!("{} of {} reserved", gives.resources.cpus, has.cpus));
    page.line("Memory", &format!("{} of {} reserved", gives.resources.memory, has.memory));
    let generic: Vec<String> = report.generic.iter().map(|(kind, has)| reserved(kind, has, gives)).collect();
    page.line("Generic", &generic.join(", "));
    page.line("Tasks", &gives.tasks.to_string());
}

/// How many of a generic resource are reserved, and the names of all: `1 of 2 GPU reserved (uuid1, uuid2)`.
fn reserved(kind: &str, has: &Generic, gives: &Allocated) -> String {
    let reserved = gives.generic.get(kind).copied().unwrap_or_default();
    let names = match has {
        Generic::Count(_) => String::new(),
        Generic::Named(names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!(" ({})", names.join(", "))
        }
    };
    format!("{reserved} of {} {kind} reserved{names}", has.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_resource_is_told_with_what_is_reserved_of_it_and_the_names_that_there_are() {
        let gives = Allocated { generic: [("GPU".to_owned(), 1)].into(), ..Allocated::default() };
        let named = Generic::Named(["uuid1", "uuid2"].map(str::to_owned).into());
        assert_eq!(reserved("GPU", &named, &gives), "1 of 2 GPU reserved (uuid1, uuid2)");
        assert_eq!(reserved("SSD", &Generic::Count(4), &gives), "0 of 4 SSD reserved");
    }
}
