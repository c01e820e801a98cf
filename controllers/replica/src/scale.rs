//! Which slots there are: the lowest free numbers come, and those that are missed least go.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::NodeId;
use skep_api::task::{DesiredState, Slot};
use skep_runtime::plan::Plan;

use crate::change::{Change, Forget, Stop};
use crate::scope::Scope;
use crate::slots::SlotView;

/// How much a slot is missed; the lowest go first (SwarmKit, `replicated/services.go`).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Nothing in it is wanted any more: its removal was begun.
    Leaving(Reverse<Slot>),
    /// It has no node, or several tasks.
    Unsettled(bool, Reverse<Slot>),
    /// It is the so-many-th of the service on its node; then: it runs; then: the lower number.
    Settled(Reverse<usize>, bool, Reverse<Slot>),
}

/// The slots that are too many for `replicas`.
pub(crate) fn surplus(slots: &BTreeMap<Slot, SlotView<'_>>, replicas: u32) -> BTreeSet<Slot> {
    let kept: Vec<&SlotView<'_>> = kept(slots).collect();
    let excess = kept.len().saturating_sub(replicas as usize);
    let mut candidates: Vec<&SlotView<'_>> = kept.into_iter().filter(|slot| slot.damaged.is_none()).collect();
    if excess == 0 {
        return BTreeSet::new();
    }
    candidates.sort_by_key(|slot| (slot.serving().is_none(), slot.slot.clone()));
    let mut on_node: BTreeMap<&NodeId, usize> = BTreeMap::new();
    let mut worths: Vec<Worth> = Vec::with_capacity(candidates.len());
    for slot in candidates {
        worths.push(worth(slot, &mut on_node));
    }
    worths.sort();
    worths.into_iter().take(excess).map(Worth::into_slot).collect()
}

fn kept<'s, 'a>(slots: &'s BTreeMap<Slot, SlotView<'a>>) -> impl Iterator<Item = &'s SlotView<'a>> {
    slots.values().filter(|slot| slot.slot.number().is_some() && slot.is_kept())
}

fn worth<'a>(slot: &SlotView<'a>, on_node: &mut BTreeMap<&'a NodeId, usize>) -> Worth {
    let number = Reverse(slot.slot.clone());
    let is_serving = slot.serving().is_some();
    let mut wanted = slot.wanted();
    let (first, second) = (wanted.next(), wanted.next());
    let Some(only) = first else { return Worth::Leaving(number) };
    match only.at.place.node() {
        Some(node) if second.is_none() => {
            let copies = on_node.entry(node).or_default();
            *copies += 1;
            Worth::Settled(Reverse(*copies), is_serving, number)
        }
        Some(_) | None => Worth::Unsettled(is_serving, number),
    }
}

impl Worth {
    fn into_slot(self) -> Slot {
        match self {
            Self::Leaving(slot) | Self::Unsettled(_, slot) | Self::Settled(_, _, slot) => slot.0,
        }
    }
}

/// The lowest unused slots, as many as are missing from `replicas`.
pub(crate) fn missing(slots: &BTreeMap<Slot, SlotView<'_>>, replicas: u32) -> Vec<Slot> {
    let kept = kept(slots).count();
    let is_free = |slot: &Slot| slots.get(slot).is_none_or(|slot| !slot.is_kept());
    let count = (replicas as usize).saturating_sub(kept);
    (1..=u32::MAX).map(Slot::Number).filter(is_free).take(count).collect()
}

/// Removes everything in a slot that is too many.
pub(crate) fn remove(scope: &Scope<'_>, slot: &SlotView<'_>, plan: &mut Plan<Change>) {
    for run in slot.kept() {
        let because = vec![scope.spec_unchanged()];
        plan.write(Change::Stop(if run.is_ended() {
            Stop::Forget(Forget::new(run, [because, vec![run.still_over()]].concat()))
        } else {
            Stop::new(run, DesiredState::Remove, because)
        }));
    }
}
