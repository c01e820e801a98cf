//! What a change makes of a cluster: before and after.

use std::collections::BTreeMap;

use skep_api::ident::NodeId;
use skep_api::key::{Place, ServiceRef};
use skep_api::task::Slot;
use skep_api::time::Span;

use crate::failure::count;
use crate::sandbox::Rest;
use crate::sandbox::picture::{NodeSeen, Picture, Wait, service_name, slot_name};

/// What a change makes of a cluster.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The change, so that `with {change}, …` is a sentence; nothing if there was no cluster before.
    pub(crate) change: Option<String>,
    /// Words about the answer itself.
    pub(crate) notes: Vec<String>,
    /// Whether nothing moves any more afterwards.
    pub(crate) is_at_rest: bool,
    /// How long it takes, if every container starts at once.
    pub(crate) took: Span,
    /// Every node, by name, as it was and as it will be.
    pub(crate) nodes: Vec<(NodeId, Option<NodeSeen>, Option<NodeSeen>)>,
    /// How many tasks had a node.
    pub(crate) before: usize,
    /// How many have one afterwards.
    pub(crate) after: usize,
    /// Tasks that go elsewhere: slot, from, to.
    pub(crate) moved: Vec<Moved>,
    /// Tasks that have a node only afterwards.
    pub(crate) placed: Vec<Moved>,
    /// Tasks that had a node, and are not wanted any more, or have ended well.
    pub(crate) gone: Vec<Moved>,
    /// Tasks that had a node, and wait for another one.
    pub(crate) stranded: usize,
    /// Who waits afterwards.
    pub(crate) waits: Vec<Wait>,
    /// How many tasks waited before.
    pub(crate) waited: usize,
    /// Services that are not as they are wanted for another reason.
    pub(crate) unready: BTreeMap<ServiceRef, String>,
}

/// What becomes of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// As people write it.
    pub(crate) task: String,
    /// The node's name.
    pub(crate) from: Option<String>,
    /// The node's name.
    pub(crate) to: Option<String>,
}

impl Comparison {
    /// Compares two moments.
    pub(crate) fn of(change: Option<String>, rest: Rest, before: Picture, after: Picture) -> Self {
        let mut compared = Self {
            change,
            notes: Vec::new(),
            is_at_rest: rest.is_at_rest,
            took: rest.took,
            nodes: Vec::new(),
            before: before.tasks(),
            after: after.tasks(),
            moved: Vec::new(),
            placed: Vec::new(),
            gone: Vec::new(),
            stranded: 0,
            waited: before.waiting(),
            waits: Vec::new(),
            unready: BTreeMap::new(),
        };
        compared.follow(&before, &after);
        let mut nodes: BTreeMap<(String, NodeId), (Option<NodeSeen>, Option<NodeSeen>)> = BTreeMap::new();
        for (id, seen) in before.nodes {
            let name = seen.name.clone();
            nodes.entry((name, id)).or_default().0 = Some(seen);
        }
        for (id, seen) in after.nodes {
            let name = seen.name.clone();
            nodes.entry((name, id)).or_default().1 = Some(seen);
        }
        compared.nodes = nodes.into_iter().map(|((_, id), (old, new))| (id, old, new)).collect();
        (compared.waits, compared.unready) = (after.waits, after.unready);
        compared
    }

    fn follow(&mut self, before: &Picture, after: &Picture) {
        let everywhere: BTreeMap<&NodeId, &NodeSeen> = before.nodes.iter().chain(&after.nodes).collect();
        let name = |place: Option<&Place>| {
            let node = place.and_then(Place::node)?;
            Some(everywhere.get(node).map_or_else(|| node.to_string(), |seen| seen.name.clone()))
        };
        let moved = |slot: &(ServiceRef, Slot)| Moved {
            task: slot_name(
                &slot.0,
                &slot.1,
                if after.nodes.is_empty() { &before.nodes } else { &after.nodes },
            ),
            from: name(before.slots.get(slot)),
            to: name(after.slots.get(slot)),
        };
        for (slot, old) in &before.slots {
            let new = after.slots.get(slot);
            match (old, new) {
                (Place::Node(_), None) => self.gone.push(moved(slot)),
                (Place::Node(_), Some(Place::Pending)) => self.stranded += 1,
                (Place::Node(from), Some(Place::Node(to))) if from != to => self.moved.push(moved(slot)),
                (Place::Pending, Some(Place::Node(_))) => self.placed.push(moved(slot)),
                (Place::Node(_), Some(Place::Node(_))) | (Place::Pending, None | Some(Place::Pending)) => {}
            }
        }
        for (slot, _) in after.slots.iter().filter(|(_, place)| place.node().is_some()) {
            if !before.slots.contains_key(slot) {
                self.placed.push(moved(slot));
            }
        }
    }

    /// How many tasks wait for a node afterwards.
    pub(crate) fn waiting(&self) -> usize {
        self.waits.iter().map(|wait| wait.slots.len()).sum()
    }

    /// One sentence that says the outcome.
    pub(crate) fn outcome(&self) -> String {
        let what = match &self.change {
            Some(change) => format!("With {change}, {}", self.movement()),
            None => format!("{} on {}", tasks(self.after, "has", "have", "a node"), nodes(self.nodes.len())),
        };
        let ends = if self.is_at_rest { "" } else { "; it had not come to rest when two hours were over" };
        format!("{what}; {}{ends}.", self.rest())
    }

    fn movement(&self) -> String {
        let mut parts = Vec::new();
        if !self.moved.is_empty() || self.placed.is_empty() && self.gone.is_empty() && self.stranded == 0 {
            parts.push(match self.moved.len() {
                0 => "no task moves".to_owned(),
                1 => format!("1 of {} moves", count(self.before, "task")),
                many => format!("{many} of {} move", count(self.before, "task")),
            });
        }
        if self.stranded > 0 {
            parts.push(
                tasks(self.stranded, "loses", "lose", "its node").replace("lose its node", "lose their node"),
            );
        }
        if !self.placed.is_empty() {
            parts.push(tasks(self.placed.len(), "starts", "start", ""));
        }
        if !self.gone.is_empty() {
            parts.push(tasks(self.gone.len(), "ends", "end", ""));
        }
        match parts.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => parts.concat(),
        }
    }

    fn rest(&self) -> String {
        let mut services: Vec<String> = self.waits.iter().map(|wait| service_name(&wait.service)).collect();
        services.dedup();
        let of = match services.as_slice() {
            [] => String::new(),
            [one] => format!(" of {one}"),
            [one, two] => format!(" of {one} and {two}"),
            [_, _, ..] => format!(" of {} services", services.len()),
        };
        let waits = match self.waiting() {
            0 => "nothing waits for a node".to_owned(),
            1 => format!("1 task{of} waits for a node"),
            many => format!("{many} tasks{of} wait for a node"),
        };
        match self.waited {
            waited if self.change.is_some() && waited > 0 && self.waiting() > 0 => {
                format!("{waits} ({waited} did before)")
            }
            _ => waits,
        }
    }
}

fn tasks(number: usize, one: &str, many: &str, rest: &str) -> String {
    let verb = if number == 1 { one } else { many };
    let words = match number {
        0 => format!("no task {one} {rest}"),
        _ => format!("{} {verb} {rest}", count(number, "task")),
    };
    words.trim_end().to_owned()
}

fn nodes(number: usize) -> String {
    count(number, "node")
}
