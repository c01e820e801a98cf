//! The scheduler's world in memory, and the two things that are timed: planning, and writing what was planned.

use std::time::Duration;

use skep_api::ident::Uid;
use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::time::{Span, Timestamp};
use skep_runtime::controller::{Controller, Moment, World};
use skep_runtime::plan::{Change as _, Plan, Write};
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{Change, Scheduler, SchedulerWorld, Subject};

use super::field::{self, Field, Item, Owner};
use crate::bench::measure::clock;

/// The cluster's id.
const CLUSTER: &str = "bench";

/// A world, and how far time and etcd's revision are.
pub(super) struct Ground {
    pub(super) world: SchedulerWorld,
    revision: i64,
    pub(super) now: Timestamp,
}

impl Ground {
    pub(super) fn new() -> Self {
        Self { world: SchedulerWorld::new(CLUSTER), revision: 100, now: field::at() }
    }

    /// Adds the services of `field` with their revisions; returns them as owners of tasks.
    pub(super) fn add_services(&mut self, field: &Field) -> Result<Vec<Owner>, String> {
        let mut uids = std::collections::BTreeMap::new();
        for item in field.services()? {
            let uid = Uid::derive(CLUSTER, &item.0.to_string(), self.revision + 1);
            uids.insert(item.0.clone(), uid);
            self.put(item);
        }
        let owners = field.owners(|key| uids.get(key).cloned())?;
        field.revisions(&owners)?.into_iter().for_each(|item| drop(self.put(item)));
        Ok(owners)
    }

    /// Sets a key; returns what is to be planned for it.
    pub(super) fn put(&mut self, (key, object): Item) -> Vec<Subject> {
        let entry = self.entry(object);
        self.world.apply(&key, Some(&entry))
    }

    /// What is at a key that is written now.
    pub(super) fn entry(&mut self, object: Object) -> Entry {
        self.revision += 1;
        Entry { value: Ok(object), stamp: Stamp { created: self.revision, modified: self.revision } }
    }

    /// Deletes a key.
    pub(super) fn delete(&mut self, key: &Key) -> Vec<Subject> {
        self.revision += 1;
        self.world.apply(key, None)
    }

    pub(super) fn plan(&self, subject: &Subject) -> Plan<Change> {
        Scheduler::plan(&self.world, subject, Moment { now: self.now, cut: self.revision })
    }

    /// Writes what a plan says into the world, as the runtime lays a controller's own writes over what it has seen.
    pub(super) fn apply(&mut self, plan: &Plan<Change>) -> Vec<Subject> {
        let mut touched = Vec::new();
        for change in &plan.changes {
            for write in change.transaction().writes {
                touched.extend(match write {
                    Write::Put(key, object) => self.put((key, object)),
                    Write::Delete(key) => self.delete(&key),
                });
            }
        }
        touched
    }

    /// Plans everything that waits until nothing is left to do.
    pub(super) fn settle(&mut self, mut subjects: Vec<Subject>) {
        for _ in 0..ROUNDS_MAX {
            subjects.sort();
            subjects.dedup();
            let mut next = Vec::new();
            for subject in &subjects {
                let plan = self.plan(subject);
                next.extend(self.apply(&plan));
            }
            if next.is_empty() {
                return;
            }
            subjects = next;
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Span::from_millis(millis));
    }
}

/// How many rounds of planning are made outside the clock at most.
const ROUNDS_MAX: usize = 8;

/// What it took to place all tasks.
#[derive(Debug, Default)]
pub(super) struct Placing {
    /// Tasks that were placed.
    pub(super) placed: usize,
    /// Tasks of which was said why they wait.
    pub(super) explained: usize,
    /// In `plan` alone.
    pub(super) planning: Duration,
    /// In the changes' transactions and the world's `apply` of their writes.
    pub(super) applying: Duration,
}

/// Plans and applies until every group is as it stays.
pub(super) fn place(ground: &mut Ground) -> Placing {
    let mut sums = Placing::default();
    let is_waiting = |subject: &Subject| matches!(subject, Subject::Waiting(_));
    let mut queue: std::collections::VecDeque<Subject> =
        ground.world.all().into_iter().filter(is_waiting).collect();
    while let Some(subject) = queue.pop_front() {
        let begin = clock();
        let plan = ground.plan(&subject);
        let planned = clock();
        drop(ground.apply(&plan));
        let applied = clock();
        sums.planning += planned - begin;
        sums.applying += applied - planned;
        let placed = plan.changes.iter().filter(|change| matches!(change, Change::Place { .. })).count();
        sums.placed += placed;
        sums.explained += plan.changes.len() - placed;
        if placed > 0 {
            queue.push_back(subject);
        }
    }
    sums
}
