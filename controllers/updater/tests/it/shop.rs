//! A service `web` in a world where the test plays everybody but the updater: people, and a replica whose tasks do what
//! they are told at once.

use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeSpec, Role};
use skep_api::object::{Object, Service};
use skep_api::rollout::{Batch, Control, Rollout, SlotRevisions};
use skep_api::service::{ServiceSpec, UpdatePolicy};
use skep_api::task::{Cause, ContainerStatus, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_api::time::{Span, Timestamp};
use skep_runtime::plan::Plan;
use skep_runtime::scene::Scene;
use skep_runtime::services::Subject;
use skep_updater::Updater;
use skep_updater::change::Change;

pub(crate) struct Shop {
    pub(crate) scene: Scene<Updater>,
    /// What people want: written by [`Shop::apply`].
    pub(crate) spec: ServiceSpec,
    image: u32,
}

/// A task with its key and its observed state.
pub(crate) type Seen = (TaskRef, Task, TaskState);

pub(crate) fn web() -> ServiceRef {
    ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap())
}

pub(crate) fn slots(numbers: &[u32]) -> Batch {
    Batch::Slots(numbers.iter().copied().map(Slot::Number).collect())
}

fn node() -> NodeId {
    NodeId::from_random(1)
}

impl Shop {
    /// `web` with so many replicas, updated as `update` says.
    pub(crate) fn open(replicas: u32, update: UpdatePolicy) -> Self {
        let text = "{apiVersion: skep/v1, kind: Service, metadata: {name: web, stack: shop}, spec: {task: {image: demo:1}}}";
        let Ok(Object::Service(service)) = Object::decode(&Key::Service(web()), text.as_bytes()) else {
            panic!("{text} does not decode")
        };
        let spec = ServiceSpec { replicas, update, ..service.spec.clone() };
        let mut shop = Self { scene: Scene::default(), spec, image: 1 };
        let node_spec = NodeSpec {
            drain: skep_api::node::DrainMode::default(),
            name: "n1".to_owned(),
            role: Role::Worker,
            availability: Availability::Active,
            labels: std::collections::BTreeMap::new(),
        };
        shop.scene.put(Key::Node(node()), node_spec);
        shop.apply();
        shop
    }

    /// The same, running its first revision.
    pub(crate) fn running(replicas: u32, update: UpdatePolicy) -> Self {
        let mut shop = Self::open(replicas, update);
        shop.scene.settle();
        shop.follow(TaskState::Running);
        shop.scene.settle();
        shop
    }

    /// The same, in the middle of an update: the first batch may take revision 2.
    pub(crate) fn updating(replicas: u32, update: UpdatePolicy) -> Self {
        let mut shop = Self::running(replicas, update);
        shop.change_image();
        shop.scene.settle();
        shop
    }

    /// Writes the spec.
    pub(crate) fn apply(&mut self) {
        let metadata = skep_api::object::Metadata {
            name: web().name,
            stack: web().stack,
            labels: skep_api::service::Labels::new(),
            annotations: skep_api::service::Labels::new(),
            version: None,
            uid: None,
        };
        self.scene.put(Key::Service(web()), Service { metadata, spec: self.spec.clone() });
    }

    pub(crate) fn scale(&mut self, replicas: u32) {
        self.spec.replicas = replicas;
        self.apply();
    }

    pub(crate) fn change_image(&mut self) {
        self.image += 1;
        self.spec.task.image = format!("demo:{}", self.image);
        self.apply();
    }

    /// People say something about the rollout.
    pub(crate) fn say_of_rollout(&mut self, paused: bool, resume: Option<u64>, abort: Option<u64>) {
        let control = Control { uid: self.uid(), paused, resume, abort, actor: "alice@laptop".to_owned() };
        self.scene.put(Key::Control(web()), control);
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.scene.now = self.scene.now.after(span);
    }

    pub(crate) fn uid(&self) -> Uid {
        self.scene.uid(&Key::Service(web())).unwrap()
    }

    pub(crate) fn plan(&self) -> Plan<Change> {
        self.scene.plan(&Subject::Service(web()))
    }

    pub(crate) fn rollout(&self) -> Rollout {
        match self.scene.object(&Key::Rollout(self.uid())) {
            Some(Object::Rollout(rollout)) => (**rollout).clone(),
            other => panic!("there is no rollout but {other:?}"),
        }
    }

    /// For what the rollout waits, and until when.
    pub(crate) fn waits(&self) -> Option<(String, Option<Timestamp>)> {
        self.rollout().waiting.map(|waiting| (waiting.reason, waiting.until))
    }

    /// The numbers of the revisions that are there.
    pub(crate) fn revisions(&self) -> Vec<u64> {
        let number = |key: &Key| if let Key::Revision(_, number) = key { Some(*number) } else { None };
        self.scene.keys().filter_map(number).collect()
    }

    /// Every task.
    pub(crate) fn tasks(&self) -> Vec<Seen> {
        let task = |key: &Key| match (key, self.scene.object(key)) {
            (Key::Task(at), Some(Object::Task(task))) => Some((at.clone(), (**task).clone())),
            _ => None,
        };
        let state = |at: &TaskRef| self.status(at).map_or(TaskState::Assigned, |status| status.state);
        self.scene.keys().filter_map(task).map(|(at, task)| (at.clone(), task, state(&at))).collect()
    }

    pub(crate) fn status(&self, at: &TaskRef) -> Option<TaskStatus> {
        match self.scene.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => Some((**status).clone()),
            _ => None,
        }
    }

    /// Puts a task of `revision` into a slot; what is there already is stopped and kept as history, of one task.
    pub(crate) fn put_task(&mut self, number: u32, revision: u64, state: TaskState) {
        let mut earlier = self.in_slot(number);
        let last = earlier.pop();
        for (at, ..) in earlier {
            self.forget(&at);
        }
        if let Some((at, task, state)) = last {
            self.scene.put(Key::Task(at.clone()), Task { desired: DesiredState::Shutdown, ..task });
            if !state.is_terminal() {
                self.say(&at, TaskState::Shutdown);
            }
        }
        let planned_at = self.scene.revision();
        let name = TaskName::new(&web().name, &number.to_string(), planned_at);
        let at = TaskRef { place: Place::Node(node()), stack: web().stack, name };
        let task = Task {
            attempts: Vec::new(),
            created: self.scene.now,
            uid: self.uid(),
            service: web(),
            slot: Slot::Number(number),
            revision,
            desired: DesiredState::Running,
            cause: Cause::New,
            replaces: None,
            start_after: None,
            restarts: 0,
            streak: 0,
            generic: std::collections::BTreeMap::new(),
        };
        self.scene.put(Key::Task(at.clone()), task);
        self.say(&at, state);
    }

    /// Says that the task is in `state` since now.
    pub(crate) fn say(&mut self, at: &TaskRef, state: TaskState) {
        let now = self.scene.now;
        let running = self.status(at).and_then(|status| status.running);
        let has_failed = matches!(state, TaskState::Failed | TaskState::Rejected);
        let status = TaskStatus {
            draining: None,
            health: None,
            log: if has_failed { vec!["no such table".to_owned()] } else { Vec::new() },
            running: running.or_else(|| (state == TaskState::Running).then_some(now)),
            state,
            since: now,
            message: String::new(),
            error: has_failed.then(|| "task: non-zero exit (3)".to_owned()),
            started: None,
            container: has_failed
                .then(|| ContainerStatus { exit_code: Some(3), ..ContainerStatus::default() }),
            ports: Vec::new(),
            obstacles: Vec::new(),
            remedy: None,
        };
        self.scene.put(Key::TaskStatus(at.clone()), status);
    }

    /// Says that the newest task of a slot has failed, and that more is to be said of that.
    pub(crate) fn begin_to_say_of_slot(&mut self, number: u32) {
        let (at, ..) = self.in_slot(number).pop().unwrap();
        self.say(&at, TaskState::Failed);
        let mut status = self.status(&at).unwrap();
        status.log.clear();
        status.container = Some(ContainerStatus { unexamined: true, ..ContainerStatus::default() });
        self.scene.put(Key::TaskStatus(at), status);
    }

    /// Says it of the newest task of a slot.
    pub(crate) fn say_of_slot(&mut self, number: u32, state: TaskState) {
        let (at, ..) = self.in_slot(number).pop().unwrap();
        self.say(&at, state);
    }

    /// The tasks of a slot, the oldest first.
    fn in_slot(&self, number: u32) -> Vec<Seen> {
        let mut tasks: Vec<Seen> =
            self.tasks().into_iter().filter(|(_, task, _)| task.slot == Slot::Number(number)).collect();
        tasks.sort_by_key(|(at, ..)| at.name.planned_at());
        tasks
    }

    fn forget(&mut self, at: &TaskRef) {
        self.scene.delete(Key::Task(at.clone()));
        self.scene.delete(Key::TaskStatus(at.clone()));
    }

    /// What replica does in the end: each slot gets a running task of the revision that the rollout gives it. A task that
    /// is new comes to `state`.
    pub(crate) fn follow(&mut self, state: TaskState) {
        let rollout = self.rollout();
        for (at, task, _) in self.tasks() {
            if task.slot.number().is_some_and(|number| number > self.spec.replicas) {
                self.forget(&at);
            }
        }
        for number in 1..=self.spec.replicas {
            let newest = self.in_slot(number).pop();
            let revisions = newest.map_or_else(SlotRevisions::default, |(_, task, state)| SlotRevisions {
                newest: Some(task.revision),
                wanted: vec![task.revision],
                running: (state == TaskState::Running).then_some(task.revision),
            });
            let wanted = rollout.revision_of(&Slot::Number(number), &revisions);
            if (revisions.newest != Some(wanted) || revisions.running.is_none()) && rollout.may_make(wanted) {
                self.put_task(number, wanted, state);
            }
        }
    }

    /// The revisions of the tasks that run, by slot.
    pub(crate) fn running_revisions(&self) -> Vec<u64> {
        let running = self.tasks().into_iter().filter(|(_, _, state)| *state == TaskState::Running);
        let mut by_slot: Vec<(Slot, u64)> = running.map(|(_, task, _)| (task.slot, task.revision)).collect();
        by_slot.sort();
        by_slot.into_iter().map(|(_, revision)| revision).collect()
    }

    /// Deletes the service and, as replica does then, its tasks.
    pub(crate) fn close(&mut self) {
        self.scene.delete(Key::Service(web()));
        for (at, ..) in self.tasks() {
            self.forget(&at);
        }
    }
}
