//! Agents that obey at once: what is to run runs, and is healthy; what is to stop has stopped. Where no agent has a session,
//! nothing happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::ident::NodeId;
use skep_api::key::{Key, TaskRef};
use skep_api::object::{Object, Typed};
use skep_api::task::{DesiredState, Task, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::controller::{Controller, Moment, World};
use skep_runtime::plan::{Change, Expect, Plan, Transaction};
use skep_runtime::table::{Entry, Versioned};

/// How long the run of a job takes. Long enough that whoever waits for room is told so first.
const RUN: Span = Span::from_secs(10);

/// The agents of all nodes.
pub(super) struct Agents;

/// What agents know.
#[derive(Default)]
pub(super) struct AgentsWorld {
    /// By node, and there by task.
    tasks: BTreeMap<NodeId, BTreeMap<TaskRef, Record>>,
    /// Where each session was created.
    sessions: BTreeMap<NodeId, i64>,
    /// Where each node's spec was created.
    nodes: BTreeMap<NodeId, i64>,
    /// From when on runs of jobs end; `None`: they go on for ever.
    pub(super) runs_end_from: Option<Timestamp>,
}

/// A task on a node, as far as it is known.
#[derive(Default)]
struct Record {
    task: Option<Versioned<Task>>,
    status: Option<Versioned<TaskStatus>>,
    /// Whether what is said of it does not decode.
    is_damaged: bool,
}

/// What an agent says of a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Say {
    task: TaskRef,
    task_modified: i64,
    node_created: i64,
    session_created: i64,
    said: Expect,
    status: Arc<TaskStatus>,
}

impl Change for Say {
    fn transaction(&self) -> Transaction {
        let key = Key::TaskStatus(self.task.clone());
        let stands = Transaction::new()
            .modified(Key::Task(self.task.clone()), self.task_modified)
            .guard(key.clone(), self.said);
        let on_node = self.task.place.node().into_iter().fold(stands, |stands, node| {
            stands
                .created(Key::Node(node.clone()), self.node_created)
                .created(Key::NodeSession(node.clone()), self.session_created)
        });
        on_node.put(key, Object::TaskStatus(Arc::clone(&self.status)))
    }
}

impl World for AgentsWorld {
    type Key = TaskRef;

    fn new(_cluster: &str) -> Self {
        Self::default()
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other kinds there are is no matter of agents.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<TaskRef> {
        match key {
            Key::Node(node) => set_created(&mut self.nodes, node, entry),
            Key::NodeSession(node) => set_created(&mut self.sessions, node, entry),
            Key::Task(task) => return self.edit(task, |record| record.task = typed(entry)),
            Key::TaskStatus(task) => {
                return self.edit(task, |record| {
                    record.status = typed(entry);
                    record.is_damaged = entry.is_some_and(|entry| entry.value.is_err());
                });
            }
            _ => return Vec::new(),
        }
        let node = if let Key::Node(node) | Key::NodeSession(node) = key { Some(node) } else { None };
        node.and_then(|node| self.tasks.get(node)).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    fn all(&self) -> Vec<TaskRef> {
        self.tasks.values().flat_map(BTreeMap::keys).cloned().collect()
    }
}

impl AgentsWorld {
    fn edit(&mut self, task: &TaskRef, edit: impl FnOnce(&mut Record)) -> Vec<TaskRef> {
        let Some(node) = task.place.node() else { return Vec::new() };
        let tasks = self.tasks.entry(node.clone()).or_default();
        let record = tasks.entry(task.clone()).or_default();
        edit(record);
        if record.task.is_none() && record.status.is_none() {
            tasks.remove(task);
        }
        vec![task.clone()]
    }
}

fn set_created(created: &mut BTreeMap<NodeId, i64>, node: &NodeId, entry: Option<&Entry>) {
    match entry {
        Some(entry) => created.insert(node.clone(), entry.stamp.created),
        None => created.remove(node),
    };
}

fn typed<T: Typed>(entry: Option<&Entry>) -> Option<Versioned<T>> {
    let entry = entry?;
    let value = T::from_object(entry.value.as_ref().ok()?)?;
    Some(Versioned { value, stamp: entry.stamp })
}

impl Controller for Agents {
    type World = AgentsWorld;
    type Change = Say;
    const NAME: &'static str = "agent";

    fn plan(world: &AgentsWorld, at: &TaskRef, moment: Moment) -> Plan<Say> {
        let mut plan = Plan::default();
        let Some(node) = at.place.node() else { return plan };
        let record = world.tasks.get(node).and_then(|tasks| tasks.get(at));
        let Some(record) = record.filter(|record| !record.is_damaged) else { return plan };
        let (Some(task), Some(session), Some(spec)) =
            (&record.task, world.sessions.get(node), world.nodes.get(node))
        else {
            return plan;
        };
        let old = record.status.as_ref();
        let state = old.map_or(TaskState::Assigned, |status| status.state);
        let goal = match goal(world, task, old, moment.now) {
            Ok(goal) => goal,
            Err(later) => {
                plan.look_again_at(later);
                return plan;
            }
        };
        if state.is_terminal() || state >= goal {
            return plan;
        }
        plan.write(Say {
            task: at.clone(),
            task_modified: task.stamp.modified,
            node_created: *spec,
            session_created: *session,
            said: old.map_or(Expect::Absent, Versioned::modified),
            status: Arc::new(status(old.map(|old| &*old.value), goal, moment.now)),
        });
        plan
    }
}

/// How far a task is to come; when to look again if that is as far as it is.
fn goal(
    world: &AgentsWorld,
    task: &Task,
    old: Option<&Versioned<TaskStatus>>,
    now: Timestamp,
) -> Result<TaskState, Timestamp> {
    Ok(match task.desired {
        DesiredState::Ready => TaskState::Ready,
        DesiredState::Running => TaskState::Running,
        DesiredState::Complete => match (old, world.runs_end_from) {
            (Some(old), Some(from)) if old.state == TaskState::Running => {
                let ends = old.since.max(from).after(RUN);
                if ends > now {
                    return Err(ends);
                }
                TaskState::Complete
            }
            _ => TaskState::Running,
        },
        DesiredState::Shutdown | DesiredState::Remove => TaskState::Shutdown,
    })
}

fn status(old: Option<&TaskStatus>, state: TaskState, now: Timestamp) -> TaskStatus {
    let is_up = state == TaskState::Running;
    TaskStatus {
        state,
        since: now,
        message: "in the sandbox".to_owned(),
        error: None,
        started: old.and_then(|old| old.started).or(is_up.then_some(now)),
        running: old.and_then(|old| old.running).or(is_up.then_some(now)),
        draining: None,
        health: None,
        log: Vec::new(),
        container: old.and_then(|old| old.container.clone()),
        ports: old.map(|old| old.ports.clone()).unwrap_or_default(),
        obstacles: Vec::new(),
        remedy: None,
    }
}
