//! `skep why` and `skep why-not`: why tasks are where they are, or wait, by the scheduler's own filters and score.

mod idle;
mod page;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use skep_api::ident::Uid;
use skep_api::key::{Key, ServiceRef, TaskRef};
use skep_api::object::{API_VERSION, Object};
use skep_api::service::ServiceStatus;
use skep_api::task::DesiredState;
use skep_api::time::Timestamp;
use skep_runtime::controller::World;
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{SchedulerWorld, Why as Answered};

use crate::cli::Context;
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output::Answer;
use crate::tasks::{self, Asked, Found};
use crate::verb::target::{StackArgs, node_in, nothing_in};
use crate::verb::whatif::read;

/// How many tasks of a service are looked at one by one.
const TASKS_MAX: usize = 20;

/// Show why a task is where it is, or why it waits, and what would help
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep why web               who of the service waits and why, and where the others are
  skep why web.2             the task of slot 2: its node beside the best others, or what is missing where")]
pub(crate) struct Why {
    /// A service, a slot (web.2) or a task (web.2.0000c)
    #[arg(value_name = "TASK|SERVICE")]
    name: String,
    #[command(flatten)]
    stack: StackArgs,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Answer,
}

/// Show why a service has no task, or no further task, on a node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep why-not web n3        every filter with its verdict, the score, and what would help")]
pub(crate) struct WhyNot {
    /// A service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// A node: its name, its id, or the unique beginning of either
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    stack: StackArgs,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Answer,
}

impl Why {
    /// Answers.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let asked = Asked::parse(&self.name, &self.stack.stack()?)?;
        let (page, json) = why(&read(&store).await?, &asked, context.env.now())?;
        Ok(self.output.print(&page, &json)?)
    }
}

impl WhyNot {
    /// Answers.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let asked = Asked::parse(&self.service, &self.stack.stack()?)?;
        let (page, json) = why_not(&read(&store).await?, &asked, &self.node, context.env.now())?;
        Ok(self.output.print(&page, &json)?)
    }
}

/// The answer for people, and for scripts.
fn why(cut: &Cut, asked: &Asked, now: Timestamp) -> Result<(String, Value), Failure> {
    let world = world(cut);
    match asked.service_ref() {
        Some(service) => why_service(cut, &world, &service, asked, now),
        None => why_task(cut, &world, asked, now),
    }
}

fn why_task(
    cut: &Cut,
    world: &SchedulerWorld,
    asked: &Asked,
    now: Timestamp,
) -> Result<(String, Value), Failure> {
    let all = tasks::find(cut, asked);
    let Some(found) = all.iter().rfind(|found| is_live(found)).or(all.last()) else {
        return Err(asked.not_found(cut));
    };
    if !is_live(found) {
        let json =
            json!({"task": found.task.name, "state": "over", "observed": found.state, "error": found.words});
        return Ok((page::over(found), answer_json(&[json])));
    }
    let answered = world.why(&found.task, now).map_err(|reason| unanswered(&found.task, reason))?;
    Ok((page::task(cut, found, &answered), answer_json(&[json!(answered)])))
}

fn why_service(
    cut: &Cut,
    world: &SchedulerWorld,
    service: &ServiceRef,
    asked: &Asked,
    now: Timestamp,
) -> Result<(String, Value), Failure> {
    let uid = uid(cut, service).ok_or_else(|| asked.not_found(cut))?;
    let (waiting, placed): (Vec<TaskRef>, Vec<TaskRef>) =
        world.tasks_to_explain(&uid).into_iter().partition(|task| task.place.node().is_none());
    let answers = |tasks: &[TaskRef]| -> Vec<Answered> {
        tasks.iter().take(TASKS_MAX).filter_map(|task| world.why(task, now).ok()).collect()
    };
    let waits = answers(&waiting);
    let mut json: Vec<Value> = waits.iter().map(|answered| json!(answered)).collect();
    json.extend(answers(&placed).iter().map(|answered| json!(answered)));
    let view = page::Tasks {
        cut,
        service,
        waiting: &waiting,
        placed: &placed,
        waits: &waits,
        status: status(cut, service),
    };
    let idle = if json.is_empty() { idle::reason(cut, service) } else { None };
    let mut answer = answer_json(&json);
    if let Value::Object(fields) = &mut answer {
        fields.insert("waiting".to_owned(), json!(waiting.len()));
        fields.insert("placed".to_owned(), json!(placed.len()));
        fields.extend(idle.iter().map(|words| ("idle".to_owned(), json!(words))));
    }
    Ok((idle.map_or_else(|| view.page(), |words| page::sentence(&words)), answer))
}

fn why_not(cut: &Cut, asked: &Asked, node: &str, now: Timestamp) -> Result<(String, Value), Failure> {
    let service = asked.service_ref().ok_or_else(|| asked.not_found(cut))?;
    let uid = uid(cut, &service).ok_or_else(|| nothing_in(cut, &service))?;
    let node = node_in(cut, node)?;
    let argument = service.to_string();
    let answered =
        world(cut).why_not(&uid, &node, now).map_err(|rule| Failure::Argument { argument, rule })?;
    let is_its = |found: &Found| found.task.place.node() == Some(&node) && is_live(found);
    let has_one = tasks::find(cut, asked).iter().any(is_its);
    let idle = idle::reason(cut, &service)
        .or_else(|| idle::global(cut, &service, &answered.node.node, has_one, answered.fits));
    let mut json = json!(answered);
    if let Value::Object(fields) = &mut json {
        fields.extend(idle.iter().map(|words| ("idle".to_owned(), json!(words))));
        fields.insert("apiVersion".to_owned(), json!(API_VERSION));
        fields.insert("kind".to_owned(), json!("WhyNot"));
        fields.insert("service".to_owned(), json!(service));
    }
    Ok((page::why_not(&service, &answered, idle.as_deref()), json))
}

/// Whether the task is wanted and has not ended.
fn is_live(found: &Found) -> bool {
    found.desired <= DesiredState::Complete && !found.state.is_terminal()
}

/// The world as the scheduler sees it.
fn world(cut: &Cut) -> SchedulerWorld {
    let mut world = SchedulerWorld::new(cut.cluster());
    for (key, found) in cut.iter() {
        let stamp = Stamp { created: found.created, modified: found.modified };
        let value = found.value.clone().map_err(Arc::new);
        world.apply(key, Some(&Entry { value, stamp }));
    }
    world
}

fn uid(cut: &Cut, service: &ServiceRef) -> Option<Uid> {
    let key = Key::Service(service.clone());
    cut.entry(&key).map(|entry| cut.uid(&key, entry))
}

fn status<'a>(cut: &'a Cut, service: &ServiceRef) -> Option<&'a ServiceStatus> {
    match cut.object(&Key::ServiceStatus(service.clone())) {
        Some(Object::ServiceStatus(status)) => Some(status),
        _ => None,
    }
}

fn answer_json(tasks: &[Value]) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "Why", "tasks": tasks})
}

fn unanswered(task: &TaskRef, rule: String) -> Failure {
    Failure::Argument { argument: task.name.to_string(), rule }
}
