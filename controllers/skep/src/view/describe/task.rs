//! A task: one run of one container, and what became of it.

use skep_api::key::{Key, TaskRef};
use skep_api::object::Object;
use skep_api::task::{Task, TaskState, TaskStatus};

use super::{Page, when};
use crate::cut::Cut;
use crate::view::Style;
use crate::view::service::word;

/// Everything about the task that has this name; nothing if it is not there.
pub(crate) fn task(cut: &Cut, stack: &str, name: &str, style: Style) -> Option<String> {
    let (at, task) = cut.iter().find_map(|(key, entry)| match (key, &entry.value) {
        (Key::Task(at), Ok(Object::Task(task))) if at.stack.as_str() == stack && at.name.as_str() == name => {
            Some((at, task))
        }
        _ => None,
    })?;
    let mut page = Page::about(&format!("Task/{}/{}", at.stack, at.name));
    wanted(&mut page, cut, at, task, style);
    if let Some(Object::TaskStatus(status)) = cut.object(&Key::TaskStatus(at.clone())) {
        seen(&mut page, status, style);
    } else {
        let state = if at.place.node().is_some() { TaskState::Assigned } else { TaskState::New };
        page.line("State", &state.to_string());
    }
    Some(page.0)
}

fn wanted(page: &mut Page, cut: &Cut, at: &TaskRef, task: &Task, style: Style) {
    page.line("Service", &task.service.to_string());
    page.line("Slot", &task.slot.to_string());
    page.line("Revision", &task.revision.to_string());
    page.line("Node", &cut.place_name(&at.place));
    let replaces = task.replaces.as_ref().map_or(String::new(), |old| format!(", replaces {old}"));
    page.line("Cause", &format!("{}{replaces}", word(&task.cause)));
    page.line("Desired", &task.desired.to_string());
    let restarts = if task.restarts > 0 { task.restarts.to_string() } else { String::new() };
    page.line("Restarts", &restarts);
    page.line(
        "Starts",
        &task.start_after.map_or(String::new(), |at| format!("not before {}", when(at, style))),
    );
}

fn seen(page: &mut Page, status: &TaskStatus, style: Style) {
    let message = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    page.line("State", &format!("{} since {}{message}", status.state, style.time(status.since)));
    page.line("Error", status.error.as_deref().unwrap_or_default());
    page.quote(&status.log);
    for obstacle in &status.obstacles {
        page.line("", &format!("{}: {} nodes, {}", obstacle.filter, obstacle.nodes, obstacle.detail));
    }
    if let Some(container) = &status.container {
        let code = container.exit_code.map_or(String::new(), |code| format!(", exit code {code}"));
        let oom = if container.oom_killed { ", killed for want of memory" } else { "" };
        page.line("Container", &format!("{}{code}{oom}", container.id));
    }
    if let Some(health) = &status.health {
        let streak = if health.failing_streak > 0 {
            format!(", {} checks failed in a row", health.failing_streak)
        } else {
            String::new()
        };
        page.line("Health", &format!("{}{streak}", word(&health.state)));
        page.quote(health.output.lines());
    }
    let ports: Vec<String> = status
        .ports
        .iter()
        .map(|port| format!("{}->{}/{}", port.published, port.target, word(&port.protocol)))
        .collect();
    page.line("Ports", &ports.join(", "));
    page.line(
        "Draining",
        &status.draining.map_or(String::new(), |since| format!("since {}", style.time(since))),
    );
}
