//! A machine that has become smaller than what its tasks have set aside: who may stay.
//!
//! The oldest tasks are let in one by one, and who does not fit any more has to leave. So the choice is the same
//! whenever it is made, and nobody who leaves would fit in beside those who stay.

use std::collections::BTreeMap;

use skep_api::node::NodeReport;

use crate::filter::Lack;
use crate::load::Load;
use crate::node::Node;
use crate::record::{Record, TaskId};

/// What the tasks that stay take together.
#[derive(Debug)]
pub(crate) struct Crowd<'n> {
    /// What was measured of the machine.
    report: &'n NodeReport,
    taken: Load,
    /// By task: what it takes, and what those take that are staged beside it.
    berths: BTreeMap<TaskId, (Load, Load)>,
}

impl<'n> Crowd<'n> {
    /// Whether the tasks of `node` hold more than it has. A machine of which nothing was measured is not too small.
    pub(crate) fn is_possible(node: &Node) -> bool {
        let Some(report) = measured(node) else { return false };
        Lack::of(node.ledger.load(), [None, None], Some(report)).is_any()
    }

    /// Nobody on `node` yet; nothing if it is not too small for its tasks.
    pub(crate) fn of(node: &'n Node) -> Option<Self> {
        let report = measured(node).filter(|_| Self::is_possible(node))?;
        Some(Self { report, taken: Load::default(), berths: BTreeMap::new() })
    }

    /// What is missing for `task` to stay as well, in words.
    pub(crate) fn lacks(&self, id: &TaskId, record: &Record) -> Option<String> {
        let lack = Lack::of(&self.need(id, record), [Some(&self.taken), None], Some(self.report));
        lack.is_any().then(|| lack.to_string())
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

/// What the agent says of the machine, if it has measured it.
fn measured(node: &Node) -> Option<&NodeReport> {
    let report = node.report.as_deref()?;
    (report.capacity.cpus.as_nanos() > 0 && report.capacity.memory.as_bytes() > 0).then_some(report)
}
