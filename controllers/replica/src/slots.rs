//! The slots of a service: what is in each, and what its tasks say about it.

use std::collections::BTreeMap;

use skep_api::ident::{NodeId, Uid};
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

/// The parts that the wanted tasks of a slot play, seen from the revision that it should run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast<'s, 'a> {
    /// The task that is wanted to run; of several, the one that serves best.
    pub(crate) current: Option<&'s Run<'a>>,
    /// The task that is to take over: prepared only, or started beside the current one, which serves.
    pub(crate) next: Option<&'s Run<'a>>,
    /// A wanted task that is neither: there is nothing left for it to do.
    pub(crate) extra: Option<&'s Run<'a>>,
}

/// The slots of the service `uid`, which is named `service`, with those that only damaged tasks tell of.
pub(crate) fn of<'a>(tasks: &'a Tasks, uid: &Uid, service: &ServiceRef) -> BTreeMap<Slot, SlotView<'a>> {
    let mut slots: BTreeMap<Slot, SlotView<'a>> = tasks
        .slots(uid)
        .into_iter()
        .map(|(slot, runs)| (slot.clone(), SlotView::new(slot.clone(), runs)))
        .collect();
    for at in tasks.damaged(service) {
        if let Some(slot) = parse(at.name.slot()) {
            let view = slots.entry(slot.clone()).or_insert_with(|| SlotView::new(slot, Vec::new()));
            view.damaged = Some(at.name.to_string());
        }
    }
    slots
}

/// The slot that a task's name tells. A node's id may be all digits, but has more of them than a number.
fn parse(text: &str) -> Option<Slot> {
    let node: Option<NodeId> = text.parse().ok();
    node.map(Slot::Node).or_else(|| text.parse().ok().map(Slot::Number))
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
    pub(crate) fn kept(&self) -> impl DoubleEndedIterator<Item = &Run<'a>> {
        self.runs.iter().filter(|run| run.task.desired < DesiredState::Remove)
    }

    /// The tasks that are wanted now or in a moment.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().filter(|run| run.is_wanted())
    }

    /// The parts that the wanted tasks play if the slot should run `revision`.
    pub(crate) fn cast(&self, revision: u64) -> Cast<'_, 'a> {
        let rank = |run: &&Run<'a>| {
            let is_right = run.task.revision == revision;
            (run.is_serving(), run.is_alive(), is_right, run.eviction.is_none(), run.at.name.planned_at())
        };
        let current = self.wanted().filter(|run| run.is_wanted_running()).max_by_key(rank);
        let others = || self.wanted().filter(|run| current.is_none_or(|current| current.at != run.at));
        let is_next = |run: &&Run<'a>| {
            let comes_beside = |current: &Run<'a>| current.is_serving() && is_newer(run, current);
            !run.is_wanted_running() || current.is_some_and(comes_beside)
        };
        let next = others().filter(is_next).last();
        let extra = others().find(|run| next.is_none_or(|next| next.at != run.at));
        Cast { current, next, extra }
    }

    /// The newest task that is prepared and waits.
    pub(crate) fn staged(&self) -> Option<&Run<'a>> {
        self.wanted().filter(|run| run.task.desired == DesiredState::Ready).last()
    }

    /// The task that is wanted to run, whatever revision it should have.
    pub(crate) fn current(&self) -> Option<&Run<'a>> {
        let newest = self.kept().next_back().map_or(0, |run| run.task.revision);
        self.cast(newest).current
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
        let wanted = self.kept().filter(|run| run.is_wanted_running());
        SlotRevisions {
            newest: self.kept().next_back().map(|run| run.task.revision),
            wanted: wanted.map(|run| run.task.revision).collect(),
            running: self
                .kept()
                .rfind(|run| run.state == TaskState::Running && !run.is_lost())
                .map(|run| run.task.revision),
        }
    }
}

/// Whether `run` was made after `other`.
fn is_newer(run: &Run<'_>, other: &Run<'_>) -> bool {
    run.at.name.planned_at() > other.at.name.planned_at()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_task_of_a_node_whose_id_is_all_digits_is_not_one_of_a_numbered_slot() {
        assert_eq!(parse("12"), Some(Slot::Number(12)));
        assert_eq!(parse("000000000012"), Some(Slot::Node(NodeId::from_random(38))));
        assert_eq!(parse("x"), None);
    }
}
