//! Who did what, as etcd and the machine see it: what no agent may do is noted at the instant it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use skep_agent::engine::{Container, Owner};
use skep_agent::labels;
use skep_agent::simulated::{End, Incident, SimulatedEngine};
use skep_api::key::{Key, TaskRef};
use skep_api::object::Object;
use skep_api::task::{DesiredState, TaskState};
use skep_store::Event;
use skep_store::fake::FakeEtcd;

/// What was seen so far. Clones are the same ledger.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    commits: usize,
    states: BTreeMap<TaskRef, TaskState>,
    wanted: BTreeMap<TaskRef, DesiredState>,
    claims: BTreeSet<TaskRef>,
    starts: BTreeMap<TaskRef, u32>,
    violations: Vec<String>,
}

impl Ledger {
    /// Watches etcd and the machine of `owner`.
    pub(crate) fn watch(&self, etcd: &FakeEtcd, machine: &SimulatedEngine, owner: Owner) {
        let ledger = self.clone();
        etcd.on_commit(move |commit| {
            let mut pages = ledger.pages();
            pages.commits += 1;
            commit.events.iter().for_each(|event| pages.see(event));
        });
        let ledger = self.clone();
        machine.set_witness(move |incident| ledger.pages().witness(incident, &owner));
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }

    /// How many transactions etcd has applied.
    pub(crate) fn commits(&self) -> usize {
        self.pages().commits
    }

    /// The most that the container of any task was started.
    pub(crate) fn most_starts(&self) -> u32 {
        self.pages().starts.values().copied().max().unwrap_or_default()
    }

    /// What nobody may do, and somebody did.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.pages().violations.clone()
    }
}

impl Pages {
    fn see(&mut self, event: &Event) {
        match event {
            Event::Put(kv) => {
                if let Some(key) = Key::parse(&kv.key) {
                    self.put(&key, Object::decode(&key, &kv.value).ok());
                }
            }
            Event::Delete { key, .. } => match Key::parse(key) {
                Some(Key::Task(task)) => {
                    self.wanted.remove(&task);
                    self.states.remove(&task);
                }
                Some(Key::Node(_)) => self.wanted.clear(),
                _ => {}
            },
        }
    }

    fn put(&mut self, key: &Key, object: Option<Object>) {
        match (key, object) {
            (Key::Task(task), Some(Object::Task(value))) => {
                self.wanted.insert(task.clone(), value.desired);
            }
            (Key::TaskStatus(task), Some(Object::TaskStatus(status))) => {
                let before = self.states.insert(task.clone(), status.state);
                if before.is_some_and(|before| before > status.state) {
                    self.violations.push(format!("{task} went from {before:?} back to {}", status.state));
                }
                if status.state == TaskState::Starting {
                    self.claims.insert(task.clone());
                }
            }
            _ => {}
        }
    }

    fn witness(&mut self, incident: &Incident, owner: &Owner) {
        let task = |container: &Container| labels::task_of(&container.labels, owner);
        match incident {
            Incident::Started(container) => {
                let Some(task) = task(container) else { return };
                if !self.claims.remove(&task) {
                    self.violations.push(format!("{task} was started without a claim"));
                }
                let starts = self.starts.entry(task.clone()).or_default();
                *starts += 1;
                if *starts > 1 {
                    self.violations.push(format!("{task} was started again"));
                }
            }
            Incident::Ended(container, End::Stopped | End::Removed) => {
                let Some(task) = task(container) else { return };
                let is_wanted =
                    self.wanted.get(&task).is_some_and(|desired| *desired <= DesiredState::Complete);
                let has_ended = self.states.get(&task).is_some_and(|state| state.is_terminal());
                if is_wanted && !has_ended && !container.is_unhealthy() {
                    self.violations.push(format!("{task} was stopped without a reason"));
                }
            }
            Incident::Ended(_, End::ByItself | End::ByPeople | End::Daemon) => {}
        }
    }
}
