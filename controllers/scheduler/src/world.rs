//! The scheduler's world: who waits, what each service and revision asks, and what every node has left.

use std::collections::BTreeSet;

use skep_api::cluster::{ClusterPlacement, ClusterSpec};
use skep_api::eviction::Eviction;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{NodeReport, NodeSpec, NodeStatus};
use skep_api::service::Rebalance;
use skep_api::task::{Cause, Task, TaskStatus};
use skep_runtime::controller::World;
use skep_runtime::table::Entry;

use crate::demands::Demands;
use crate::evict;
use crate::fleet::Fleet;
use crate::node::Node;
use crate::pending::Pending;
use crate::plan;
use crate::record::{Record, Request, TaskId};
use crate::rules::{RuleBook, Rules, Ruling};
use crate::subject::{Group, Subject};
use crate::typed::typed;

/// Everything that the scheduler decides from.
#[derive(Debug, Default)]
pub struct SchedulerWorld {
    pub(crate) pending: Pending,
    pub(crate) fleet: Fleet,
    pub(crate) demands: Demands,
    pub(crate) rules: RuleBook,
    /// What holds for services that do not say otherwise.
    pub(crate) settings: ClusterPlacement,
    /// Groups with a placed task that did not find its revision.
    unaccounted: BTreeSet<Group>,
}

impl World for SchedulerWorld {
    type Key = Subject;

    fn new(cluster: &str) -> Self {
        Self { rules: RuleBook::new(cluster), ..Self::default() }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // What other kinds there are, and will be, is no matter of placement.
    fn apply(&mut self, key: &Key, entry: Option<&Entry>) -> Vec<Subject> {
        match key {
            Key::Task(task) => match &task.place {
                Place::Pending => self.set_pending(task, entry),
                Place::Node(node) => self.set_task(node, task, entry),
            },
            Key::TaskStatus(task) => match &task.place {
                Place::Pending => self.set_pending_status(task, entry),
                Place::Node(node) => self.set_status(node, task, entry),
            },
            Key::Eviction(task) => match &task.place {
                Place::Pending => Vec::new(),
                Place::Node(node) => self.set_eviction(node, task, entry),
            },
            Key::Revision(service, number) => {
                self.set_revision(&Group { service: service.clone(), revision: *number }, entry)
            }
            Key::Service(service) => self.set_service(service, entry),
            Key::Node(node) => self.change_machine(node, |node| {
                node.is_known = entry.is_some();
                node.spec = typed::<NodeSpec>(entry);
            }),
            Key::NodeReport(node) => {
                self.change_machine(node, |node| node.report = typed::<NodeReport>(entry))
            }
            Key::NodeSession(node) => {
                self.change_node(node, |node| node.session_created = entry.map(|entry| entry.stamp.created))
            }
            // It is written every few seconds, for what people see in it.
            Key::NodeStatus(node) => {
                let state = typed::<NodeStatus>(entry).map(|status| status.state).unwrap_or_default();
                let is_same = self.fleet.find(node).is_some_and(|(_, node)| node.state == state);
                if is_same { Vec::new() } else { self.change_node(node, |node| node.state = state) }
            }
            Key::Cluster => {
                self.settings =
                    typed::<ClusterSpec>(entry).map(|cluster| cluster.placement).unwrap_or_default();
                self.all()
            }
            _ => Vec::new(),
        }
    }

    fn all(&self) -> Vec<Subject> {
        let placed = self.fleet.ids().cloned().map(Subject::Placed);
        let balanced = self.balanced();
        self.all_waiting().into_iter().chain(placed).chain(balanced).collect()
    }
}

impl SchedulerWorld {
    fn all_waiting(&self) -> Vec<Subject> {
        self.pending.groups().cloned().map(Subject::Waiting).collect()
    }

    fn set_revision(&mut self, group: &Group, entry: Option<&Entry>) -> Vec<Subject> {
        if !self.demands.set(group, entry) {
            return Vec::new();
        }
        let mut touched = Vec::new();
        // A revision comes before its tasks, so they are looked for only when one of them did not find it.
        if entry.is_some() && self.unaccounted.remove(group) {
            for (node, task) in self.fleet.tasks_of(group) {
                self.fleet.edit_task(&node, &task, &self.demands, |_| {});
                touched.push(Subject::Placed(node));
            }
        }
        touched.extend(self.pending.waits(group).then(|| Subject::Waiting(group.clone())));
        touched
    }

    /// Those who wait are placed by the new rules, and those who were placed are judged by them.
    fn set_service(&mut self, service: &ServiceRef, entry: Option<&Entry>) -> Vec<Subject> {
        let uids = self.rules.set(service, entry);
        let mut touched = Vec::new();
        for uid in &uids {
            touched.extend(self.pending.groups_of(uid).cloned().map(Subject::Waiting));
            touched.extend(self.fleet.nodes_of(uid).cloned().map(Subject::Placed));
            touched.extend(self.idle(uid));
        }
        touched
    }

    fn change_node(&mut self, node: &NodeId, edit: impl FnOnce(&mut Node)) -> Vec<Subject> {
        self.fleet.change(node, |_, node| edit(node));
        let mut touched = self.wake(node);
        touched.extend(self.homes_of_moved(node));
        if self.fleet.find(node).is_some_and(|(_, node)| node.opening().is_some()) {
            touched.extend(self.balanced());
        }
        touched
    }

    /// The nodes from which tasks on `node` were asked to move: if it is lost, they may stay there.
    fn homes_of_moved(&self, node: &NodeId) -> Vec<Subject> {
        let Some((_, there)) = self.fleet.find(node) else { return Vec::new() };
        there.ledger.records().filter_map(|(_, record)| self.home_of_moved(record)).collect()
    }

    /// The node from which the task of `record` was to move, if the request still stands.
    fn home_of_moved(&self, record: &Record) -> Option<Subject> {
        let task = record.task.as_ref().filter(|task| task.cause == Cause::Evict)?;
        let replaced = TaskId::named(&task.service.stack, task.replaces.as_ref()?);
        let home = self.fleet.node(self.fleet.home(&replaced)?)?;
        home.ledger.is_evicted(&replaced).then(|| Subject::Placed(home.id.clone()))
    }

    /// The services whose tasks are moved while they are idle.
    fn balanced(&self) -> Vec<Subject> {
        if self.settings.rebalance == Rebalance::Never && !self.rules.has_balanced() {
            return Vec::new();
        }
        let wants = |ruling: &Ruling| ruling.rules.as_ref().is_ok_and(|rules| self.is_balanced(rules));
        let services = self.rules.all().filter(|(_, ruling)| wants(ruling));
        services.map(|(uid, _)| Subject::Balanced(uid.clone())).collect()
    }

    fn is_balanced(&self, rules: &Rules) -> bool {
        rules.replicas.is_some() && rules.rebalance.unwrap_or(self.settings.rebalance) == Rebalance::WhenIdle
    }

    /// Whether all tasks of `uid` that `rules` ask for run, and nothing else is going on with it.
    pub(crate) fn is_idle(&self, uid: &Uid, rules: &Rules) -> bool {
        let calm = self.fleet.calm(uid);
        Some(calm.running) == rules.replicas
            && calm.others == 0
            && self.pending.groups_of(uid).next().is_none()
    }

    /// The service `uid`, if it may have become idle.
    fn idle(&self, uid: &Uid) -> Option<Subject> {
        let rules = self.rules.of(uid)?.rules.as_ref().ok()?;
        (self.is_balanced(rules) && self.is_idle(uid, rules)).then(|| Subject::Balanced(uid.clone()))
    }

    /// The groups that wait and that `node` takes as it is now. What the others are told is refreshed in time.
    fn wake(&self, node: &NodeId) -> Vec<Subject> {
        let Some(number) = self.fleet.number(node) else { return Vec::new() };
        let groups = self.pending.groups().filter(|group| plan::may_fit(self, group, number));
        groups.cloned().map(Subject::Waiting).collect()
    }

    /// The service of the task `id` on `node`, and as how many it counts there; nothing while no service has an affinity.
    fn presence(&self, node: &NodeId, id: &TaskId) -> Option<(ServiceRef, u32)> {
        if !self.rules.has_affinity() {
            return None;
        }
        let (_, node) = self.fleet.find(node)?;
        let record = node.ledger.record(id)?;
        let active = record.holding.as_ref().map_or(0, |holding| holding.load.active);
        Some((record.task.as_ref()?.service.clone(), active))
    }

    /// The groups that wait for, or because of, what became of a task of `service`, wherever it is.
    fn wake_companions(&self, service: &ServiceRef) -> Vec<Subject> {
        let uids = self.rules.companions(service);
        uids.iter().flat_map(|uid| self.pending.groups_of(uid)).cloned().map(Subject::Waiting).collect()
    }

    fn set_pending(&mut self, at: &TaskRef, entry: Option<&Entry>) -> Vec<Subject> {
        let new = typed::<Task>(entry);
        let (groups, old) = self.pending.set_task(at, new.clone());
        if let Some(old) = old {
            self.fleet.succession.remove(at, &old);
        }
        if let Some(task) = &new {
            self.fleet.succession.add(at, task);
        }
        waiting(groups)
    }

    fn set_pending_status(&mut self, at: &TaskRef, entry: Option<&Entry>) -> Vec<Subject> {
        let mut touched = waiting(self.pending.set_status(at, entry));
        // A task that was to be moved stays if there is no better node.
        let replaced = self.pending.waiter(at).filter(|waiter| waiter.task.cause == Cause::Evict);
        let home = replaced.and_then(|waiter| self.fleet.home(&waiter.replaced()?));
        let home = home.and_then(|number| self.fleet.node(number));
        touched.extend(home.map(|node| Subject::Placed(node.id.clone())));
        touched
    }

    /// What tasks on the node are judged by has changed.
    fn change_machine(&mut self, node: &NodeId, edit: impl FnOnce(&mut Node)) -> Vec<Subject> {
        let mut touched = self.change_node(node, edit);
        // With its labels, its tasks have become the neighbours of other nodes.
        let is_affected = |group: &&Group| self.rules.is_affected(&group.service);
        touched.extend(self.pending.groups().filter(is_affected).cloned().map(Subject::Waiting));
        touched.push(Subject::Placed(node.clone()));
        touched
    }

    /// A task that does not decode keeps what it held: its container is still there.
    fn set_task(&mut self, node: &NodeId, at: &TaskRef, entry: Option<&Entry>) -> Vec<Subject> {
        if entry.is_some_and(|entry| entry.value.is_err()) {
            return self.edit_task(node, at, |record| record.is_damaged = true);
        }
        let new = typed::<Task>(entry);
        // Of an own placement only the revision is news, once it is known.
        let known = new.as_ref().filter(|task| task.stamp.modified > 0);
        if known.is_some_and(|task| self.fleet.stamp_task(node, &TaskId::of(at), task)) {
            return Vec::new();
        }
        if let Some(task) = new.as_ref().filter(|task| self.demands.of(task).is_none()) {
            self.unaccounted.insert(Group::of(task));
        }
        if let Some(task) = &new {
            self.fleet.succession.add(at, task);
        }
        let mut old = None;
        let touched = self.edit_task(node, at, |record| {
            old = std::mem::replace(&mut record.task, new);
            record.is_damaged = false;
        });
        if let (None, Some(old)) = (entry, old) {
            self.fleet.succession.remove(at, &old);
        }
        touched
    }

    fn set_status(&mut self, node: &NodeId, task: &TaskRef, entry: Option<&Entry>) -> Vec<Subject> {
        let state = typed::<TaskStatus>(entry).map(|status| status.state);
        self.edit_task(node, task, |record| record.state = state)
    }

    fn set_eviction(&mut self, node: &NodeId, task: &TaskRef, entry: Option<&Entry>) -> Vec<Subject> {
        let request = entry.map(|entry| Request {
            reason: typed::<Eviction>(Some(entry)).map(|eviction| eviction.reason),
            modified: entry.stamp.modified,
        });
        let mut touched = self.edit_task(node, task, |record| record.eviction = request);
        // Whether those who wait may be staged beside it depends on this.
        touched.extend(self.wake(node));
        touched.push(Subject::Placed(node.clone()));
        touched
    }

    /// What is set free may be what others wait for.
    fn edit_task(&mut self, node: &NodeId, task: &TaskRef, edit: impl FnOnce(&mut Record)) -> Vec<Subject> {
        let id = TaskId::of(task);
        let before = self.presence(node, &id);
        let is_freed = self.fleet.edit_task(node, &id, &self.demands, edit);
        let mut touched = if is_freed { self.wake(node) } else { Vec::new() };
        let after = self.presence(node, &id);
        if let (true, Some((service, _))) = (before != after, before.as_ref().or(after.as_ref())) {
            touched.extend(self.wake_companions(service));
        }
        let there = self.fleet.find(node).map(|(_, node)| node);
        let record = there.and_then(|node| node.ledger.record(&id));
        let service = record.and_then(|record| record.task.as_ref()).map(|task| &task.uid);
        touched.extend(service.and_then(|uid| self.idle(uid)));
        let ended = record.filter(|record| record.end().is_some());
        touched.extend(ended.and_then(|record| self.home_of_moved(record)));
        let judged = there.filter(|node| evict::concerns(&self.rules, node, &id));
        touched.extend(judged.map(|_| Subject::Placed(node.clone())));
        touched
    }
}

fn waiting(groups: Vec<Group>) -> Vec<Subject> {
    groups.into_iter().map(Subject::Waiting).collect()
}
