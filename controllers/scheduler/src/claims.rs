//! Which of its node's named generic resources a task gets (SwarmKit, `api/genericresource`): the lowest free ones.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::ident::NodeId;
use skep_api::node::{Generic, NodeReport};
use skep_api::task::Task;

use crate::load::Load;
use crate::node::Node;
use crate::record::TaskId;

/// Values of named generic resources, by kind.
pub(crate) type Named = BTreeMap<String, BTreeSet<String>>;

/// The named values that are in use while a plan is made: those of the tasks that are there, and what the plan has given away.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    taken: BTreeMap<NodeId, Named>,
}

impl Claims {
    /// The values that a task with the load `share` gets on `node`; nothing of kinds that are only counted there. One that
    /// is staged takes over those of `replaced` first: the two are never there at the same time.
    ///
    /// `share` is all that the task takes, also where it is staged.
    pub(crate) fn claim(&mut self, node: &Node, share: &Load, replaced: Option<&TaskId>) -> Named {
        let mut claims = Named::new();
        let Some(report) = node.report.as_ref().filter(|_| !share.generic.is_empty()) else { return claims };
        for (kind, count) in &share.generic {
            let Some(Generic::Named(values)) = report.generic.get(&**kind) else { continue };
            if !self.taken.contains_key(&node.id) {
                self.taken.insert(node.id.clone(), taken(node));
            }
            let Some(taken) = self.taken.get_mut(&node.id) else { continue };
            let inherited = replaced.and_then(|id| held_by(node, id)).and_then(|held| held.get(&**kind));
            let chosen = choose(values, taken.get(&**kind), inherited, *count);
            taken.entry(kind.to_string()).or_default().extend(chosen.iter().cloned());
            claims.insert(kind.to_string(), chosen);
        }
        claims
    }
}

/// The first named value that `task` holds and that its machine no longer has, with its kind. A kind that the machine only
/// counts now, or has none of, is for the count to judge.
pub(crate) fn lost<'t>(report: &NodeReport, task: &'t Task) -> Option<(&'t str, &'t str)> {
    task.generic.iter().find_map(|(kind, held)| {
        let Some(Generic::Named(values)) = report.generic.get(kind) else { return None };
        held.iter().find(|value| !values.contains(*value)).map(|value| (kind.as_str(), value.as_str()))
    })
}

/// `count` of `values`: first those that are inherited, then those that are not taken. A value that the node no longer has
/// is nobody's.
fn choose(
    values: &BTreeSet<String>,
    taken: Option<&BTreeSet<String>>,
    inherited: Option<&BTreeSet<String>>,
    count: u64,
) -> BTreeSet<String> {
    let is_in = |set: Option<&BTreeSet<String>>, value: &String| set.is_some_and(|set| set.contains(value));
    let first = values.iter().filter(|value| is_in(inherited, value));
    let free = values.iter().filter(|value| !is_in(inherited, value) && !is_in(taken, value));
    first.chain(free).take(usize::try_from(count).unwrap_or(usize::MAX)).cloned().collect()
}

/// The values of all tasks on `node` that hold anything.
fn taken(node: &Node) -> Named {
    let mut taken = Named::new();
    let holding = node.ledger.records().filter(|(_, record)| record.holding.is_some());
    for (kind, values) in
        holding.filter_map(|(_, record)| record.task.as_ref()).flat_map(|task| &task.generic)
    {
        taken.entry(kind.clone()).or_default().extend(values.iter().cloned());
    }
    taken
}

fn held_by<'n>(node: &'n Node, id: &TaskId) -> Option<&'n Named> {
    let record = node.ledger.record(id).filter(|record| record.holding.is_some())?;
    let task: &Task = record.task.as_ref()?;
    Some(&task.generic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn the_lowest_free_values_are_chosen_and_what_is_inherited_comes_first() {
        let values = set(&["a", "b", "c", "d"]);
        assert_eq!(choose(&values, None, None, 2), set(&["a", "b"]));
        assert_eq!(choose(&values, Some(&set(&["a", "c"])), None, 2), set(&["b", "d"]));
        let taken = set(&["a", "c"]);
        assert_eq!(choose(&values, Some(&taken), Some(&set(&["c"])), 2), set(&["b", "c"]));
        assert_eq!(choose(&values, Some(&taken), Some(&set(&["c", "gone"])), 1), set(&["c"]));
    }
}
