//! What people read of an apply: one line for each object, and one for each change.

use serde_json::Value;
use skep_api::manifest::Manifest;
use skep_api::record::{ChangeAction, FieldChange};
use skep_api::service::{Mode, Order, ServiceSpec};

use crate::apply::commit::{Applied, Report};
use crate::output::{lines, printable};

/// How many fields of one object are named.
const FIELDS_SHOWN: usize = 3;
/// How much of a value is shown, in characters.
const VALUE_SHOWN: usize = 60;

/// The report in lines.
pub(crate) fn report(report: &Report) -> String {
    let names = report.objects.iter().map(|object| object.planned.object.to_string().chars().count());
    let width = names.max().unwrap_or(0);
    let objects = report.objects.iter().map(|object| line(object, width));
    let parts =
        (report.changes.len() > 1).then(|| format!("not atomic: {} transactions", report.changes.len()));
    let changes = report
        .changes
        .iter()
        .map(|(id, revision)| format!("change {id}  rev {revision}  by {}", report.actor));
    lines(objects.chain(parts).chain(changes))
}

fn line(object: &Applied, width: usize) -> String {
    let planned = &object.planned;
    let action = match planned.action {
        None => "unchanged",
        Some(ChangeAction::Created) => "created",
        Some(ChangeAction::Changed) => "changed",
        Some(ChangeAction::Deleted) => "deleted",
    };
    let mut details = details(&planned.fields);
    if let Manifest::Service(service) = &planned.object
        && planned.fields.iter().any(replaces_tasks)
    {
        details = format!("{details}  ({})", replacement(&service.spec));
    }
    format!("{:<width$}  {:<9}  {details}", planned.object.to_string(), action).trim_end().to_owned()
}

fn details(fields: &[FieldChange]) -> String {
    let shown = fields.iter().take(FIELDS_SHOWN).map(|field| {
        let path = field.path.strip_prefix("spec.").unwrap_or(&field.path);
        format!("{} {} -> {}", printable(path), value(field.old.as_ref()), value(field.new.as_ref()))
    });
    let mut details: Vec<String> = shown.collect();
    let rest = fields.len().saturating_sub(FIELDS_SHOWN);
    if rest > 0 {
        details.push(format!("and {rest} more"));
    }
    details.join(", ")
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None => return "(default)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = printable(&text);
    if text.chars().count() <= VALUE_SHOWN {
        return text;
    }
    format!("{}…", text.chars().take(VALUE_SHOWN).collect::<String>())
}

/// A change of what is baked into a container replaces tasks; any other does not.
fn replaces_tasks(field: &FieldChange) -> bool {
    let is_host_port = |value: Option<&Value>| {
        value.and_then(|port| port.get("mode")).and_then(Value::as_str) == Some("host")
    };
    field.path.starts_with("spec.task.")
        || field.path.starts_with("spec.ports[")
            && (is_host_port(field.old.as_ref()) || is_host_port(field.new.as_ref()))
}

/// How tasks are replaced, in words.
fn replacement(spec: &ServiceSpec) -> String {
    let tasks = match spec.mode {
        Mode::Replicated => {
            crate::failure::count(usize::try_from(spec.replicas).unwrap_or(usize::MAX), "task")
        }
        Mode::Global | Mode::ReplicatedJob | Mode::GlobalJob => "all tasks".to_owned(),
    };
    let pace = match spec.update.parallelism {
        0 => "all at once".to_owned(),
        number => format!("{number} at a time"),
    };
    let order = match spec.update.order {
        Order::StopFirst => "stop-first",
        Order::StartFirst => "start-first",
    };
    format!("{tasks} will be replaced, {pace}, {order}")
}
