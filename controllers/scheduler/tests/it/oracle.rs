//! Judges a cluster by what lies in etcd alone, with nothing of the scheduler's own bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::constraint::NodeFacts;
use skep_api::eviction::Eviction;
use skep_api::ident::NodeId;
use skep_api::key::{Key, Place, TaskRef};
use skep_api::node::{Availability, Generic, NodeReport, NodeSpec, NodeState};
use skep_api::object::Object;
use skep_api::rollout::Revision;
use skep_api::service::{Affinity, Placement};
use skep_api::task::{DesiredState, Slot, Task, TaskState};

use crate::cluster::{Cluster, status_of, tasks};

fn is_live(cluster: &Cluster, key: &TaskRef) -> bool {
    status_of(cluster, key).is_none_or(|status| !status.state.is_terminal())
}

pub(crate) fn revision_of(cluster: &Cluster, task: &Task) -> Revision {
    match cluster.object(&Key::Revision(task.uid.clone(), task.revision)) {
        Some(Object::Revision(revision)) => (**revision).clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn placement_of(cluster: &Cluster, task: &Task) -> Placement {
    match cluster.object(&Key::Service(task.service.clone())) {
        Some(Object::Service(service)) => service.spec.placement.clone(),
        other => panic!("{other:?}"),
    }
}

fn memory(cluster: &Cluster, task: &Task) -> u64 {
    revision_of(cluster, task).task.resources.reservations.amounts().memory.as_bytes()
}

/// How many of the generic resource `GPU` the task takes.
fn gpus(cluster: &Cluster, task: &Task) -> u64 {
    let reserved = revision_of(cluster, task).task.resources.reservations.generic;
    reserved.get("GPU").copied().unwrap_or(0).into()
}

fn ports(cluster: &Cluster, task: &Task) -> Vec<u16> {
    revision_of(cluster, task).host_ports.iter().map(|port| port.published).collect()
}

fn live_on(cluster: &Cluster, node: &NodeId) -> Vec<(TaskRef, Task)> {
    let is_here = |key: &TaskRef| key.place == Place::Node(node.clone());
    tasks(cluster).into_iter().filter(|(key, _)| is_here(key) && is_live(cluster, key)).collect()
}

/// The live task on the same node beside which `task` is only prepared.
fn beside(cluster: &Cluster, here: &[(TaskRef, Task)], key: &TaskRef, task: &Task) -> Option<Task> {
    let state = status_of(cluster, key).map_or(TaskState::Assigned, |status| status.state);
    let never_runs = task.desired >= DesiredState::Shutdown && state < TaskState::Starting;
    let is_staged = task.desired == DesiredState::Ready || never_runs;
    let old = here.iter().find(|(old, _)| Some(&old.name) == task.replaces.as_ref())?;
    is_staged.then(|| old.1.clone())
}

/// How many of the generic resource `GPU` the live tasks of `node` hold.
fn held_gpus(cluster: &Cluster, node: &NodeId) -> u64 {
    let here = live_on(cluster, node);
    let of = |(key, task): &(TaskRef, Task)| {
        let shared = beside(cluster, &here, key, task).map_or(0, |old| gpus(cluster, &old));
        gpus(cluster, task).saturating_sub(shared)
    };
    here.iter().map(of).sum()
}

/// Whether no named value is two live tasks', but for one that is staged beside the other.
fn assert_no_value_is_given_twice(cluster: &Cluster, node: &NodeId) {
    let here = live_on(cluster, node);
    let mut owners: BTreeMap<String, TaskRef> = BTreeMap::new();
    for (key, task) in &here {
        for value in task.generic.values().flatten() {
            let other = owners.insert(value.clone(), key.clone());
            let is_shared = |other: &TaskRef| {
                let replaces = |one: &TaskRef, two: &TaskRef| {
                    here.iter().any(|(key, task)| key == one && task.replaces.as_ref() == Some(&two.name))
                };
                replaces(key, other) || replaces(other, key)
            };
            assert!(other.as_ref().is_none_or(is_shared), "{value} is given to {key} and {other:?}");
        }
    }
}

/// Whether the task may be where `spec` is, as far as others are near.
fn suits_neighbours(cluster: &Cluster, key: &TaskRef, task: &Task, spec: &NodeSpec) -> bool {
    let active: Vec<(Task, NodeSpec)> = nodes(cluster)
        .into_iter()
        .flat_map(|(id, spec, _)| {
            let here = live_on(cluster, &id).into_iter().filter(|(other, _)| other.name != key.name);
            here.map(move |(_, task)| (task, spec.clone()))
        })
        .filter(|(task, _)| task.desired <= DesiredState::Complete)
        .collect();
    let is_near = |other: &NodeSpec, level: Option<&str>| match level {
        None => other.name == spec.name,
        Some(level) => {
            let label = level.strip_prefix("node.labels.").expect("a label");
            other.labels.get(label) == spec.labels.get(label)
        }
    };
    let is_there = |name: &str, level: Option<&str>| {
        active.iter().any(|(task, at)| task.service.name.as_str() == name && is_near(at, level))
    };
    let own = placement_of(cluster, task).affinity;
    let is_met = own.iter().all(|term| match (&term.with, &term.apart) {
        (Some(with), _) => is_there(with.as_str(), term.level.as_deref()),
        (None, Some(apart)) => !is_there(apart.as_str(), term.level.as_deref()),
        (None, None) => panic!("a term says nothing"),
    });
    let is_kept_away = active.iter().any(|(other, at)| {
        let theirs = placement_of(cluster, other).affinity;
        let keeps_apart = |term: &Affinity| {
            term.apart.as_ref() == Some(&task.service.name) && is_near(at, term.level.as_deref())
        };
        theirs.iter().any(keeps_apart)
    });
    is_met && !is_kept_away
}

/// Whether the node is the one that has the volumes that the task mounts.
fn has_volumes(cluster: &Cluster, task: &Task, spec: &NodeSpec) -> bool {
    let volumes = revision_of(cluster, task).volumes;
    volumes.values().filter_map(|volume| volume.node.as_ref()).all(|node| *node == spec.name)
}

/// Bytes and ports that the live tasks of `node` hold.
fn held(cluster: &Cluster, node: &NodeId) -> (u64, BTreeMap<u16, u32>) {
    let here = live_on(cluster, node);
    let (mut bytes, mut taken) = (0, BTreeMap::new());
    for (key, task) in &here {
        let old = beside(cluster, &here, key, task);
        bytes += memory(cluster, task).saturating_sub(old.as_ref().map_or(0, |old| memory(cluster, old)));
        let shared = old.map_or(Vec::new(), |old| ports(cluster, &old));
        for port in ports(cluster, task).into_iter().filter(|port| !shared.contains(port)) {
            *taken.entry(port).or_default() += 1;
        }
    }
    (bytes, taken)
}

fn nodes(cluster: &Cluster) -> Vec<(NodeId, NodeSpec, NodeReport)> {
    let of = |key: &Key| match (key, cluster.object(key)) {
        (Key::Node(id), Some(Object::Node(spec))) => match cluster.object(&Key::NodeReport(id.clone())) {
            Some(Object::NodeReport(report)) => Some((id.clone(), (**spec).clone(), (**report).clone())),
            _ => None,
        },
        _ => None,
    };
    cluster.keys().filter_map(of).collect()
}

fn is_open(cluster: &Cluster, id: &NodeId, spec: &NodeSpec) -> bool {
    let ready = matches!(cluster.object(&Key::NodeStatus(id.clone())),
        Some(Object::NodeStatus(status)) if status.state == NodeState::Ready);
    let lives = cluster.object(&Key::NodeSession(id.clone())).is_some();
    ready && lives && spec.availability == Availability::Active
}

/// Invariants 9 and 11 of the architecture: nothing is given away twice.
pub(crate) fn assert_nothing_is_overcommitted(cluster: &Cluster) {
    for (id, spec, report) in nodes(cluster) {
        let (bytes, taken) = held(cluster, &id);
        assert!(bytes <= report.capacity.memory.as_bytes(), "{} holds {bytes} bytes", spec.name);
        let has = report.generic.get("GPU").map_or(0, Generic::count);
        assert!(held_gpus(cluster, &id) <= has, "{} holds more GPUs than {has}", spec.name);
        assert_no_value_is_given_twice(cluster, &id);
        assert!(taken.values().all(|count| *count == 1), "{} has ports {taken:?}", spec.name);
    }
}

/// Invariant 10: at the moment of placing, the node was open and met the constraints.
pub(crate) fn assert_well_placed(cluster: &Cluster, key: &TaskRef, task: &Task) {
    let node = key.place.node().expect("placed");
    let (id, spec, report) = nodes(cluster).into_iter().find(|(id, ..)| id == node).expect("a known node");
    assert!(is_open(cluster, &id, &spec), "{} is closed", spec.name);
    assert!(meets(cluster, task, &id, &spec, &report), "{key} does not suit {}", spec.name);
    assert!(has_volumes(cluster, task, &spec), "{key} has its volumes elsewhere than {}", spec.name);
    assert!(suits_neighbours(cluster, key, task, &spec), "{key} is among the wrong ones on {}", spec.name);
    let values: usize = task.generic.values().map(BTreeSet::len).sum();
    let is_named = matches!(report.generic.get("GPU"), Some(Generic::Named(_)));
    assert_eq!(values as u64, if is_named { gpus(cluster, task) } else { 0 }, "{key}");
}

/// Whether the node has what the service asks for now, and is the task's own if it has one.
fn meets(cluster: &Cluster, task: &Task, id: &NodeId, spec: &NodeSpec, report: &NodeReport) -> bool {
    let is_own = match &task.slot {
        Slot::Node(own) => own == id,
        Slot::Number(_) => true,
    };
    let placement = placement_of(cluster, task);
    is_own && placement.misfit(&NodeFacts { id, spec, report: Some(report) }).is_none()
}

/// The request that the task leave its node.
pub(crate) fn eviction_of(cluster: &Cluster, key: &TaskRef) -> Option<Eviction> {
    match cluster.object(&Key::Eviction(key.clone())) {
        Some(Object::Eviction(eviction)) => Some((**eviction).clone()),
        _ => None,
    }
}

/// Whether the scheduler's request that the task leave must be there (`Some`), or is left as it is (`None`).
pub(crate) fn must_leave(cluster: &Cluster, key: &TaskRef, task: &Task) -> Option<bool> {
    let found = nodes(cluster).into_iter().find(|(id, ..)| Some(id) == key.place.node());
    let Some((id, spec, report)) = found.filter(|_| is_live(cluster, key)) else { return Some(false) };
    if task.desired > DesiredState::Complete {
        return None;
    }
    let may_move = matches!(task.slot, Slot::Number(_)) && spec.availability == Availability::Active;
    Some(may_move && !meets(cluster, task, &id, &spec, &report))
}

/// Whether some node has room for `task`, found by trying it on each.
pub(crate) fn fits_somewhere(cluster: &Cluster, key: &TaskRef, task: &Task) -> bool {
    nodes(cluster).into_iter().any(|(id, spec, report)| {
        let here = live_on(cluster, &id);
        let is_evicted = here
            .iter()
            .any(|(old, _)| Some(&old.name) == task.replaces.as_ref() && eviction_of(cluster, old).is_some());
        let old = beside(cluster, &here, key, task).filter(|_| {
            let others = here.iter().filter(|(_, other)| other.replaces == task.replaces);
            others.count() == 0 && !is_evicted
        });
        let (bytes, taken) = held(cluster, &id);
        let need = memory(cluster, task).saturating_sub(old.as_ref().map_or(0, |old| memory(cluster, old)));
        let shared = old.as_ref().map_or(Vec::new(), |old| ports(cluster, old));
        let more = gpus(cluster, task).saturating_sub(old.as_ref().map_or(0, |old| gpus(cluster, old)));
        let mut wanted = ports(cluster, task).into_iter().filter(|port| !shared.contains(port));
        let limit = placement_of(cluster, task).max_replicas_per_node;
        let is_active = |other: &Task| other.uid == task.uid && other.desired <= DesiredState::Complete;
        let replicas = here.iter().filter(|(key, other)| {
            is_active(other) && beside(cluster, &here, key, other).is_none_or(|old| !is_active(&old))
        });
        let is_relief = old.is_some_and(|old| is_active(&old));
        is_open(cluster, &id, &spec)
            && meets(cluster, task, &id, &spec, &report)
            && has_volumes(cluster, task, &spec)
            && suits_neighbours(cluster, key, task, &spec)
            && (more == 0
                || held_gpus(cluster, &id) + more <= report.generic.get("GPU").map_or(0, Generic::count))
            && (need == 0 || bytes + need <= report.capacity.memory.as_bytes())
            && wanted.all(|port| !taken.contains_key(&port))
            && (limit == 0 || replicas.count() + usize::from(!is_relief) <= limit as usize)
    })
}
