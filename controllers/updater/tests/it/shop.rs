//! A service `web` in a world where the test plays everybody but the updater: people, and a replica whose tasks do what
//! they are told at once.

use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeSpec, Role};
use skep_api::object::Object;
use skep_api::rollout::{Batch, Rollout, SlotRevisions};
use skep_api::service::UpdatePolicy;
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_runtime::scene::Scene;
use skep_updater::Updater;

pub(crate) struct Shop {
    pub(crate) scene: Scene<Updater>,
    replicas: u32,
    image: u32,
    update: UpdatePolicy,
}

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
    /// `web` with so many replicas, updated as `update` says: other policies than validation lets through yet, too.
    pub(crate) fn open(replicas: u32, update: UpdatePolicy) -> Self {
        let scene = Scene::default();
        let mut shop = Self { scene, replicas, image: 1, update };
        let spec = NodeSpec {
            drain: skep_api::node::DrainMode::default(),
            name: "n1".to_owned(),
            role: Role::Worker,
            availability: Availability::Active,
            labels: std::collections::BTreeMap::new(),
        };
        shop.scene.put(Key::Node(node()), spec);
        shop.apply();
        shop
    }

    /// Writes the spec.
    pub(crate) fn apply(&mut self) {
        let text = "{apiVersion: skep/v1, kind: Service, metadata: {name: web, stack: shop}, spec: {task: {image: a}}}";
        let Ok(Object::Service(service)) = Object::decode(&Key::Service(web()), text.as_bytes()) else {
            panic!("{text} does not decode")
        };
        let mut service = (*service).clone();
        service.spec.replicas = self.replicas;
        service.spec.task.image = format!("demo:{}", self.image);
        service.spec.update = self.update.clone();
        self.scene.put(Key::Service(web()), service);
    }

    pub(crate) fn scale(&mut self, replicas: u32) {
        self.replicas = replicas;
        self.apply();
    }

    pub(crate) fn change_image(&mut self) {
        self.image += 1;
        self.apply();
    }

    pub(crate) fn uid(&self) -> Uid {
        self.scene.uid(&Key::Service(web())).unwrap()
    }

    pub(crate) fn rollout(&self) -> Rollout {
        match self.scene.object(&Key::Rollout(self.uid())) {
            Some(Object::Rollout(rollout)) => (**rollout).clone(),
            other => panic!("there is no rollout but {other:?}"),
        }
    }

    /// The numbers of the revisions that are there.
    pub(crate) fn revisions(&self) -> Vec<u64> {
        let number = |key: &Key| if let Key::Revision(_, number) = key { Some(*number) } else { None };
        self.scene.keys().filter_map(number).collect()
    }

    /// Slot, revision and state of every task.
    pub(crate) fn tasks(&self) -> Vec<(TaskRef, Task, TaskState)> {
        let task = |key: &Key| match (key, self.scene.object(key)) {
            (Key::Task(at), Some(Object::Task(task))) => Some((at.clone(), (**task).clone())),
            _ => None,
        };
        let state = |at: &TaskRef| match self.scene.object(&Key::TaskStatus(at.clone())) {
            Some(Object::TaskStatus(status)) => status.state,
            _ => TaskState::Assigned,
        };
        self.scene.keys().filter_map(task).map(|(at, task)| (at.clone(), task, state(&at))).collect()
    }

    /// Puts a task of `revision` into a slot in the place of the one that is there.
    pub(crate) fn put_task(&mut self, number: u32, revision: u64, state: TaskState) {
        for (at, ..) in self.in_slot(number) {
            self.forget(&at);
        }
        let planned_at = self.scene.revision();
        let name = TaskName::new(&web().name, &number.to_string(), planned_at);
        let at = TaskRef { place: Place::Node(node()), stack: web().stack, name };
        let task = Task {
            attempts: Vec::new(),
            created: skep_api::time::Timestamp::default(),
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
        };
        self.scene.put(Key::Task(at.clone()), task);
        self.say(&at, state);
    }

    pub(crate) fn say(&mut self, at: &TaskRef, state: TaskState) {
        let status = TaskStatus {
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
        };
        self.scene.put(Key::TaskStatus(at.clone()), status);
    }

    fn in_slot(&self, number: u32) -> Vec<(TaskRef, Task, TaskState)> {
        self.tasks().into_iter().filter(|(_, task, _)| task.slot == Slot::Number(number)).collect()
    }

    fn forget(&mut self, at: &TaskRef) {
        self.scene.delete(Key::Task(at.clone()));
        self.scene.delete(Key::TaskStatus(at.clone()));
    }

    /// What replica does in the end: each slot gets a task of the revision that the rollout gives it.
    pub(crate) fn follow(&mut self, state: TaskState) {
        let rollout = self.rollout();
        for (at, task, _) in self.tasks() {
            if task.slot.number().is_some_and(|number| number > self.replicas) {
                self.forget(&at);
            }
        }
        for number in 1..=self.replicas {
            let found = self.in_slot(number).pop();
            let revisions = found.map_or_else(SlotRevisions::default, |(_, task, state)| SlotRevisions {
                newest: Some(task.revision),
                wanted: vec![task.revision],
                running: (state == TaskState::Running).then_some(task.revision),
            });
            let wanted = rollout.revision_of(&Slot::Number(number), &revisions);
            if revisions.newest != Some(wanted) || revisions.running.is_none() {
                self.put_task(number, wanted, state);
            }
        }
    }

    /// Deletes the service and, as replica does then, its tasks.
    pub(crate) fn close(&mut self) {
        self.scene.delete(Key::Service(web()));
        for (at, ..) in self.tasks() {
            self.forget(&at);
        }
    }
}
