//! One thing changes in a large cluster at rest: how long until everything that it touches is planned.

use std::time::Duration;

use skep_api::key::{Key, Place};
use skep_api::node::{Availability, NodeState, NodeStatus};
use skep_api::object::Object;
use skep_api::quantity::Memory;
use skep_api::task::{TaskState, TaskStatus};
use skep_scheduler::{Change, Subject};

use super::field::{self, Field, Owner};
use super::ground::Ground;
use super::shape::{Shape, Variant};
use crate::bench::measure::clock;

/// How often each thing is repeated, unless it takes longer than [`LIMIT`].
const REPETITIONS: usize = 3_000;
const LIMIT: Duration = Duration::from_secs(8);
/// Which node changes next: far from the last one, and each in its turn.
const STRIDE: usize = 7_919;
/// How much time passes between two changes, in milliseconds.
const PAUSE_MS: u64 = 10;
/// Services that wait for memory, if some do, and the tasks of each.
pub(super) const WAITING: usize = 100;
const WAITING_TASKS: usize = 10;

/// A cluster at rest.
struct Rest {
    ground: Ground,
    field: Field,
    owners: Vec<Owner>,
    shape: Shape,
    repetitions: usize,
}

/// What changes: makes the change, and returns what it touches.
type Event = fn(&mut Rest, usize) -> Vec<Subject>;

/// What happens to nodes, by name.
const NODE_EVENTS: [(&str, Event); 4] =
    [("report", report), ("status", status), ("label", label), ("availability", availability)];

/// Measures with nobody waiting, and with many groups waiting; tells each figure by its name, in microseconds.
pub(super) fn measure(shape: Shape, is_quick: bool, mut tell: impl FnMut(String, f64)) -> Result<(), String> {
    for waiting in [0, WAITING] {
        let repetitions = if is_quick { REPETITIONS / 10 } else { REPETITIONS };
        let mut rest = Rest::build(shape, waiting, repetitions)?;
        let mut tell_all = |name: &str, times: Vec<f64>| {
            let prefix = if waiting == 0 { name.to_owned() } else { format!("{name}-{waiting}-wait") };
            for (statistic, value) in statistics(times) {
                tell(format!("{prefix}.{statistic}"), value);
            }
        };
        let arrivals = rest.arrivals();
        tell_all("task-arrives", arrivals);
        for (name, event) in NODE_EVENTS {
            let times = rest.changes(event);
            tell_all(&format!("node-{name}"), times);
        }
        if waiting > 0 {
            let times = rest.refreshes();
            tell_all("explained-again", times);
        }
    }
    Ok(())
}

/// The median, the 99th percentile and the longest of some times; and how many they were.
fn statistics(mut times: Vec<f64>) -> [(&'static str, f64); 3] {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    let at = |index: usize| times.get(index.min(last)).copied().unwrap_or(f64::NAN);
    [("p50", at(times.len() / 2)), ("p99", at(times.len() * 99 / 100)), ("max", at(last))]
}

impl Rest {
    fn build(shape: Shape, waiting: usize, repetitions: usize) -> Result<Self, String> {
        let mut ground = Ground::new();
        let field = Field::new(shape, Variant::Reserved, "svc")?;
        field.nodes().for_each(|item| drop(ground.put(item)));
        let owners = ground.add_services(&field)?;
        for number in 0..shape.tasks {
            let Some(owner) = owners.get(number % owners.len()) else { break };
            let node = Field::node_id(number % shape.nodes);
            let (key, task) = owner.task(number / owners.len(), &Place::Node(node));
            if let Key::Task(task) = &key {
                ground.put((Key::TaskStatus(task.clone()), running()));
            }
            ground.put((key, task));
        }
        if waiting > 0 {
            let tasks = waiting * WAITING_TASKS;
            let vast = Field::new(Shape { tasks, services: waiting, ..shape }, Variant::Vast, "wait")?;
            let waiting = ground.add_services(&vast)?;
            vast.tasks(&waiting).for_each(|item| drop(ground.put(item)));
        }
        let all = skep_runtime::controller::World::all(&ground.world);
        ground.settle(all);
        Ok(Self { ground, field, owners, shape, repetitions })
    }

    /// A task comes, is placed, and goes again.
    fn arrivals(&mut self) -> Vec<f64> {
        let first = self.shape.tasks / self.owners.len().max(1);
        self.repeat(|rest, number| {
            let owner = rest.owners.get(number % rest.owners.len())?.clone();
            let item = owner.task(first + number, &Place::Pending);
            let begin = clock();
            let mut touched = rest.ground.put(item);
            let plans = rest.plan(&mut touched);
            let took = begin.elapsed();
            let mut after = Vec::new();
            for plan in &plans {
                after.extend(rest.ground.apply(plan));
                for change in &plan.changes {
                    if let Change::Place { task, node, .. } = change {
                        let key = Key::Task(task.at(Place::Node(node.clone())));
                        after.extend(rest.ground.delete(&key));
                    }
                }
            }
            rest.ground.settle(after);
            Some(took)
        })
    }

    /// Nodes change, one after another.
    fn changes(&mut self, event: Event) -> Vec<f64> {
        self.repeat(|rest, number| {
            let begin = clock();
            let mut touched = event(rest, number);
            let plans = rest.plan(&mut touched);
            let took = begin.elapsed();
            let mut after = Vec::new();
            for plan in &plans {
                after.extend(rest.ground.apply(plan));
            }
            rest.ground.settle(after);
            Some(took)
        })
    }

    /// A waiting group is looked at again a second later.
    fn refreshes(&mut self) -> Vec<f64> {
        let all = skep_runtime::controller::World::all(&self.ground.world);
        let waiting: Vec<Subject> =
            all.into_iter().filter(|subject| matches!(subject, Subject::Waiting(_))).collect();
        self.repeat(|rest, number| {
            rest.ground.pass(1_000);
            let subject = waiting.get(number % waiting.len())?;
            let begin = clock();
            let plan = rest.ground.plan(subject);
            let took = begin.elapsed();
            rest.ground.apply(&plan);
            Some(took)
        })
    }

    fn plan(&self, touched: &mut Vec<Subject>) -> Vec<skep_runtime::plan::Plan<Change>> {
        touched.sort();
        touched.dedup();
        touched.iter().map(|subject| self.ground.plan(subject)).collect()
    }

    /// Repeats something that takes so long; in microseconds.
    fn repeat(&mut self, mut work: impl FnMut(&mut Self, usize) -> Option<Duration>) -> Vec<f64> {
        let begin = clock();
        let mut times = Vec::with_capacity(self.repetitions);
        for number in 0..self.repetitions {
            self.ground.pass(PAUSE_MS);
            times.extend(work(self, number).map(|took| took.as_secs_f64() * 1e6));
            if begin.elapsed() > LIMIT {
                break;
            }
        }
        times
    }

    fn node(&self, number: usize) -> usize {
        number.wrapping_mul(STRIDE) % self.shape.nodes.max(1)
    }
}

fn report(rest: &mut Rest, number: usize) -> Vec<Subject> {
    let node = rest.node(number);
    let mut report = rest.field.report(node);
    let taken = u64::try_from(number % 7).unwrap_or_default() << 20;
    report.capacity.memory = Memory::from_bytes(report.capacity.memory.as_bytes().saturating_sub(taken));
    rest.ground.put((Key::NodeReport(Field::node_id(node)), report.into()))
}

/// Two times each node, one after the other: away, and back.
fn status(rest: &mut Rest, number: usize) -> Vec<Subject> {
    let node = rest.node(number / 2);
    let state = if number.is_multiple_of(2) { NodeState::Unreachable } else { NodeState::Ready };
    let status = NodeStatus { state, since: field::at(), ..NodeStatus::default() };
    rest.ground.put((Key::NodeStatus(Field::node_id(node)), status.into()))
}

fn label(rest: &mut Rest, number: usize) -> Vec<Subject> {
    let node = rest.node(number);
    let mut spec = Field::node_spec(node);
    spec.labels.insert("row".to_owned(), format!("row-{}", number % 7));
    rest.ground.put((Key::Node(Field::node_id(node)), spec.into()))
}

fn availability(rest: &mut Rest, number: usize) -> Vec<Subject> {
    let node = rest.node(number / 2);
    let mut spec = Field::node_spec(node);
    spec.availability = if number.is_multiple_of(2) { Availability::Pause } else { Availability::Active };
    rest.ground.put((Key::Node(Field::node_id(node)), spec.into()))
}

fn running() -> Object {
    TaskStatus {
        state: TaskState::Running,
        since: field::at(),
        message: "started".to_owned(),
        error: None,
        started: Some(field::at()),
        running: Some(field::at()),
        draining: None,
        health: None,
        log: Vec::new(),
        container: None,
        ports: Vec::new(),
        obstacles: Vec::new(),
        remedy: None,
    }
    .into()
}
