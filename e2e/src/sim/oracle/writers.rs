//! Who may write what, at every commit: one writer per key and phase, and of a controller's processes only the leader.

use std::collections::BTreeMap;

use skep_api::ident::NodeId;
use skep_api::key::{Key, Place};

use super::invariant::{FENCED, ONE_WRITER, TASK_IMMUTABLE, Violation};
use super::view::{View, Written};
use crate::sim::role::Role;

/// A process, as etcd's clients are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// What it does.
    pub(crate) role: Role,
    /// The node that an agent serves.
    pub(crate) node: Option<NodeId>,
    /// Who its session or leader key says it is.
    pub(crate) holder: String,
}

/// The processes that ever ran, by the name of their wire.
pub(crate) type Clients = BTreeMap<String, Client>;

/// Checks who committed `written`; `client` is the name of a wire, or empty for etcd itself.
pub(crate) fn check(
    view: &View,
    clients: &Clients,
    client: &str,
    written: &[Written],
) -> Result<(), Violation> {
    let who = clients.get(client);
    for write in written {
        let is_allowed = match who {
            None => is_etcds(write),
            Some(who) => may_write(who, write),
        };
        ONE_WRITER.check(is_allowed, || format!("{} was written by {client:?}: {write:?}", write.key))?;
        if let Some(who) = who {
            check_value(who, write)?;
        }
    }
    match who {
        Some(who) if who.role.is_controller() && !written.iter().all(is_unfenced) => {
            check_fence(view, who, written)
        }
        Some(_) | None => Ok(()),
    }
}

/// Only a lease that ends makes etcd write by itself.
fn is_etcds(write: &Written) -> bool {
    let is_leased = matches!(write.key, Key::NodeSession(_) | Key::Leader(_) | Key::Event(_));
    is_leased && write.entry.is_none()
}

fn is_unfenced(write: &Written) -> bool {
    matches!(write.key, Key::Leader(_) | Key::Event(_))
}

/// Whatever was sent by a process that does not lead any more was refused.
fn check_fence(view: &View, who: &Client, written: &[Written]) -> Result<(), Violation> {
    let leader = who.role.controller().and_then(|name| view.leaders.get(&name));
    let holder = leader.map(|session| session.holder.as_str());
    FENCED.check(holder == Some(who.holder.as_str()), || {
        let keys: Vec<String> = written.iter().map(|write| write.key.to_string()).collect();
        format!("{} committed {}, but the leader is {holder:?}", who.holder, keys.join(", "))
    })
}

fn check_value(who: &Client, write: &Written) -> Result<(), Violation> {
    let Some(entry) = &write.entry else { return Ok(()) };
    if who.role != Role::User
        && let Err(invalid) = &entry.value
    {
        return Err(
            ONE_WRITER.broken(format!("{} was given a value that does not decode: {invalid}", write.key))
        );
    }
    let is_rewritten = matches!(write.key, Key::Revision(..)) && write.existed;
    TASK_IMMUTABLE.check(!is_rewritten, || format!("{} was written again", write.key))
}

/// Whether etcd may have deleted it itself, because its lease was over.
fn is_expired(write: &Written) -> bool {
    write.entry.is_none() && matches!(write.key, Key::NodeSession(_) | Key::Leader(_) | Key::Event(_))
}

fn may_write(who: &Client, write: &Written) -> bool {
    let is_put = write.entry.is_some();
    if is_expired(write) {
        return true;
    }
    let is_own = |node| who.node.as_ref() == Some(node);
    match &write.key {
        Key::Event(_) => who.role.is_controller(),
        Key::Leader(name) => who.role.controller().as_ref() == Some(name),
        Key::NodeSession(node) => is_own(node),
        Key::NodeReport(node) => is_own(node) || !is_put && who.role == Role::Node,
        Key::Node(node) => who.role == Role::User || is_own(node) && is_put && !write.existed,
        Key::Pin(..) => who.role == if is_put { Role::Agent } else { Role::Updater },
        Key::Revision(..) | Key::Rollout(_) => who.role == Role::Updater,
        Key::ServiceStatus(_) => who.role == Role::Replica,
        Key::NodeStatus(_) => who.role == Role::Node,
        Key::Task(task) => match (&task.place, is_put) {
            (Place::Pending, false) => matches!(who.role, Role::Replica | Role::Scheduler),
            (Place::Node(_), true) if !write.existed => who.role == Role::Scheduler,
            (Place::Pending | Place::Node(_), _) => who.role == Role::Replica,
        },
        Key::TaskStatus(task) => match (&task.place, is_put) {
            (Place::Pending, true) => who.role == Role::Scheduler,
            (Place::Pending, false) => matches!(who.role, Role::Replica | Role::Scheduler),
            (Place::Node(node), true) => is_own(node),
            (Place::Node(_), false) => who.role == Role::Replica,
        },
        Key::Eviction(_) => matches!(who.role, Role::Node | Role::Scheduler),
        Key::Control(_) | Key::Change(_) => who.role == Role::User || !is_put && who.role == Role::Updater,
        Key::Service(_)
        | Key::ServiceOwners(_)
        | Key::NodeOwners(_)
        | Key::VolumeOwners(_)
        | Key::ClusterOwners
        | Key::ServiceNameClaim(_)
        | Key::VolumeNameClaim(_)
        | Key::Volume(_)
        | Key::Cluster
        | Key::ClusterId
        | Key::Incarnation
        | Key::Format => who.role == Role::User,
    }
}
