//! The slots of a service: what is in each, and what its tasks say about it.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::ServiceRef;
use skep_api::rollout::SlotRevisions;
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_runtime::tasks::{Run, Tasks};

/// One slot with its tasks.
#[derive(Debug)]
pub(crate) struct SlotView<'a> {
    /// Which slot.
    pub(crate) slot: Slot,
    /// Its tasks, the oldest first.
    pub(crate) runs: Vec<Run<'a>>,
    /// The damaged value because of which nothing in it is touched.
    pub(crate) damaged: Option<String>,
}

/// The slots of the service `uid`, which is named `service`, with those that only damaged tasks tell of.
pub(crate) fn of<'a>(tasks: &'a Tasks, uid: &Uid, service: &ServiceRef) -> BTreeMap<Slot, SlotView<'a>> {
    let mut slots: BTreeMap<Slot, SlotView<'a>> = tasks
        .slots(uid)
        .into_iter()
        .map(|(slot, runs)| (slot.clone(), SlotView::new(slot.clone(), runs)))
        .collect();
    for at in tasks.damaged(service) {
        if let Ok(number) = at.name.slot().parse() {
            let slot = Slot::Number(number);
            let view = slots.entry(slot.clone()).or_insert_with(|| SlotView::new(slot, Vec::new()));
            view.damaged = Some(at.name.to_string());
        }
    }
    slots
}

impl<'a> SlotView<'a> {
    fn new(slot: Slot, runs: Vec<Run<'a>>) -> Self {
        let damaged = runs.iter().find(|run| run.is_damaged()).map(|run| run.at.name.to_string());
        Self { slot, runs, damaged }
    }

    /// A slot in which nothing is yet.
    pub(crate) fn empty(slot: Slot) -> Self {
        Self::new(slot, Vec::new())
    }

    /// Whether the slot is one of the service's: not all of its tasks are to be removed.
    pub(crate) fn is_kept(&self) -> bool {
        self.damaged.is_some() || self.kept().next().is_some()
    }

    /// The tasks that are not to be removed.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().filter(|run| run.task.desired < DesiredState::Remove)
    }

    /// The tasks that are wanted now or in a moment.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().filter(|run| run.is_wanted())
    }

    /// The newest task that is prepared and waits.
    pub(crate) fn staged(&self) -> Option<&Run<'a>> {
        self.wanted().filter(|run| run.task.desired == DesiredState::Ready).last()
    }

    /// The task that is wanted RUNNING; of several, one that serves, else the newest.
    pub(crate) fn current(&self) -> Option<&Run<'a>> {
        let current = self.wanted().filter(|run| run.task.desired != DesiredState::Ready);
        current.max_by_key(|run| (run.is_serving(), run.is_alive(), run.at.name.planned_at()))
    }

    /// A wanted task that is neither the current nor the staged one: there should be none.
    pub(crate) fn extra(&self) -> Option<&Run<'a>> {
        let (current, staged) = (self.current().map(|run| run.at), self.staged().map(|run| run.at));
        self.wanted().find(|run| Some(run.at) != current && Some(run.at) != staged)
    }

    /// The task that serves.
    pub(crate) fn serving(&self) -> Option<&Run<'a>> {
        self.runs.iter().rev().find(|run| run.is_serving())
    }

    /// The tasks besides `run` that are alive.
    pub(crate) fn alive_besides(&self, run: Option<&Run<'a>>) -> Vec<&Run<'a>> {
        let others = self.runs.iter().filter(|other| run.is_none_or(|run| run.at != other.at));
        others.filter(|other| other.is_alive()).collect()
    }

    /// What the tasks say about the slot's revision.
    pub(crate) fn revisions(&self) -> SlotRevisions {
        let wanted = self.kept().filter(|run| run.task.desired == DesiredState::Running);
        SlotRevisions {
            newest: self.kept().last().map(|run| run.task.revision),
            wanted: wanted.map(|run| run.task.revision).collect(),
            running: self
                .kept()
                .filter(|run| run.state == TaskState::Running && !run.is_lost())
                .last()
                .map(|run| run.task.revision),
        }
    }
}
