//! At rest: a service that is spread over a level is even there, as far as there is room.

use std::collections::BTreeMap;

use skep_api::ident::NodeId;
use skep_api::service::{Mode, Placement, Rebalance};

use super::affinity::branch;
use super::invariant::{SPREAD_EVENLY, Violation};
use super::placement::{fits, obstacle};
use super::rest::{Rest, is_running};
use super::view::{Seen, View};

/// Checks it for services that are rebalanced; in a fresh cluster for all, for everything there was placed at once.
pub(super) fn check(rest: &Rest<'_>, tasks: &[Seen]) -> Result<(), Violation> {
    for (name, service) in rest.view.services.iter() {
        let placement: &Placement = &service.spec.placement;
        let is_rebalanced = is_rebalanced(rest.view, placement);
        let (Some(level), Some(uid)) = (placement.spread.first(), rest.view.uid_of(name)) else { continue };
        if service.spec.mode != Mode::Replicated || !is_rebalanced && !rest.is_fresh {
            continue;
        }
        let own: Vec<&Seen> = rest.own(&uid, tasks).into_iter().filter(|task| is_running(task)).collect();
        check_level(rest, level, &own)?;
    }
    Ok(())
}

/// Whether tasks are moved to nodes that suit them better.
pub(super) fn is_rebalanced(view: &View, placement: &Placement) -> bool {
    let cluster = view.cluster_spec.as_ref().map(|spec| spec.placement.rebalance);
    placement.rebalance.or(cluster) == Some(Rebalance::WhenIdle)
}

/// No branch has two tasks more than another one that would take one of them.
fn check_level(rest: &Rest<'_>, level: &String, own: &[&Seen]) -> Result<(), Violation> {
    let Some(any) = own.first() else { return Ok(()) };
    let mut branches: BTreeMap<String, (Vec<&NodeId>, Vec<&Seen>)> = BTreeMap::new();
    for node in rest.machines.keys().filter(|node| obstacle(rest.view, any, node).is_none()) {
        branches.entry(branch(rest.view, node, Some(level))).or_default().0.push(node);
    }
    for task in own {
        let Some(node) = task.key.place.node() else { continue };
        if let Some((_, tasks)) = branches.get_mut(&branch(rest.view, node, Some(level))) {
            tasks.push(task);
        }
    }
    for (full, (_, many)) in &branches {
        for (bare, (nodes, few)) in &branches {
            let room = many.iter().find(|task| nodes.iter().any(|node| fits(rest.view, task, node)));
            SPREAD_EVENLY.check(many.len() <= few.len() + 1 || room.is_none(), || {
                let (many, few) = (many.len(), few.len());
                format!("{many} run where {level} is {full:?} and {few} where it is {bare:?}: {room:?} could go there")
            })?;
        }
    }
    Ok(())
}
