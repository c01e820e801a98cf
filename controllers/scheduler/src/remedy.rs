//! The smallest change by which a task that waits would be placed.
//!
//! For each node there is one list of steps that takes everything out of the way that speaks against it. The shortest list
//! is proposed; of those of one length, the one with the easier steps (in the order of [`RemedyStep`]), then the one with
//! the smaller amounts, then the one of the node with the first id. A label tells where a machine is, so it is never to be
//! changed for the sake of neighbours alone.

mod labels;
mod message;

use std::collections::BTreeSet;

use skep_api::node::{Availability, NodeSpec, NodeState};
use skep_api::quantity::{Cpus, Memory};
use skep_api::task::{Remedy, RemedyStep};

use crate::filter::{Driver, Lack, Miss, Pinned, Trial};
use crate::fleet::Fleet;
use crate::load::Load;
use crate::node::{Node, NodeNumber};
use crate::words::platform_of;
use labels::Labels;

/// The search for the smallest change, one node after the other.
pub(crate) struct Search<'w> {
    fleet: &'w Fleet,
    labels: Labels<'w>,
    best: Option<Candidate<'w>>,
}

/// What would have to be done so that a node takes the task.
struct Candidate<'w> {
    cost: Cost,
    node: &'w Node,
    steps: Vec<RemedyStep>,
}

/// How much that is: the smaller, the better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    steps: usize,
    /// The kinds of steps and how much each is, by kind.
    kinds: Vec<u8>,
    amounts: Vec<u64>,
    node: NodeNumber,
}

impl<'w> Search<'w> {
    /// Nothing found yet.
    pub(crate) fn new(fleet: &'w Fleet) -> Self {
        Self { fleet, labels: Labels::default(), best: None }
    }

    /// Looks at a node that does not fit, for these reasons.
    pub(crate) fn consider(&mut self, trial: &Trial<'w, '_>, misses: &[Miss<'w>]) {
        if self.best.as_ref().is_some_and(|best| best.is_beyond(misses)) && !is_shared(misses) {
            return;
        }
        let with_labels = self.steps(trial, misses, true);
        self.offer(trial, with_labels);
        // With another label a node may come among neighbours that it must not have.
        if !trial.neighbours.is_empty() {
            let without = self.steps(trial, misses, false);
            self.offer(trial, without);
        }
    }

    fn offer(&mut self, trial: &Trial<'w, '_>, steps: Option<Vec<RemedyStep>>) {
        let Some(mut steps) = steps else { return };
        steps.sort_by_cached_key(|step| (kind(step), step.clone()));
        steps.dedup();
        let kinds = steps.iter().map(kind).collect();
        let amounts = steps.iter().map(amount).collect();
        let cost = Cost { steps: steps.len(), kinds, amounts, node: trial.number };
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            self.best = Some(Candidate { cost, node: trial.node, steps });
        }
    }

    /// What would have to be done so that the node takes the task, with other labels where these help, or without; nothing if
    /// nobody can tell.
    fn steps(
        &mut self,
        trial: &Trial<'w, '_>,
        misses: &[Miss<'w>],
        may_label: bool,
    ) -> Option<Vec<RemedyStep>> {
        let (node, id) = (trial.node, || trial.node.id.clone());
        let spec: &NodeSpec = node.spec.as_deref()?;
        let (labels, changed) = self.labels.steps(self.fleet, trial, spec, may_label);
        let mut steps = labels;
        for miss in misses {
            match miss {
                Miss::Closed => steps.extend(opened(node, spec)),
                Miss::Resources(lack) => steps.extend(freed(node, lack)?),
                Miss::Plugins { .. } => {
                    let install = |driver: &Driver| {
                        let kind = driver.sort.name().to_owned();
                        RemedyStep::Install { node: id(), kind, name: driver.name.clone() }
                    };
                    steps.extend(trial.missing_drivers().map(install));
                }
                Miss::Platform => {
                    let platform = platform_of(node.report.as_deref()?);
                    steps.push(RemedyStep::Port { node: id(), platform });
                }
                Miss::HostPort(_) => {
                    let free = |(port, protocol)| RemedyStep::FreePort { node: id(), port, protocol };
                    steps.extend(trial.taken_ports().map(free));
                }
                Miss::MaxReplicas { has } => {
                    steps.push(RemedyStep::RaiseMaxReplicas { to: has.checked_add(trial.need.active)? });
                }
                Miss::Volumes { .. } => {
                    let move_it = |pinned: &Pinned| RemedyStep::MoveVolume {
                        volume: pinned.volume.clone(),
                        node: id(),
                    };
                    steps.extend(trial.volumes_elsewhere().map(move_it));
                }
                // They are looked at below and above, with the labels as they would be.
                Miss::Constraints { .. } | Miss::Affinity { .. } => {}
            }
        }
        let facts = node.facts(changed.as_ref().unwrap_or(spec));
        let dropped: BTreeSet<RemedyStep> = (trial.neighbours.conflicts(trial.site(facts)))
            .map(|conflict| RemedyStep::DropAffinity {
                service: conflict.service.clone(),
                other: conflict.term.other.clone(),
            })
            .collect();
        steps.extend(dropped);
        Some(steps)
    }

    /// The smallest change for a task that needs `need` where nothing is shared.
    pub(crate) fn remedy(self, need: &Load) -> Remedy {
        match self.best {
            Some(best) => {
                Remedy { message: message::of(self.fleet, best.node, &best.steps, need), steps: best.steps }
            }
            None => Remedy { message: message::of_a_new_node(need), steps: Vec::new() },
        }
    }
}

impl Candidate<'_> {
    /// Whether a node with these misses cannot come nearer: each takes a step, and if it is but one, so much of it.
    fn is_beyond(&self, misses: &[Miss<'_>]) -> bool {
        let least = match misses {
            [Miss::Resources(lack)] if lack.generic.is_empty() => match (lack.cpus, lack.memory) {
                (0, memory) => Some((3, memory)),
                (cpus, 0) => Some((2, cpus)),
                _ => None,
            },
            _ => None,
        };
        let kinds = || self.cost.kinds.first().copied().unwrap_or(0);
        let amount = || u128::from(self.cost.amounts.first().copied().unwrap_or(0));
        self.cost.steps < misses.len()
            || self.cost.steps == 1 && least.is_some_and(|least| (kinds(), amount()) <= least)
    }
}

/// Whether one step may take two of the misses away: a label that is changed also changes what is near.
fn is_shared(misses: &[Miss<'_>]) -> bool {
    let has = |wanted: fn(&Miss<'_>) -> bool| misses.iter().any(wanted);
    has(|miss| matches!(miss, Miss::Constraints { .. })) && has(|miss| matches!(miss, Miss::Affinity { .. }))
}

fn opened(node: &Node, spec: &NodeSpec) -> Vec<RemedyStep> {
    let is_dead = node.state != NodeState::Ready || node.session_created.is_none();
    let activate =
        (spec.availability != Availability::Active).then(|| RemedyStep::Activate { node: node.id.clone() });
    let revive = is_dead.then(|| RemedyStep::Revive { node: node.id.clone() });
    activate.into_iter().chain(revive).collect()
}

/// Nothing if so much is missing that no machine has it.
fn freed(node: &Node, lack: &Lack) -> Option<Vec<RemedyStep>> {
    let id = || node.id.clone();
    let (cpus, memory) = (u64::try_from(lack.cpus).ok()?, u64::try_from(lack.memory).ok()?);
    let cpus = (cpus > 0).then(|| RemedyStep::FreeCpus { node: id(), cpus: Cpus::from_nanos(cpus) });
    let memory =
        (memory > 0).then(|| RemedyStep::FreeMemory { node: id(), memory: Memory::from_bytes(memory) });
    let generic = lack.generic.iter().map(|(kind, count)| RemedyStep::FreeGeneric {
        node: id(),
        kind: kind.to_string(),
        count: *count,
    });
    Some(cpus.into_iter().chain(memory).chain(generic).collect())
}

/// The place of the step's kind in [`RemedyStep`].
fn kind(step: &RemedyStep) -> u8 {
    match step {
        RemedyStep::Activate { .. } => 0,
        RemedyStep::Revive { .. } => 1,
        RemedyStep::FreeCpus { .. } => 2,
        RemedyStep::FreeMemory { .. } => 3,
        RemedyStep::FreeGeneric { .. } => 4,
        RemedyStep::Install { .. } => 5,
        RemedyStep::Label { .. } => 6,
        RemedyStep::Unlabel { .. } => 7,
        RemedyStep::Relax { .. } => 8,
        RemedyStep::Port { .. } => 9,
        RemedyStep::FreePort { .. } => 10,
        RemedyStep::RaiseMaxReplicas { .. } => 11,
        RemedyStep::MoveVolume { .. } => 12,
        RemedyStep::DropAffinity { .. } => 13,
    }
}

/// How much the step is of its kind.
fn amount(step: &RemedyStep) -> u64 {
    match step {
        RemedyStep::FreeCpus { cpus, .. } => cpus.as_nanos(),
        RemedyStep::FreeMemory { memory, .. } => memory.as_bytes(),
        RemedyStep::FreeGeneric { count, .. } => *count,
        RemedyStep::RaiseMaxReplicas { to } => (*to).into(),
        RemedyStep::Activate { .. }
        | RemedyStep::Revive { .. }
        | RemedyStep::Install { .. }
        | RemedyStep::Label { .. }
        | RemedyStep::Unlabel { .. }
        | RemedyStep::Relax { .. }
        | RemedyStep::Port { .. }
        | RemedyStep::FreePort { .. }
        | RemedyStep::MoveVolume { .. }
        | RemedyStep::DropAffinity { .. } => 0,
    }
}
