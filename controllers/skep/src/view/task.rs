//! Tasks as people read them: by service and slot, the newest first, its predecessors below it as Docker Swarm shows them.

use std::cmp::Reverse;

use serde_json::{Value, json};
use skep_api::key::{Key, TaskRef};
use skep_api::object::Object;
use skep_api::service::Labels;
use skep_api::task::{DesiredState, PortStatus, Task, TaskState, TaskStatus};

use crate::cut::{Cut, Entry};
use crate::output::text::short;
use crate::view::service::word;
use crate::view::{Item, Kind, Style, item};

/// What stands before a task that another one of its slot has replaced.
const PREDECESSOR: &str = r" \_ ";
/// How much of a container's id is shown, as Docker does.
const ID_CHARS: usize = 12;

struct Row<'a> {
    reference: &'a TaskRef,
    task: &'a Task,
    status: Option<&'a TaskStatus>,
    entry: &'a Entry,
    document: Value,
}

/// Every task, by stack, service, slot, and age.
pub(crate) fn items(cut: &Cut, style: Style) -> Vec<Item> {
    let mut rows: Vec<Row<'_>> = cut.iter().filter_map(|(key, entry)| row(cut, key, entry)).collect();
    rows.sort_by_key(|row| {
        let is_over = row.task.desired >= DesiredState::Shutdown;
        (row.task.service.clone(), slot(row.task), is_over, Reverse(row.entry.created))
    });
    let mut before: Option<(&Task, String)> = None;
    let mut items = Vec::new();
    for row in rows {
        let place = (row.task, row.task.slot.to_string());
        let follows =
            before.as_ref().is_some_and(|(task, slot)| task.uid == row.task.uid && *slot == place.1);
        items.push(row.item(cut, if follows { PREDECESSOR } else { "" }, style));
        before = Some(place);
    }
    items
}

fn row<'a>(cut: &'a Cut, key: &'a Key, entry: &'a Entry) -> Option<Row<'a>> {
    let (Key::Task(reference), Ok(Object::Task(task))) = (key, &entry.value) else { return None };
    let status = match cut.object(&Key::TaskStatus(reference.clone())) {
        Some(Object::TaskStatus(status)) => Some(&**status),
        _ => None,
    };
    let uid = cut.uid(key, entry);
    let metadata = item::metadata(reference.name.as_str(), Some(&reference.stack), entry.modified, &uid);
    let mut spec = json!(task);
    if let (Some(node), Value::Object(fields)) = (reference.place.node(), &mut spec) {
        fields.insert("node".to_owned(), json!(node));
    }
    let document = item::document(Kind::Tasks, &metadata, &spec, status);
    Some(Row { reference, task, status, entry, document })
}

/// Slots in the order of their numbers.
fn slot(task: &Task) -> (u32, String) {
    (task.slot.number().unwrap_or(0), task.slot.to_string())
}

impl Row<'_> {
    fn item(self, cut: &Cut, mark: &str, style: Style) -> Item {
        let name = self.reference.name.to_string();
        Item {
            kind: Kind::Tasks,
            stack: Some(self.reference.stack.clone()),
            names: vec![name],
            part_of: vec![self.task.service.name.to_string()],
            labels: self.labels(cut),
            cells: self.cells(cut, mark, style),
            document: self.document,
        }
    }

    /// Those of its service.
    fn labels(&self, cut: &Cut) -> Labels {
        match cut.object(&Key::Service(self.task.service.clone())) {
            Some(Object::Service(service)) => service.metadata.labels.clone(),
            _ => Labels::new(),
        }
    }

    fn cells(&self, cut: &Cut, mark: &str, style: Style) -> Vec<String> {
        let name = format!("{mark}{}", self.reference.name);
        let node = cut.place_name(&self.reference.place);
        let state = self.status.map_or(self.first_state(), |status| status.state).to_string();
        let since = self.status.map_or(String::new(), |status| style.time(status.since));
        let ports = self.status.map_or(String::new(), |status| ports(&status.ports));
        let desired = self.task.desired.to_string();
        if !style.is_wide {
            return vec![name, self.image(cut), node, desired, state, since, ports, self.error()];
        }
        let container = self.status.and_then(|status| status.container.as_ref());
        vec![
            name,
            self.image(cut),
            self.task.revision.to_string(),
            word(&self.task.cause),
            node,
            desired,
            state,
            since,
            ports,
            container.map_or(String::new(), |container| short(&container.id, ID_CHARS).to_owned()),
            self.error(),
        ]
    }

    /// What a task is of which nobody has said anything yet.
    fn first_state(&self) -> TaskState {
        if self.reference.place.node().is_some() { TaskState::Assigned } else { TaskState::New }
    }

    fn image(&self, cut: &Cut) -> String {
        match cut.object(&Key::Revision(self.task.uid.clone(), self.task.revision)) {
            Some(Object::Revision(revision)) => revision.task.image.clone(),
            _ => String::new(),
        }
    }

    /// What went wrong; and of a task that waits or is being prepared, what goes on.
    fn error(&self) -> String {
        let Some(status) = self.status else { return String::new() };
        match &status.error {
            Some(error) => error.clone(),
            None if status.state < TaskState::Running => status.message.clone(),
            None => String::new(),
        }
    }
}

fn ports(ports: &[PortStatus]) -> String {
    let ports =
        ports.iter().map(|port| format!("{}->{}/{}", port.published, port.target, word(&port.protocol)));
    ports.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use skep_api::ident::{NodeId, Uid};
    use skep_api::key::Place;

    use super::*;

    fn key(name: &str) -> Key {
        let place = Place::Node(NodeId::from_random(1));
        Key::Task(TaskRef { place, stack: "default".parse().unwrap(), name: name.parse().unwrap() })
    }

    fn task(slot: u32, desired: &str) -> String {
        let uid = Uid::derive("c", "k", 1);
        format!(
            r#"{{"uid":"{uid}","service":{{"stack":"default","name":"web"}},"slot":{slot},"revision":1,"desired":"{desired}","cause":"new"}}"#
        )
    }

    fn names(cut: &Cut) -> Vec<String> {
        items(cut, Style::default()).into_iter().map(|item| item.cells[0].clone()).collect()
    }

    #[test]
    fn history_lies_below_its_slot_the_newest_first() {
        let (old, new) = (task(2, "SHUTDOWN"), task(2, "RUNNING"));
        let (other, tenth) = (task(1, "RUNNING"), task(10, "RUNNING"));
        let cut = Cut::of(&[
            (key("web.2.00001"), &old),
            (key("web.2.00002"), &old),
            (key("web.10.00003"), &tenth),
            (key("web.2.00004"), &new),
            (key("web.1.00005"), &other),
        ]);
        let expected = ["web.1.00005", "web.2.00004", r" \_ web.2.00002", r" \_ web.2.00001", "web.10.00003"];
        assert_eq!(names(&cut), expected);
    }

    #[test]
    fn a_task_says_where_it_is_and_what_went_wrong() {
        let text = task(1, "RUNNING");
        let Key::Task(reference) = key("web.1.00001") else { unreachable!() };
        let status = r#"{"state":"FAILED","since":"2026-01-31T12:00:00Z","error":"task: non-zero exit (3)"}"#;
        let cut = Cut::of(&[(key("web.1.00001"), &text), (Key::TaskStatus(reference), status)]);
        let items = items(&cut, Style::default());
        assert_eq!(items[0].cells.last().map(String::as_str), Some("task: non-zero exit (3)"));
        assert_eq!(items[0].document["spec"]["node"], NodeId::from_random(1).as_str());
        assert_eq!(items[0].document["status"]["state"], "FAILED");
    }
}
