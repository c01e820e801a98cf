//! A service `web` in a world where the test plays everybody but replica: people, updater, scheduler, agents, nodes.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeSpec, NodeState, NodeStatus};
use skep_api::object::Object;
use skep_api::rollout::{Batch, Rollout, RolloutState};
use skep_api::service::ServiceStatus;
use skep_api::task::{DesiredState, Obstacle, Slot, Task, TaskState, TaskStatus};
use skep_api::time::Span;
use skep_replica::Replica;
use skep_replica::change::Change;
use skep_replica::world::World;
use skep_runtime::controller::{Controller as _, Moment, World as _};
use skep_runtime::scene::{CLUSTER, Scene};
use skep_runtime::services::Subject;

pub(crate) struct Shop {
    pub(crate) scene: Scene<Replica>,
    /// The rollout as the updater last wrote it.
    pub(crate) rollout: Rollout,
    removed: BTreeSet<u64>,
    /// How many tasks people last asked for.
    replicas: u32,
    /// The highest revision that the updater has made.
    latest: u64,
    /// The fields of the spec beside `task`, in YAML.
    fields: BTreeMap<&'static str, String>,
}

/// A task as it lies in the store.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: TaskRef,
    pub(crate) task: Task,
    pub(crate) state: TaskState,
    pub(crate) is_lost: bool,
}

impl Seen {
    pub(crate) fn is_wanted(&self) -> bool {
        self.task.desired < DesiredState::Shutdown
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.state.is_terminal() && !self.is_lost
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.task.desired == DesiredState::Running && self.state == TaskState::Running && !self.is_lost
    }
}

pub(crate) fn web() -> ServiceRef {
    ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap())
}

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::from_random(number)
}

pub(crate) fn slot(number: u32) -> Slot {
    Slot::Number(number)
}

/// A node that is always ready.
pub(crate) const STEADY: u64 = 9;

/// What people want of the node with this number.
fn wanted_of(number: u64, availability: Availability, zone: &str) -> NodeSpec {
    NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: format!("n{number}"),
        role: skep_api::node::Role::Worker,
        availability,
        labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
    }
}

impl Shop {
    /// `web` with so many replicas at revision 1, and nodes that are ready.
    pub(crate) fn open(replicas: u32) -> Self {
        let rollout = Rollout {
            batch_number: 1,
            failure: None,
            holds_new: false,
            obeyed: 0,
            service: web(),
            observed_version: 0,
            stable: None,
            target: 1,
            since: 0,
            batch: Batch::All,
            waiting: None,
            total: replicas,
            failed: BTreeSet::new(),
            state: RolloutState::Updating,
            message: String::new(),
        };
        let (scene, fields) = (Scene::default(), BTreeMap::new());
        let mut shop = Self { scene, rollout, removed: BTreeSet::new(), replicas, latest: 1, fields };
        for number in [1, 2, STEADY] {
            shop.node_is(number, NodeState::Ready);
        }
        shop.scale(replicas);
        shop
    }

    /// `web` in another mode, or with other policies from the beginning.
    pub(crate) fn with(fields: &[(&'static str, &str)]) -> Self {
        let mut shop = Self::open(1);
        shop.scene.delete(Key::Rollout(shop.uid().unwrap()));
        shop.scene.delete(Key::Service(web()));
        shop.fields = fields.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
        shop.write();
        shop
    }

    pub(crate) fn scale(&mut self, replicas: u32) -> &mut Self {
        self.replicas = replicas;
        match self.mode() {
            "replicated" => self.edit("replicas", &replicas.to_string()),
            "replicated-job" => self.edit("job", &format!("{{completions: {replicas}, maxConcurrent: 2}}")),
            _ => self.write(),
        }
    }

    pub(crate) fn replicas(&self) -> Option<usize> {
        usize::try_from(self.replicas).ok()
    }

    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }

    pub(crate) fn mode(&self) -> &str {
        self.fields.get("mode").map_or("replicated", String::as_str)
    }

    pub(crate) fn is_job(&self) -> bool {
        self.mode().ends_with("job")
    }

    /// Lets people write a field of the spec.
    pub(crate) fn edit(&mut self, field: &'static str, value: &str) -> &mut Self {
        self.fields.insert(field, value.to_owned());
        self.write()
    }

    fn write(&mut self) -> &mut Self {
        let fields: Vec<String> =
            self.fields.iter().map(|(field, value)| format!("{field}: {value}")).collect();
        let fields = [fields, vec!["task: {image: demo}".to_owned()]].concat().join(", ");
        let text = format!(
            "{{apiVersion: skep/v1, kind: Service, metadata: {{name: web, stack: shop}}, spec: {{{fields}}}}}"
        );
        self.scene.put_text(Key::Service(web()), &text);
        assert!(self.scene.object(&Key::Service(web())).is_some(), "{text} does not decode");
        self.roll(|_| {})
    }

    /// Lets the updater write its rollout, which speaks of the spec as it is.
    pub(crate) fn roll(&mut self, change: impl FnOnce(&mut Rollout)) -> &mut Self {
        change(&mut self.rollout);
        self.latest = self.latest.max(self.rollout.target);
        self.rollout.observed_version = self.scene.revision();
        if let Some(uid) = self.uid() {
            self.scene.put(Key::Service(web()), self.scene.object(&Key::Service(web())).unwrap().clone());
            self.rollout.observed_version = self.scene.revision();
            self.scene.put(Key::Rollout(uid), self.rollout.clone());
        }
        self
    }

    /// The first slots of an update to revision `target`.
    pub(crate) fn update(&mut self, target: u64, slots: &[u32]) -> &mut Self {
        let batch = Batch::Slots(slots.iter().copied().map(Slot::Number).collect());
        self.roll(|rollout| {
            rollout.stable = Some(1);
            rollout.target = target;
            rollout.batch = batch;
            rollout.state = RolloutState::Updating;
        })
    }

    /// Says how a node is, and makes it if it is new. A node that was removed never comes back.
    pub(crate) fn node_is(&mut self, number: u64, state: NodeState) -> &mut Self {
        if self.removed.contains(&number) {
            return self;
        }
        if !self.has_node(number) {
            self.scene.put(Key::Node(node(number)), wanted_of(number, Availability::Active, "a"));
        }
        let status = NodeStatus { state, ..NodeStatus::default() };
        self.scene.put(Key::NodeStatus(node(number)), status);
        self
    }

    /// Lets people edit a node that is there.
    pub(crate) fn node_wants(&mut self, number: u64, availability: Availability, zone: &str) -> &mut Self {
        if self.has_node(number) {
            self.scene.put(Key::Node(node(number)), wanted_of(number, availability, zone));
        }
        self
    }

    /// Asks that a task leave its node.
    pub(crate) fn evict(&mut self, seen: &Seen, now: bool) -> &mut Self {
        self.ask(seen, EvictionReason::Drain, now)
    }

    /// A task would be better elsewhere.
    pub(crate) fn rebalance(&mut self, seen: &Seen) -> &mut Self {
        self.ask(seen, EvictionReason::Rebalance, false)
    }

    pub(crate) fn ask(&mut self, seen: &Seen, reason: EvictionReason, now: bool) -> &mut Self {
        let since = self.scene.now;
        let eviction = Eviction { reason, message: String::new(), since, now };
        self.scene.put(Key::Eviction(seen.at.clone()), eviction);
        self
    }

    fn eviction(&self, seen: &Seen) -> Option<&Eviction> {
        match self.scene.object(&Key::Eviction(seen.at.clone())) {
            Some(Object::Eviction(eviction)) => Some(eviction),
            _ => None,
        }
    }

    /// Whether a task has to leave at once, if it has to leave, or would be better elsewhere.
    pub(crate) fn is_evicted(&self, seen: &Seen) -> Option<bool> {
        self.eviction(seen).map(|eviction| eviction.now)
    }

    /// Whether a task would be better elsewhere.
    pub(crate) fn is_rebalanced(&self, seen: &Seen) -> bool {
        self.eviction(seen).is_some_and(|eviction| eviction.reason == EvictionReason::Rebalance)
    }

    /// Takes a request back.
    pub(crate) fn let_stay(&mut self, seen: &Seen) -> &mut Self {
        if self.is_evicted(seen).is_some() {
            self.scene.delete(Key::Eviction(seen.at.clone()));
        }
        self
    }

    pub(crate) fn node_is_removed(&mut self, number: u64) -> &mut Self {
        self.removed.insert(number);
        self.scene.delete(Key::Node(node(number)));
        self.scene.delete(Key::NodeStatus(node(number)));
        self
    }

    pub(crate) fn uid(&self) -> Option<Uid> {
        self.scene.uid(&Key::Service(web()))
    }

    pub(crate) fn settle(&mut self) -> Vec<Change> {
        self.scene.settle()
    }

    pub(crate) fn wait(&mut self, span: Span) -> &mut Self {
        self.scene.now = self.scene.now.after(span);
        self
    }

    /// Waits until the newest task of a slot may start; may be at once.
    pub(crate) fn wait_for_start(&mut self, number: u32) -> &mut Self {
        let start = self.newest(number).task.start_after.unwrap();
        self.wait(start.since(self.scene.now))
    }

    /// Every task, in each slot the oldest first.
    pub(crate) fn tasks(&self) -> Vec<Seen> {
        let mut tasks: Vec<Seen> = self.scene.keys().filter_map(|key| self.seen(key)).collect();
        tasks.sort_by_key(|seen| (seen.task.slot.clone(), seen.at.name.planned_at()));
        tasks
    }

    fn seen(&self, key: &Key) -> Option<Seen> {
        let (Key::Task(at), Some(Object::Task(task))) = (key, self.scene.object(key)) else { return None };
        let status = self.status_of(at);
        let exists = at.place.node().is_none_or(|node| self.scene.object(&Key::Node(node.clone())).is_some());
        let state = TaskState::observed(&at.place, status.as_ref(), exists);
        let node_status = at.place.node().and_then(|node| self.scene.object(&Key::NodeStatus(node.clone())));
        let is_down =
            matches!(node_status, Some(Object::NodeStatus(status)) if status.state == NodeState::Down);
        let is_lost = is_down && !state.is_terminal();
        Some(Seen { at: at.clone(), task: (**task).clone(), state, is_lost })
    }

    pub(crate) fn in_slot(&self, number: u32) -> Vec<Seen> {
        self.tasks().into_iter().filter(|seen| seen.task.slot == slot(number)).collect()
    }

    /// The newest task of a global service on a node.
    pub(crate) fn newest_on(&self, number: u64) -> Option<Seen> {
        self.tasks().into_iter().rfind(|seen| seen.task.slot == Slot::Node(node(number)))
    }

    /// The newest task of a slot.
    pub(crate) fn newest(&self, number: u32) -> Seen {
        self.in_slot(number).pop().unwrap_or_else(|| panic!("slot {number} is empty"))
    }

    pub(crate) fn by_name(&self, name: &TaskName) -> Option<Seen> {
        self.tasks().into_iter().find(|seen| seen.at.name == *name)
    }

    fn status_of(&self, at: &TaskRef) -> Option<TaskStatus> {
        match self.scene.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => Some((**status).clone()),
            _ => None,
        }
    }

    pub(crate) fn has_node(&self, number: u64) -> bool {
        self.scene.object(&Key::Node(node(number))).is_some()
    }

    /// Whether the scheduler may place tasks on a node.
    pub(crate) fn is_open(&self, id: &NodeId) -> bool {
        let is_active = matches!(self.scene.object(&Key::Node(id.clone())),
            Some(Object::Node(spec)) if spec.availability == Availability::Active);
        let is_ready = matches!(self.scene.object(&Key::NodeStatus(id.clone())),
            Some(Object::NodeStatus(status)) if status.state == NodeState::Ready);
        is_active && is_ready
    }

    /// Places a task, as the scheduler does: one of a global service goes nowhere but to its node.
    pub(crate) fn place(&mut self, seen: &Seen, number: u64) -> Seen {
        let id = match &seen.task.slot {
            Slot::Number(_) => node(number),
            Slot::Node(id) => id.clone(),
        };
        let at = seen.at.at(Place::Node(id));
        self.scene.delete(Key::Task(seen.at.clone()));
        if self.status_of(&seen.at).is_some() {
            self.scene.delete(Key::TaskStatus(seen.at.clone()));
        }
        self.scene.put(Key::Task(at.clone()), seen.task.clone());
        Seen { at, state: TaskState::Assigned, ..seen.clone() }
    }

    /// Says how far a task is.
    pub(crate) fn say(&mut self, seen: &Seen, state: TaskState) -> &mut Self {
        self.say_with(seen, state, |_| {})
    }

    pub(crate) fn say_with(
        &mut self,
        seen: &Seen,
        state: TaskState,
        change: impl FnOnce(&mut TaskStatus),
    ) -> &mut Self {
        let mut status = TaskStatus {
            draining: None,
            health: None,
            log: Vec::new(),
            running: None,
            state,
            since: self.scene.now,
            message: String::new(),
            error: None,
            started: None,
            container: None,
            ports: Vec::new(),
            obstacles: Vec::new(),
            remedy: None,
        };
        change(&mut status);
        self.scene.put(Key::TaskStatus(seen.at.clone()), status);
        self
    }

    /// The task of a slot ends by itself, after it ran for so long.
    pub(crate) fn end(&mut self, number: u32, state: TaskState, after: Span) -> &mut Self {
        let seen = self.newest(number);
        let started = self.scene.now;
        self.wait(after).say_with(&seen, state, |status| {
            status.started = Some(started);
            status.running = Some(started);
        })
    }

    /// Lets everybody work, and delays go by, until nothing moves any more.
    pub(crate) fn come_to_rest_in_time(&mut self) -> &mut Self {
        for _ in 0..50 {
            self.come_to_rest();
            match self.scene.plan(&Subject::Service(web())).again {
                Some(instant) => self.wait(instant.since(self.scene.now)),
                None => return self,
            };
        }
        panic!("something is always waited for");
    }

    /// Lets everybody work until nothing moves any more, but every task of one slot fails.
    pub(crate) fn come_to_rest_with_failing(&mut self, number: u32) -> &mut Self {
        for _ in 0..50 {
            self.settle();
            self.wait(Span::from_secs(5)).settle();
            let may_fail = |seen: &Seen| seen.is_alive() && seen.task.desired == DesiredState::Complete;
            if let Some(seen) = self.in_slot(number).pop().filter(may_fail) {
                let seen = if seen.at.place == Place::Pending { self.place(&seen, STEADY) } else { seen };
                self.say(&seen, TaskState::Failed).settle();
            }
            let before = self.scene.revision();
            self.work();
            if self.scene.revision() == before {
                return self;
            }
        }
        panic!("the job does not come to rest");
    }

    /// A leader who has just been elected knows what is stored, and plans the same.
    pub(crate) fn check_new_leader(&self) {
        let mut world = World::new(CLUSTER);
        for (key, entry) in self.scene.entries() {
            world.apply(key, Some(entry));
        }
        let at = Moment { now: self.scene.now, cut: self.scene.revision() };
        let subject = Subject::Service(web());
        assert_eq!(Replica::plan(&world, &subject, at), self.scene.plan(&subject));
    }

    /// The scheduler says that no node takes `seen`, or that one would if the task `old` were gone.
    pub(crate) fn fits_nowhere(&mut self, seen: &Seen, filter: &str, old: Option<&TaskName>) -> &mut Self {
        self.say_with(seen, TaskState::Pending, |status| {
            status.error = Some("no suitable node (insufficient resources on 1 node)".to_owned());
            status.obstacles = vec![Obstacle {
                filter: filter.to_owned(),
                nodes: 1,
                detail: "64Mi more".to_owned(),
                near: Vec::new(),
                freed_by: old.cloned(),
            }];
        })
    }

    /// One step of a scheduler and of agents that all work: what is pending is placed, what is wanted goes on, what is
    /// stopped ends. Lost nodes do nothing.
    pub(crate) fn work(&mut self) {
        for seen in self.tasks() {
            if seen.at.place == Place::Pending {
                let is_open = match &seen.task.slot {
                    Slot::Number(_) => true,
                    Slot::Node(id) => self.is_open(id),
                };
                if seen.task.desired < DesiredState::Shutdown && is_open {
                    self.place(&seen, STEADY);
                }
            } else if !seen.is_lost && !seen.state.is_terminal() {
                let goal = match seen.task.desired {
                    DesiredState::Ready => TaskState::Ready,
                    DesiredState::Complete if seen.state == TaskState::Running => TaskState::Complete,
                    DesiredState::Running | DesiredState::Complete => TaskState::Running,
                    DesiredState::Shutdown | DesiredState::Remove => TaskState::Shutdown,
                };
                if seen.state < goal {
                    self.say(&seen, goal);
                }
            }
        }
    }

    /// Lets everybody work until nothing moves any more.
    pub(crate) fn come_to_rest(&mut self) -> &mut Self {
        for _ in 0..200 {
            let before = self.scene.revision();
            self.settle();
            self.work();
            if self.scene.revision() == before {
                return self;
            }
        }
        panic!("the service does not come to rest");
    }

    pub(crate) fn status(&self) -> ServiceStatus {
        match self.scene.object(&Key::ServiceStatus(web())) {
            Some(Object::ServiceStatus(status)) => (**status).clone(),
            other => panic!("there is no summary but {other:?}"),
        }
    }

    /// Reason and message of a condition of the service.
    pub(crate) fn condition(&self, kind: &str) -> (bool, String, String) {
        let status = self.status();
        let found = skep_api::condition::find(&status.conditions, kind).unwrap();
        (found.status == skep_api::condition::Truth::True, found.reason.clone(), found.message.clone())
    }
}
