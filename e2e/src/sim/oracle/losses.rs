//! Invariant 25: what a machine ran that is lost for ever is soon run elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Place, TaskRef};
use skep_api::task::{DesiredState, Slot, TaskState};

use super::placement::fits;
use super::view::{Seen, Step, View};

/// The slots whose task was on a machine when it was lost, or was placed there before anybody knew, and has had no
/// successor since.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    lost: BTreeSet<NodeId>,
    owed: BTreeSet<(Uid, Slot)>,
}

impl Losses {
    /// The machine of `node` is lost.
    pub(crate) fn lose(&mut self, view: &View, node: &NodeId) {
        self.lost.insert(node.clone());
        let there: Vec<Seen> = view.tasks().filter(|task| task.key.place.node() == Some(node)).collect();
        self.owed.extend(there.iter().filter(|task| is_owed(task)).map(Seen::slot));
    }

    /// Takes in what a commit did.
    pub(crate) fn learn(&mut self, steps: &[Step]) {
        if self.lost.is_empty() {
            return;
        }
        for after in steps.iter().filter_map(|step| step.after.as_ref()) {
            if self.is_lost(&after.key.place) {
                if is_owed(after) {
                    self.owed.insert(after.slot());
                }
            } else if is_served_by(after) {
                self.owed.remove(&after.slot());
            }
        }
    }

    /// The slots that are still wanted, and that nothing serves although `alive` has room: each with the task that should.
    pub(crate) fn unserved(&self, view: &View, alive: &[&NodeId]) -> BTreeMap<(Uid, Slot), TaskRef> {
        let mut unserved = BTreeMap::new();
        for slot in &self.owed {
            let tasks: Vec<Seen> = view.tasks().filter(|task| task.slot() == *slot).collect();
            let elsewhere = || tasks.iter().filter(|task| !self.is_lost(&task.key.place));
            if elsewhere().any(is_served_by) {
                continue;
            }
            let has_no_room = |task: &Seen| {
                task.key.place == Place::Pending && !alive.iter().any(|node| fits(view, task, node))
            };
            // While a service does not decode, nothing of it is touched.
            let decodes = |task: &&Seen| view.services.get(&task.task.service).is_some();
            let mut wanted = tasks.iter().filter(|task| task.is_wanted() && task.is_live()).filter(decodes);
            if let Some(task) = wanted.next_back().filter(|task| !has_no_room(task)) {
                unserved.insert(slot.clone(), task.key.clone());
            }
        }
        unserved
    }

    fn is_lost(&self, place: &Place) -> bool {
        place.node().is_some_and(|node| self.lost.contains(node))
    }
}

/// Whether it needs a successor. What belongs to a node goes with it.
fn is_owed(task: &Seen) -> bool {
    task.is_wanted() && task.is_live() && task.slot().1.number().is_some()
}

fn is_served_by(task: &Seen) -> bool {
    let runs = task.state == TaskState::Running
        && matches!(task.task.desired, DesiredState::Running | DesiredState::Complete);
    runs || task.state == TaskState::Complete
}
