//! A service: what is wanted, how far it is, what comes next and when.

use skep_api::key::{Key, ServiceRef};
use skep_api::object::{Object, Service};
use skep_api::rollout::{Failure, RolloutState};
use skep_api::service::{Mode, ServiceStatus, UpdateStatus};

use super::{Page, is_behind, regarding, when};
use crate::cut::Cut;
use crate::view::Style;
use crate::view::service::word;

/// Everything about `service`; nothing if it is not there.
pub(crate) fn service(cut: &Cut, service: &ServiceRef, style: Style) -> Option<String> {
    let key = Key::Service(service.clone());
    let entry = cut.entry(&key)?;
    let mut page = Page::about(&format!("Service/{service}"));
    match &entry.value {
        Ok(Object::Service(found)) => wanted(&mut page, found),
        Ok(_) => {}
        Err(invalid) => page.line("Invalid", &invalid.reason),
    }
    if let Some(Object::ServiceStatus(status)) = cut.object(&Key::ServiceStatus(service.clone())) {
        if is_behind(cut, &key, status.observed_version) {
            page.line("Status", "speaks of an earlier version: the controllers have not looked yet");
        }
        reached(&mut page, status, style);
        page.conditions(&status.conditions, style);
    } else {
        page.line("Status", "no controller has looked yet");
    }
    page.tasks(cut, style, |item| {
        item.stack.as_ref() == Some(&service.stack)
            && item.part_of.iter().any(|of| of == service.name.as_str())
    });
    page.events(cut, style, &regarding(service));
    Some(page.0)
}

fn wanted(page: &mut Page, service: &Service) {
    let spec = &service.spec;
    let many = match (spec.mode, &spec.job) {
        (Mode::Replicated, _) => format!(", {} wanted", spec.replicas),
        (Mode::ReplicatedJob, job) => {
            let completions = job.as_ref().map_or(1, |job| job.completions);
            let at_once = job.as_ref().and_then(|job| job.max_concurrent);
            let at_once = at_once.map_or(String::new(), |count| format!(", {count} at a time"));
            format!(", {completions} to complete{at_once}")
        }
        (Mode::Global | Mode::GlobalJob, _) => ", one on each node".to_owned(),
    };
    page.line("Mode", &format!("{}{many}", word(&spec.mode)));
    page.line("Image", &spec.task.image);
    let placement = spec.placement.constraints.join(", ");
    page.line("Constraints", &placement);
    let needs: Vec<String> = spec
        .depends_on
        .iter()
        .map(|needed| format!("{} {}", needed.service, word(&needed.condition)))
        .collect();
    page.line("Depends on", &needs.join(", "));
}

fn reached(page: &mut Page, status: &ServiceStatus, style: Style) {
    if let Some(job) = &status.job {
        let failed = if job.failed > 0 { format!(", {} failed", job.failed) } else { String::new() };
        let counts = format!("{} of {} completed, {} active{failed}", job.completed, job.total, job.active);
        page.line("Job", &counts);
        page.line("Began", &job.started.map_or(String::new(), |at| style.time(at) + " ago"));
        page.line("Done", &job.finished.map_or(String::new(), |at| style.time(at) + " ago"));
    } else {
        page.line("Running", &format!("{} of {}", status.running, status.desired));
    }
    let stable = status.update.as_ref().and_then(|update| update.stable);
    let stable = stable.filter(|stable| Some(*stable) != status.revision);
    let stable = stable.map_or(String::new(), |stable| format!(", stable {stable}"));
    page.line("Revision", &status.revision.map_or(String::new(), |target| format!("{target}{stable}")));
    if let Some(update) = &status.update {
        page.line("Update", &progress(update, status.updated));
        let waiting = update.waiting.as_ref().map(|waiting| {
            let until =
                waiting.until.map_or(String::new(), |until| format!(", until {}", when(until, style)));
            format!("{} for {}{until}", waiting.reason, style.time(waiting.since))
        });
        page.line("Waits for", &waiting.unwrap_or_default());
        if let Some(failure) = &update.failure {
            failed(page, failure, style);
        }
    }
    let next = status.next.as_ref().map_or_else(
        || "nothing is due".to_owned(),
        |next| format!("{}{}", next.at.map_or(String::new(), |at| when(at, style) + ": "), next.message),
    );
    page.line("Next", &next);
}

/// How far an update is; nothing if there is nothing to say.
fn progress(update: &UpdateStatus, updated: u32) -> String {
    let state = word(&update.state);
    let batch = match update.state {
        RolloutState::Updating | RolloutState::RollbackStarted if update.batch_number > 0 => {
            let slots = if update.batch.is_empty() {
                String::new()
            } else {
                format!(" (slots {})", update.batch.join(", "))
            };
            format!(", batch {}{slots}, {updated} of {} done", update.batch_number, update.total)
        }
        RolloutState::Updating
        | RolloutState::Paused
        | RolloutState::Completed
        | RolloutState::RollbackStarted
        | RolloutState::RollbackPaused
        | RolloutState::RollbackCompleted => String::new(),
    };
    let failed = if update.failed > 0 { format!(", {} failed", update.failed) } else { String::new() };
    let message = if update.message.is_empty() { String::new() } else { format!(": {}", update.message) };
    format!("{state}{batch}{failed}{message}")
}

/// The task by which an update failed, with the evidence.
fn failed(page: &mut Page, failure: &Failure, style: Style) {
    let who = failure.task.as_ref().map_or_else(|| format!("slot {}", failure.slot), ToString::to_string);
    let code = failure.exit_code.map_or(String::new(), |code| format!(", exit code {code}"));
    let when = style.time(failure.seen);
    page.line(
        "Failure",
        &format!("{who}, revision {}, {} ago: {}{code}", failure.revision, when, failure.reason),
    );
    page.quote([&failure.message].into_iter().filter(|message| !message.is_empty()));
    page.quote(&failure.log);
    page.quote(failure.health.lines());
}
