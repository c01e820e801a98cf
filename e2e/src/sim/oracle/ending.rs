//! What a cluster has become, without what only its history explains: to be compared with what a fresh one becomes that is
//! given the same specs (Acto's oracle: the end depends on the last specs alone).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use skep_api::condition::{Condition, Truth};
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Place, ServiceRef};
use skep_api::node::{Availability, NodeState};
use skep_api::rollout::Revision;
use skep_api::service::{Mode, ServiceSpec};
use skep_api::task::{Slot, TaskState};

use super::invariant::{LAST_SPECS_DECIDE, Violation};
use super::placement::obstacle;
use super::rest::{Rest, is_running};
use super::view::{Seen, View};

/// What a cluster has become.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    services: BTreeMap<ServiceRef, Service>,
    nodes: BTreeMap<NodeId, (NodeState, Truths)>,
    /// The nodes that keep what they have, and get nothing more.
    paused: BTreeSet<NodeId>,
}

/// Which conditions hold, by their types.
type Truths = BTreeMap<String, Truth>;

/// What a service has become.
#[derive(Debug, PartialEq)]
struct Service {
    conditions: Truths,
    /// What there is of a service that decodes.
    tasks: Option<Tasks>,
}

/// What the tasks of a service have become.
#[derive(Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // Each is an excuse of its own.
struct Tasks {
    mode: Mode,
    /// What people want in a container.
    content: Option<String>,
    /// What runs, by slot. Which numbers the slots have is history: scaling down chooses among them by their nodes.
    running: BTreeMap<Slot, Option<String>>,
    /// The slots that wait for a node.
    waiting: BTreeSet<Slot>,
    /// The slots of a job that have come to their end.
    done: BTreeSet<Slot>,
    /// Whether its last update failed while faults lasted: it is held, was taken back, or went on without some slots.
    is_held: bool,
    /// Whether a slot waits for a node that it may be on, but that has no room.
    is_crowded: bool,
    /// Whether a task runs on a node that takes none: it has nowhere else to go, or is left where it is.
    is_settled_in: bool,
    /// Whether a node that is paused was lost with a task of it: nobody can say what became of that.
    is_unknown: bool,
}

impl Ending {
    /// What the cluster has become, given the containers of its machines.
    pub(super) fn of(rest: &Rest<'_>) -> Self {
        let view = rest.view;
        let tasks: Vec<Seen> = view.tasks().collect();
        let names = view.services.iter().map(|(name, _)| name).chain(view.services.invalid_keys());
        let services = names.map(|name| (name.clone(), Service::of(rest, name, &tasks))).collect();
        let alive = |node: &&NodeId| rest.machines.contains_key(*node);
        let states = view.node_statuses.iter().filter(|(node, _)| alive(node));
        let nodes =
            states.map(|(node, status)| (node.clone(), (status.state, truths(&status.conditions)))).collect();
        let is_paused = |node: &&NodeId| {
            view.nodes.get(node).is_some_and(|node| node.availability == Availability::Pause)
        };
        let paused = rest.machines.keys().filter(is_paused).cloned().collect();
        Self { services, nodes, paused }
    }

    /// Checks that this is what `fresh` has become, as far as history does not excuse a difference.
    pub(crate) fn check(&self, fresh: &Self) -> Result<(), Violation> {
        LAST_SPECS_DECIDE.check(self.nodes == fresh.nodes, || {
            format!("the nodes are {:?}, but of a fresh cluster {:?}", self.nodes, fresh.nodes)
        })?;
        let (ours, theirs) = (self.services.keys(), fresh.services.keys());
        LAST_SPECS_DECIDE.check(ours.clone().eq(theirs.clone()), || {
            format!("the services are {ours:?}, but of a fresh cluster {theirs:?}")
        })?;
        for ((name, service), theirs) in self.services.iter().zip(fresh.services.values()) {
            if let Some(difference) = service.difference(theirs, &self.paused) {
                return Err(LAST_SPECS_DECIDE.broken(format!(
                    "{name}: {difference}: it has become {service:?}, and in a fresh cluster {theirs:?}"
                )));
            }
        }
        Ok(())
    }
}

impl Service {
    fn of(rest: &Rest<'_>, name: &ServiceRef, tasks: &[Seen]) -> Self {
        let status = rest.view.service_statuses.get(name);
        let conditions = status.map(|status| truths(&status.conditions)).unwrap_or_default();
        let uid = rest.view.uid_of(name);
        let spec = rest.view.services.get(name).zip(uid);
        let tasks = spec.map(|(service, uid)| {
            let own = rest.own(&uid, tasks);
            let is_unknown = |task: &Seen| task.task.uid == uid && task.is_live() && rest.is_frozen(task);
            Tasks::of(rest, &service.spec, &uid, &own, tasks.iter().any(is_unknown))
        });
        Self { conditions, tasks }
    }

    /// In what it differs from what it is in a fresh cluster without an excuse.
    fn difference(&self, fresh: &Self, paused: &BTreeSet<NodeId>) -> Option<&'static str> {
        let (Some(ours), Some(theirs)) = (&self.tasks, &fresh.tasks) else {
            // What does not decode keeps the tasks that it had when it still did: a fresh cluster has made none.
            let accepted = |service: &Self| service.conditions.get("Accepted").copied();
            let is_alike = self.tasks.is_none() && fresh.tasks.is_none() && accepted(self) == accepted(fresh);
            return (!is_alike).then_some("it decodes in one of them only, or is not told to be wrong");
        };
        if let Some(difference) = ours.difference(theirs, paused) {
            return Some(difference);
        }
        // Conditions say what an update that failed is held by, what waits for room, and what is left where it is: that is
        // excused above.
        let waits = |tasks: &Tasks| tasks.waiting.len();
        let is_excused = ours.is_held
            || ours.is_settled_in
            || ours.is_unknown
            || waits(ours) != waits(theirs)
            || ours.is_moved(theirs, paused);
        (!is_excused && self.conditions != fresh.conditions).then_some("the conditions differ")
    }
}

impl Tasks {
    fn of(rest: &Rest<'_>, spec: &ServiceSpec, uid: &Uid, own: &[&Seen], is_unknown: bool) -> Self {
        let view = rest.view;
        let is_job = matches!(spec.mode, Mode::ReplicatedJob | Mode::GlobalJob);
        let completions = spec.job.as_ref().map_or(1, |job| job.completions);
        let rollout = view.rollouts.get(uid);
        let target = rollout.map(|rollout| rollout.target);
        let alive = || own.iter().filter(|task| task.is_live() && task.is_wanted());
        let running = || alive().filter(|task| is_running(task) && !rest.is_lost(&task.key.place));
        let waiting = || alive().filter(|task| task.key.place == Place::Pending);
        // Fewer runs may be wanted by now, or on fewer nodes.
        let is_asked_for = |task: &Seen| match &task.task.slot {
            Slot::Number(number) => *number < completions,
            Slot::Node(node) => rest.machines.contains_key(node) && obstacle(view, task, node).is_none(),
        };
        let is_done = |task: &&&Seen| {
            let is_over = is_job && task.state == TaskState::Complete;
            is_over && Some(task.task.revision) == target && is_asked_for(task)
        };
        let latest = view.revisions.iter().filter(|((of, _), _)| of == uid).last();
        let is_held = rollout.is_some_and(|rollout| rollout.failure.is_some());
        let may_take = |task: &Seen| rest.machines.keys().any(|node| obstacle(view, task, node).is_none());
        let takes_none =
            |task: &Seen| task.key.place.node().is_some_and(|node| obstacle(view, task, node).is_some());
        Self {
            mode: spec.mode,
            content: latest.map(|(_, held)| content(held)),
            running: running().map(|task| (task.task.slot.clone(), content_of(view, task))).collect(),
            waiting: waiting().map(|task| task.task.slot.clone()).collect(),
            done: own.iter().filter(is_done).map(|task| task.task.slot.clone()).collect(),
            is_held,
            is_crowded: waiting().any(|task| may_take(task)),
            is_settled_in: running().any(|task| takes_none(task)),
            is_unknown,
        }
    }

    fn difference(&self, fresh: &Self, paused: &BTreeSet<NodeId>) -> Option<&'static str> {
        if self.content != fresh.content {
            return Some("its last revision differs");
        }
        if fresh.is_held || fresh.is_settled_in {
            return Some("in a fresh cluster without faults it is held or where it may not be");
        }
        let wants = |tasks: &Self| tasks.running.keys().chain(&tasks.waiting).collect::<BTreeSet<_>>().len();
        let is_global = matches!(self.mode, Mode::Global | Mode::GlobalJob);
        // Which of them gets the room that is too little for all is decided by who came first; and where the last revision
        // fits nowhere, the one that an update was taken back to may.
        let is_excused = self.is_crowded
            || fresh.is_crowded
            || self.is_settled_in
            || self.is_held && !fresh.waiting.is_empty();
        if is_global {
            if self.nodes(paused) != fresh.nodes(paused) && !is_excused {
                return Some("it runs on other nodes");
            }
        } else if wants(self) != wants(fresh) {
            return Some("another number of tasks is wanted");
        } else if self.running.len() != fresh.running.len() && !is_excused {
            return Some("another number of tasks runs");
        }
        if self.completed(paused) != fresh.completed(paused) && !is_excused {
            return Some("other runs of the job have completed");
        }
        // An update that failed while faults lasted leaves slots at what they ran: rest.rs says at which of the two.
        // What a global service has on a node that is paused is left as it is.
        let is_old =
            |(slot, runs): (&Slot, &Option<String>)| *runs != self.content && !is_paused(slot, paused);
        let may_be_old = self.is_held || !self.waiting.is_empty();
        if !may_be_old && self.running.iter().any(is_old) || fresh.running.iter().any(is_old) {
            return Some("a task runs something else than what is wanted");
        }
        None
    }

    /// The nodes of a global service, without those that are paused: they keep what was there before.
    fn nodes(&self, paused: &BTreeSet<NodeId>) -> BTreeSet<&Slot> {
        let slots = self.running.keys().chain(&self.waiting);
        slots.filter(|slot| !is_paused(slot, paused)).collect()
    }

    /// The runs of a job that have completed; which, only if they belong to nodes.
    fn completed(&self, paused: &BTreeSet<NodeId>) -> BTreeSet<&Slot> {
        self.done.iter().filter(|slot| !is_paused(slot, paused)).collect()
    }

    /// Whether a node that is paused holds something of it in one of the two only.
    fn is_moved(&self, fresh: &Self, paused: &BTreeSet<NodeId>) -> bool {
        let all = |tasks: &Self| -> BTreeSet<Slot> {
            let slots = tasks.running.keys().chain(&tasks.waiting).chain(&tasks.done);
            slots.filter(|slot| is_paused(slot, paused)).cloned().collect()
        };
        all(self) != all(fresh)
    }
}

fn is_paused(slot: &Slot, paused: &BTreeSet<NodeId>) -> bool {
    matches!(slot, Slot::Node(node) if paused.contains(node))
}

/// Which conditions hold, but for what is history: that a service is not rolled back or in a crash loop any more is told
/// only of one that once was, and the clocks of a fresh cluster are right.
fn truths(conditions: &[Condition]) -> Truths {
    let is_history = |condition: &&Condition| match condition.kind.as_str() {
        "RolledBack" | "CrashLooping" => condition.status == Truth::False,
        kind => kind == "ClockSkew",
    };
    let told = conditions.iter().filter(|condition| !is_history(condition));
    told.map(|condition| (condition.kind.clone(), condition.status)).collect()
}

fn content_of(view: &View, task: &Seen) -> Option<String> {
    view.revision_of(&task.task).map(content)
}

/// What is in a container, in short: not which version of the spec it was made of, nor where it was to run, of which a
/// revision is only a record.
fn content(revision: &Revision) -> String {
    let Revision { task, host_ports, volumes, labels, .. } = revision;
    let mut hash = DefaultHasher::new();
    format!("{:?}", (task, host_ports, volumes)).hash(&mut hash);
    format!("{} {:?} {labels:?} {:08x}", task.image, task.env, hash.finish() >> 32)
}
