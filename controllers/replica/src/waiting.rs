//! What a slot without a task that serves waits for, as people are told.

use skep_api::key::ServiceRef;
use skep_api::object::Service;
use skep_api::rollout::Rollout;
use skep_api::task::TaskState;
use skep_api::time::Timestamp;
use skep_runtime::table::Versioned;
use skep_runtime::tasks::Run;

use crate::policy;
use crate::slots::SlotView;

/// The reason of what waits for a node.
pub(crate) const NO_NODE: &str = "NoSuitableNode";

/// What a slot waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    /// In one word in PascalCase.
    pub(crate) reason: &'static str,
    /// In a sentence that begins with the slot.
    pub(crate) message: String,
    /// Whether that never comes: the restart policy does not follow what is in the slot.
    pub(crate) is_final: bool,
}

/// What `slot` waits for; nothing if its task serves and no other one is under way.
pub(crate) fn of(
    name: &ServiceRef,
    slot: &SlotView<'_>,
    service: &Service,
    rollout: Option<&Versioned<Rollout>>,
    now: Timestamp,
) -> Option<Waits> {
    let (reason, message) = if let Some(task) = &slot.damaged {
        ("TaskDamaged", format!("nothing is done while {task} or its status does not decode"))
    } else if let Some(staged) = slot.staged() {
        staged_waits(slot, staged)
    } else {
        match slot.current() {
            Some(current) if current.is_serving() => return None,
            Some(current) => run_waits(current),
            None => ("Starting", "waits for its next task".to_owned()),
        }
    };
    let is_over = |run: &Run<'_>| {
        let is_right =
            rollout.is_some_and(|all| all.revision_of(&slot.slot, &slot.revisions()) == run.task.revision);
        is_right && run.ended_by_itself() && !policy::may_restart(run, &service.spec.restart, now)
    };
    let is_final = slot.staged().is_none() && slot.current().is_some_and(is_over);
    Some(Waits { reason, message: format!("{}.{}: {message}", name.name, slot.slot), is_final })
}

fn staged_waits(slot: &SlotView<'_>, staged: &Run<'_>) -> (&'static str, String) {
    if staged.at.place.node().is_none() || !staged.is_alive() {
        return run_waits(staged);
    }
    if let Some(instant) = staged.task.start_after {
        return ("RestartDelay", format!("may start at {instant}{}", after(slot)));
    }
    if let Some(eviction) = slot.current().and_then(|run| run.eviction) {
        return ("Evicted", format!("{}; its successor: {}", eviction.message, on_its_way(staged)));
    }
    let stopping = slot.alive_besides(Some(staged)).into_iter().find(|other| !other.is_wanted());
    match stopping {
        Some(other) => ("Stopping", format!("waits for {} to stop", other.at.name)),
        None => ("Preparing", on_its_way(staged)),
    }
}

/// After what the newest task of the slot comes.
fn after(slot: &SlotView<'_>) -> String {
    let last = slot.runs.iter().rev().find(|run| run.is_ended() || run.is_lost());
    match last {
        Some(run) if run.is_lost() => format!(", because the node of {} is down", run.at.name),
        Some(run) => error(run).map_or(String::new(), |error| format!(" after: {error}")),
        None => String::new(),
    }
}

fn run_waits(run: &Run<'_>) -> (&'static str, String) {
    if run.is_lost() {
        return ("NodeDown", format!("the node of {} is down", run.at.name));
    }
    if run.is_ended() {
        let error = error(run).map(|error| format!(": {error}")).unwrap_or_default();
        let reason = if run.state == TaskState::Complete { "Completed" } else { "Failed" };
        return (reason, format!("{} ended as {}{error}", run.at.name, run.state));
    }
    if run.at.place.node().is_some() {
        return ("Starting", on_its_way(run));
    }
    match error(run) {
        Some(error) => (NO_NODE, error.to_owned()),
        None => ("Scheduling", "waits for a node".to_owned()),
    }
}

fn on_its_way(run: &Run<'_>) -> String {
    let message = run.status.map(|status| status.message.as_str()).unwrap_or_default();
    if message.is_empty() { run.state.to_string().to_lowercase() } else { message.to_owned() }
}

fn error<'a>(run: &Run<'a>) -> Option<&'a str> {
    run.status.and_then(|status| status.value.error.as_deref())
}
