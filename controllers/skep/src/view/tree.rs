//! Stacks, their services and tasks as a tree that says what runs, why something does not, and what comes next: `skep status`.

use std::collections::BTreeMap;

use skep_api::condition::{self, Truth};
use skep_api::ident::{NodeId, Stack};
use skep_api::key::{Key, ServiceRef, TaskRef};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::rollout::RolloutState;
use skep_api::service::ServiceStatus;
use skep_api::task::{DesiredState, Slot, Task, TaskState, TaskStatus};

use crate::cut::Cut;
use crate::output::printable;
use crate::view::Style;
use crate::view::describe::when;
use crate::view::service::word;

/// How many tasks of a service are shown that are as they should be.
const WELL_SHOWN: usize = 12;

/// One task with what is said of it.
struct Leaf<'a> {
    at: &'a TaskRef,
    task: &'a Task,
    status: Option<&'a TaskStatus>,
}

/// The services of `stack` (of every stack, if none is named) with their tasks.
pub(crate) fn tree(cut: &Cut, stack: Option<&Stack>, style: Style) -> String {
    let mut stacks: BTreeMap<&Stack, Vec<&ServiceRef>> = BTreeMap::new();
    for (key, _) in cut.iter() {
        if let Key::Service(service) = key
            && stack.is_none_or(|stack| service.stack == *stack)
        {
            stacks.entry(&service.stack).or_default().push(service);
        }
    }
    let leaves = leaves(cut);
    let mut text = String::new();
    for (stack, services) in stacks {
        text.extend([stack.as_str(), "\n"]);
        let last = services.len().saturating_sub(1);
        for (index, service) in services.into_iter().enumerate() {
            let (branch, trunk) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            text.extend([branch, &printable(&headline(cut, service)), "\n"]);
            let tasks = leaves.get(service).map_or(&[][..], Vec::as_slice);
            for line in below(cut, service, tasks, style) {
                text.extend([trunk, &printable(&line), "\n"]);
            }
        }
    }
    text
}

/// The tasks of each service that matter now, in the order of their slots; in each slot the newest last.
fn leaves(cut: &Cut) -> BTreeMap<&ServiceRef, Vec<Leaf<'_>>> {
    let mut leaves: BTreeMap<&ServiceRef, Vec<Leaf<'_>>> = BTreeMap::new();
    for (key, entry) in cut.iter() {
        let (Key::Task(at), Ok(Object::Task(task))) = (key, &entry.value) else { continue };
        let status = match cut.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => Some(&**status),
            _ => None,
        };
        leaves.entry(&task.service).or_default().push(Leaf { at, task, status });
    }
    for tasks in leaves.values_mut() {
        tasks.sort_by_key(|leaf| (order(&leaf.task.slot), leaf.at.name.planned_at()));
    }
    leaves
}

fn order(slot: &Slot) -> (u32, String) {
    (slot.number().unwrap_or(0), slot.to_string())
}

fn status<'a>(cut: &'a Cut, service: &ServiceRef) -> Option<&'a ServiceStatus> {
    match cut.object(&Key::ServiceStatus(service.clone())) {
        Some(Object::ServiceStatus(status)) => Some(status),
        _ => None,
    }
}

/// The service's name, how much of it runs, and how it is.
fn headline(cut: &Cut, service: &ServiceRef) -> String {
    let Some(status) = status(cut, service) else {
        return format!("{}: no controller has looked yet", service.name);
    };
    let counts = match &status.job {
        Some(job) => format!("{}/{} completed, {} active", job.completed, job.total, job.active),
        None => format!("{}/{} running", status.running, status.desired),
    };
    let key = Key::Service(service.clone());
    if cut.entry(&key).is_some_and(|entry| status.observed_version < entry.modified) {
        return format!("{} {counts}; the controllers have not looked at its last version yet", service.name);
    }
    let update = match &status.update {
        Some(update) if update.state == RolloutState::Updating && update.batch_number > 0 => {
            let target = status.revision.map_or(String::new(), |target| format!(" to revision {target}"));
            format!(", updating{target}, batch {}", update.batch_number)
        }
        Some(update) if !matches!(update.state, RolloutState::Updating | RolloutState::Completed) => {
            format!(", {}", word(&update.state).replace('_', " "))
        }
        Some(_) | None => String::new(),
    };
    format!("{} {counts}{update}: {}", service.name, verdict(status))
}

/// `ready`, or why not.
fn verdict(status: &ServiceStatus) -> String {
    match condition::find(&status.conditions, "Ready") {
        Some(ready) if ready.status == Truth::True => "ready".to_owned(),
        Some(ready) if ready.message.is_empty() => ready.reason.clone(),
        Some(ready) => ready.message.clone(),
        None => "no controller has looked yet".to_owned(),
    }
}

/// The lines below a service: what comes next, and its tasks.
fn below(cut: &Cut, service: &ServiceRef, tasks: &[Leaf<'_>], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(next) = status(cut, service).and_then(|status| status.next.as_ref()) {
        let at = next.at.map_or(String::new(), |at| format!("{}: ", when(at, style)));
        lines.push(format!("next: {at}{}", next.message));
    }
    let mut well: usize = 0;
    let mut shown: Vec<String> = Vec::new();
    for (index, leaf) in tasks.iter().enumerate() {
        let is_last_of_slot = tasks.get(index + 1).is_none_or(|next| next.task.slot != leaf.task.slot);
        if leaf.is_over() && !is_last_of_slot {
            continue;
        }
        if leaf.is_well() {
            well += 1;
            if well > WELL_SHOWN {
                continue;
            }
        }
        shown.push(leaf.line(cut, style));
    }
    if well > WELL_SHOWN {
        shown.push(format!("and {} more as they should be", well - WELL_SHOWN));
    }
    let last = shown.len().saturating_sub(1);
    let branch = |index| if index == last { "└─ " } else { "├─ " };
    lines.extend(shown.into_iter().enumerate().map(|(index, line)| format!("{}{line}", branch(index))));
    lines
}

/// On which node, and whether that is lost.
fn place(cut: &Cut, node: &NodeId) -> String {
    let is_down = matches!(cut.object(&Key::NodeStatus(node.clone())),
        Some(Object::NodeStatus(status)) if status.state == NodeState::Down);
    format!(" on {}{}", cut.node_name(node), if is_down { " (down)" } else { "" })
}

impl Leaf<'_> {
    fn state(&self) -> TaskState {
        let first = if self.at.place.node().is_some() { TaskState::Assigned } else { TaskState::New };
        self.status.map_or(first, |status| status.state)
    }

    fn is_over(&self) -> bool {
        self.state().is_terminal()
    }

    /// Whether there is nothing to say of it.
    fn is_well(&self) -> bool {
        match self.task.desired {
            DesiredState::Running => self.state() == TaskState::Running,
            DesiredState::Complete => matches!(self.state(), TaskState::Running | TaskState::Complete),
            DesiredState::Ready | DesiredState::Shutdown | DesiredState::Remove => false,
        }
    }

    /// What it is, where, and what is said of it.
    fn line(&self, cut: &Cut, style: Style) -> String {
        let node = self.at.place.node().map_or(String::new(), |node| place(cut, node));
        let since = self.status.map_or(String::new(), |status| format!(" {}", style.time(status.since)));
        let said = self.status.and_then(|status| match &status.error {
            Some(error) => Some(error.clone()),
            None if status.state < TaskState::Running => Some(status.message.clone()),
            None => None,
        });
        let said = said.filter(|said| !said.is_empty()).map_or(String::new(), |said| format!(": {said}"));
        let wanted = match (self.task.desired, self.task.start_after) {
            (DesiredState::Ready, Some(at)) => format!(", starts {}", when(at, style)),
            (DesiredState::Ready, None) => ", waits for its turn".to_owned(),
            (DesiredState::Shutdown | DesiredState::Remove, _) if !self.is_over() => {
                ", is being stopped".to_owned()
            }
            _ => String::new(),
        };
        format!("{} {}{node}{since}{wanted}{said}", self.at.name, self.state())
    }
}
