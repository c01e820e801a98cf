//! The one place where keys are built and taken apart. A stranger's layout of etcd is this file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ident::{Name, NodeId, RecordId, Stack, TaskName, Uid};

/// Where every key of Skep begins.
pub const ROOT: &str = "/skep/";
/// What controllers watch with one watch: revisions, sessions, specs, statuses, as one range `[start, end)`.
pub const CONTROLLER_RANGE: (&str, &str) = ("/skep/revisions/", "/skep/status0");

/// The most segments that a key has after [`ROOT`].
const SEGMENTS_MAX: usize = 5;

/// What kind of thing an object is. The kinds of networking, storage and git come with their controllers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Kind {
    /// A service: containers that are kept running.
    Service,
    /// A machine.
    Node,
    /// Storage that tasks mount by name.
    Volume,
    /// The cluster's own settings; one object.
    Cluster,
    /// An immutable snapshot of what is baked into a service's containers.
    Revision,
    /// Which revision each slot of a service may run.
    Rollout,
    /// One run of one container.
    Task,
    /// Who changed which spec, when and how.
    Change,
    /// What happened.
    Event,
}

/// The place of a task: not placed yet, or on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Not placed yet: the segment `-`.
    Pending,
    /// On this node.
    Node(NodeId),
}

/// A service, or another object of a stack, by stack and name.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct ServiceRef {
    /// Its stack.
    pub stack: Stack,
    /// Its name within the stack.
    pub name: Name,
}

/// A task by place, stack and name: what a key of a task or of its status says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// Where it is.
    pub place: Place,
    /// The stack of its service.
    pub stack: Stack,
    /// Its name, which never returns.
    pub name: TaskName,
}

/// A key of etcd under [`ROOT`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The cluster's id: random, for ever.
    ClusterId,
    /// Random; new after a restore from a backup.
    Incarnation,
    /// The version of the stored form.
    Format,
    /// A record of a change to specs.
    Change(RecordId),
    /// Something that happened; leased.
    Event(RecordId),
    /// What each manager last applied to a service.
    ServiceOwners(ServiceRef),
    /// What each manager last applied to a volume.
    VolumeOwners(ServiceRef),
    /// What each manager last applied to a node.
    NodeOwners(NodeId),
    /// What each manager last applied to the cluster.
    ClusterOwners,
    /// The claim of a Docker name by a service.
    ServiceNameClaim(String),
    /// The claim of a Docker name by a volume.
    VolumeNameClaim(String),
    /// A numbered snapshot of a service's template.
    Revision(Uid, u64),
    /// The image digest that a revision runs.
    Pin(Uid, u64),
    /// A node's heartbeat; leased.
    NodeSession(NodeId),
    /// The leader of a controller; leased.
    Leader(Name),
    /// What people want of a service.
    Service(ServiceRef),
    /// What people want of a node.
    Node(NodeId),
    /// What people want of a volume.
    Volume(ServiceRef),
    /// The cluster's settings.
    Cluster,
    /// People's word on a rollout.
    Control(ServiceRef),
    /// The state of a service's update.
    Rollout(Uid),
    /// One run of one container.
    Task(TaskRef),
    /// The summary of a service.
    ServiceStatus(ServiceRef),
    /// The summary of a node.
    NodeStatus(NodeId),
    /// What the agent (or, while unplaced, the scheduler) says of a task.
    TaskStatus(TaskRef),
    /// What an agent says of its machine.
    NodeReport(NodeId),
    /// The request that a task leave its node.
    Eviction(TaskRef),
}

impl Place {
    /// The node, if there is one.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Pending => None,
            Self::Node(node) => Some(node),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "-" { Some(Self::Pending) } else { text.parse().ok().map(Self::Node) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("-"),
            Self::Node(node) => node.fmt(f),
        }
    }
}

impl ServiceRef {
    /// The service `name` of `stack`.
    pub fn new(stack: Stack, name: Name) -> Self {
        Self { stack, name }
    }

    /// Docker's name for it: `<stack>_<name>`, or `<name>` in the stack `default`.
    pub fn docker_name(&self) -> String {
        if self.stack == Stack::default() {
            self.name.to_string()
        } else {
            format!("{}_{}", self.stack, self.name)
        }
    }

    fn parse(stack: &str, name: &str) -> Option<Self> {
        Some(Self { stack: stack.parse().ok()?, name: name.parse().ok()? })
    }
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stack, self.name)
    }
}

impl TaskRef {
    fn parse(place: &str, stack: &str, name: &str) -> Option<Self> {
        Some(Self { place: Place::parse(place)?, stack: stack.parse().ok()?, name: name.parse().ok()? })
    }

    /// The same task at another place.
    #[must_use]
    pub fn at(&self, place: Place) -> Self {
        Self { place, stack: self.stack.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.place, self.stack, self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOT)?;
        match self {
            Self::ClusterId => f.write_str("meta/cluster"),
            Self::Incarnation => f.write_str("meta/incarnation"),
            Self::Format => f.write_str("meta/format"),
            Self::Change(id) => write!(f, "log/changes/{id}"),
            Self::Event(id) => write!(f, "log/events/{id}"),
            Self::ServiceOwners(service) => write!(f, "log/owners/services/{service}"),
            Self::VolumeOwners(volume) => write!(f, "log/owners/volumes/{volume}"),
            Self::NodeOwners(node) => write!(f, "log/owners/nodes/{node}"),
            Self::ClusterOwners => f.write_str("log/owners/cluster"),
            Self::ServiceNameClaim(name) => write!(f, "names/services/{name}"),
            Self::VolumeNameClaim(name) => write!(f, "names/volumes/{name}"),
            Self::Revision(uid, number) => write!(f, "revisions/{uid}/{number}"),
            Self::Pin(uid, number) => write!(f, "revisions/{uid}/{number}/pin"),
            Self::NodeSession(node) => write!(f, "sessions/nodes/{node}"),
            Self::Leader(controller) => write!(f, "sessions/controllers/{controller}"),
            Self::Service(service) => write!(f, "spec/services/{service}"),
            Self::Node(node) => write!(f, "spec/nodes/{node}"),
            Self::Volume(volume) => write!(f, "spec/volumes/{volume}"),
            Self::Cluster => f.write_str("spec/cluster"),
            Self::Control(service) => write!(f, "spec/controls/{service}"),
            Self::Rollout(uid) => write!(f, "spec/rollouts/{uid}"),
            Self::Task(task) => write!(f, "spec/tasks/{task}"),
            Self::ServiceStatus(service) => write!(f, "status/services/{service}"),
            Self::NodeStatus(node) => write!(f, "status/nodes/{node}"),
            Self::TaskStatus(task) => write!(f, "status/tasks/{task}"),
            Self::NodeReport(node) => write!(f, "status/reports/{node}"),
            Self::Eviction(task) => write!(f, "status/evictions/{task}"),
        }
    }
}

impl Key {
    /// The claim of `service`'s Docker name.
    pub fn name_claim(service: &ServiceRef) -> Self {
        Self::ServiceNameClaim(service.docker_name())
    }

    /// The key that `text` is, or `None` if this version of Skep knows no such key.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut segments, mut count) = ([""; SEGMENTS_MAX], 0);
        for segment in text.strip_prefix(ROOT)?.split('/') {
            *segments.get_mut(count)? = segment;
            count += 1;
        }
        Some(match segments.get(..count)? {
            ["meta", "cluster"] => Self::ClusterId,
            ["meta", "incarnation"] => Self::Incarnation,
            ["meta", "format"] => Self::Format,
            ["log", "changes", id] => Self::Change(id.parse().ok()?),
            ["log", "events", id] => Self::Event(id.parse().ok()?),
            ["log", "owners", "services", stack, name] => {
                Self::ServiceOwners(ServiceRef::parse(stack, name)?)
            }
            ["log", "owners", "volumes", stack, name] => Self::VolumeOwners(ServiceRef::parse(stack, name)?),
            ["log", "owners", "nodes", node] => Self::NodeOwners(node.parse().ok()?),
            ["log", "owners", "cluster"] => Self::ClusterOwners,
            ["names", "services", name] => Self::ServiceNameClaim((*name).to_owned()),
            ["names", "volumes", name] => Self::VolumeNameClaim((*name).to_owned()),
            ["revisions", uid, number] => Self::Revision(uid.parse().ok()?, parse_number(number)?),
            ["revisions", uid, number, "pin"] => Self::Pin(uid.parse().ok()?, parse_number(number)?),
            ["sessions", "nodes", node] => Self::NodeSession(node.parse().ok()?),
            ["sessions", "controllers", name] => Self::Leader(name.parse().ok()?),
            ["spec", rest @ ..] => Self::parse_spec(rest)?,
            ["status", rest @ ..] => Self::parse_status(rest)?,
            _ => return None,
        })
    }

    fn parse_spec(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["services", stack, name] => Self::Service(ServiceRef::parse(stack, name)?),
            ["nodes", node] => Self::Node(node.parse().ok()?),
            ["volumes", stack, name] => Self::Volume(ServiceRef::parse(stack, name)?),
            ["cluster"] => Self::Cluster,
            ["controls", stack, name] => Self::Control(ServiceRef::parse(stack, name)?),
            ["rollouts", uid] => Self::Rollout(uid.parse().ok()?),
            ["tasks", place, stack, name] => Self::Task(TaskRef::parse(place, stack, name)?),
            _ => return None,
        })
    }

    fn parse_status(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            ["services", stack, name] => Self::ServiceStatus(ServiceRef::parse(stack, name)?),
            ["nodes", node] => Self::NodeStatus(node.parse().ok()?),
            ["tasks", place, stack, name] => Self::TaskStatus(TaskRef::parse(place, stack, name)?),
            ["reports", node] => Self::NodeReport(node.parse().ok()?),
            ["evictions", place, stack, name] => Self::Eviction(TaskRef::parse(place, stack, name)?),
            _ => return None,
        })
    }

    /// Whether controllers see this key: gates and overlays count only these.
    pub fn is_in_controller_range(&self) -> bool {
        // Asked for every write of every controller: it does not take the text, with which a test compares it.
        match self {
            Self::ClusterId
            | Self::Incarnation
            | Self::Format
            | Self::Change(_)
            | Self::Event(_)
            | Self::ServiceOwners(_)
            | Self::VolumeOwners(_)
            | Self::NodeOwners(_)
            | Self::ClusterOwners
            | Self::ServiceNameClaim(_)
            | Self::VolumeNameClaim(_) => false,
            Self::Revision(..)
            | Self::Pin(..)
            | Self::NodeSession(_)
            | Self::Leader(_)
            | Self::Service(_)
            | Self::Node(_)
            | Self::Volume(_)
            | Self::Cluster
            | Self::Control(_)
            | Self::Rollout(_)
            | Self::Task(_)
            | Self::ServiceStatus(_)
            | Self::NodeStatus(_)
            | Self::TaskStatus(_)
            | Self::NodeReport(_)
            | Self::Eviction(_) => true,
        }
    }
}

/// A decimal number without sign or leading zero, so that one number has one key.
fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Prefixes of groups of keys, each ending with `/`.
pub mod prefix {
    use super::{Place, ROOT};
    use crate::ident::Uid;

    /// Every Service spec.
    pub const SERVICES: &str = "/skep/spec/services/";
    /// Every Volume spec.
    pub const VOLUMES: &str = "/skep/spec/volumes/";
    /// Every Node spec.
    pub const NODES: &str = "/skep/spec/nodes/";
    /// Every Task.
    pub const TASKS: &str = "/skep/spec/tasks/";
    /// Every Rollout.
    pub const ROLLOUTS: &str = "/skep/spec/rollouts/";
    /// Every Revision and pin.
    pub const REVISIONS: &str = "/skep/revisions/";
    /// Every status.
    pub const STATUS: &str = "/skep/status/";
    /// Every service's summary.
    pub const SERVICE_STATUSES: &str = "/skep/status/services/";
    /// Every node's summary.
    pub const NODE_STATUSES: &str = "/skep/status/nodes/";
    /// What is said of every task.
    pub const TASK_STATUSES: &str = "/skep/status/tasks/";
    /// Every Eviction.
    pub const EVICTIONS: &str = "/skep/status/evictions/";
    /// Every Control.
    pub const CONTROLS: &str = "/skep/spec/controls/";
    /// Every Change.
    pub const CHANGES: &str = "/skep/log/changes/";
    /// Every Event.
    pub const EVENTS: &str = "/skep/log/events/";
    /// Every lease's key: heartbeats and leaders.
    pub const SESSIONS: &str = "/skep/sessions/";
    /// Every leader.
    pub const LEADERS: &str = "/skep/sessions/controllers/";

    /// The tasks at `place`.
    pub fn tasks_at(place: &Place) -> String {
        format!("{ROOT}spec/tasks/{place}/")
    }

    /// The statuses of the tasks at `place`.
    pub fn task_statuses_at(place: &Place) -> String {
        format!("{ROOT}status/tasks/{place}/")
    }

    /// The revisions of the service `uid`.
    pub fn revisions_of(uid: &Uid) -> String {
        format!("{ROOT}revisions/{uid}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Key> {
        let service = || ServiceRef { stack: "shop".parse().unwrap(), name: "web".parse().unwrap() };
        let uid = || Uid::derive("c", "k", 1);
        let node = || NodeId::from_random(7);
        let task =
            |place| TaskRef { place, stack: "shop".parse().unwrap(), name: "web.1.0000a".parse().unwrap() };
        let id = || RecordId::from_time(1, 2);
        vec![
            Key::ClusterId,
            Key::Incarnation,
            Key::Format,
            Key::Change(id()),
            Key::Event(id()),
            Key::ServiceOwners(service()),
            Key::VolumeOwners(service()),
            Key::ClusterOwners,
            Key::NodeOwners(node()),
            Key::name_claim(&service()),
            Key::VolumeNameClaim("shop_data".to_owned()),
            Key::Revision(uid(), 3),
            Key::Pin(uid(), 3),
            Key::NodeSession(node()),
            Key::Leader("replica".parse().unwrap()),
            Key::Service(service()),
            Key::Node(node()),
            Key::Volume(service()),
            Key::Cluster,
            Key::Control(service()),
            Key::Rollout(uid()),
            Key::Task(task(Place::Pending)),
            Key::Task(task(Place::Node(node()))),
            Key::ServiceStatus(service()),
            Key::NodeStatus(node()),
            Key::TaskStatus(task(Place::Pending)),
            Key::NodeReport(node()),
            Key::Eviction(task(Place::Node(node()))),
        ]
    }

    #[test]
    fn every_key_reads_back_as_itself() {
        for key in all() {
            assert_eq!(Key::parse(&key.to_string()), Some(key.clone()), "{key}");
        }
    }

    #[test]
    fn what_is_not_a_key_of_ours_is_none() {
        for text in [
            "",
            "/skep/",
            "/skep/spec/services/shop",
            "/skep/spec/services/shop/web/x",
            "/skep/spec/services//web",
            "/skep/revisions/abc/1",
            "/skep/spec/tasks/n1/shop/web.1.0000a",
            "/other/spec/cluster",
            "/skep/spec/services/shop/A",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
        assert_eq!(Key::parse(&format!("/skep/revisions/{}/01", Uid::derive("c", "k", 1))), None);
    }

    #[test]
    fn controllers_watch_specs_statuses_sessions_and_revisions_but_no_logs() {
        let outside = all().into_iter().filter(|key| !key.is_in_controller_range()).count();
        assert_eq!(outside, 11, "meta (3), log (6), names (2)");
        for key in all() {
            let text = key.to_string();
            let is_within = text.as_str() >= CONTROLLER_RANGE.0 && text.as_str() < CONTROLLER_RANGE.1;
            assert_eq!(key.is_in_controller_range(), is_within, "{key}");
        }
    }
}
