//! A machine that has become smaller than what its tasks have set aside: who may stay.
//!
//! The oldest tasks are let in one by one, and who does not fit any more has to leave. So the choice is the same
//! whenever it is made, and nobody who leaves would fit in beside those who stay.

use std::collections::BTreeMap;

use crate::explain::shortage;
use crate::load::Load;
use crate::node::Node;
use crate::record::{Record, TaskId};

/// What the tasks that stay take together.
#[derive(Debug)]
pub(crate) struct Crowd {
    cpus: u128,
    memory: u128,
    taken: Load,
    /// By task: what it takes, and what those take that are staged beside it.
    berths: BTreeMap<TaskId, (Load, Load)>,
}

impl Crowd {
    /// Whether the tasks of `node` hold more than it has. A machine of which nothing was measured is not too small.
    pub(crate) fn is_possible(node: &Node) -> bool {
        let Some((cpus, memory)) = measured(node) else { return false };
        let held = node.ledger.load();
        held.cpus > cpus || held.memory > memory
    }

    /// Nobody on `node` yet.
    pub(crate) fn new(node: &Node) -> Self {
        let (cpus, memory) = measured(node).unwrap_or((u128::MAX, u128::MAX));
        Self { cpus, memory, taken: Load::default(), berths: BTreeMap::new() }
    }

    /// What is missing for `task` to stay as well, in words.
    pub(crate) fn lacks(&self, id: &TaskId, record: &Record) -> Option<String> {
        let need = self.need(id, record);
        let lack = |need: u128, taken: u128, has: u128| {
            if need == 0 { 0 } else { taken.saturating_add(need).saturating_sub(has) }
        };
        let cpus = lack(need.cpus, self.taken.cpus, self.cpus);
        let memory = lack(need.memory, self.taken.memory, self.memory);
        (cpus > 0 || memory > 0).then(|| shortage(cpus, memory))
    }

    /// Lets `task` stay.
    pub(crate) fn keep(&mut self, id: &TaskId, record: &Record) {
        let need = self.need(id, record);
        self.taken.add(&need);
        let Some(holding) = &record.holding else { return };
        let berth = self.berths.entry(holding.beside.as_ref().unwrap_or(id).clone()).or_default();
        if holding.beside.is_some() { berth.1.add(&holding.load) } else { berth.0.add(&holding.load) }
    }

    /// What `task` takes beyond those who stay already: one that is staged shares with the one that it replaces.
    fn need(&self, id: &TaskId, record: &Record) -> Load {
        let Some(holding) = &record.holding else { return Load::default() };
        let root = holding.beside.as_ref().unwrap_or(id);
        let (own, staged) = self.berths.get(root).cloned().unwrap_or_default();
        let before = own.clone().or(&staged);
        let (mut own, mut staged) = (own, staged);
        if holding.beside.is_some() {
            staged.add(&holding.load);
        } else {
            own.add(&holding.load);
        }
        let mut need = own.or(&staged);
        need.subtract(&before);
        need
    }
}

/// How much of a core, in thousand-millionths, and how many bytes `node` has.
fn measured(node: &Node) -> Option<(u128, u128)> {
    let capacity = node.report.as_ref()?.capacity;
    let (cpus, memory) = (capacity.cpus.as_nanos().into(), capacity.memory.as_bytes().into());
    (cpus > 0 && memory > 0).then_some((cpus, memory))
}
