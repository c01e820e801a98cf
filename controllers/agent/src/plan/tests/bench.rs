//! One task of one node, with an etcd and an engine that do what the plans say when the test lets them.

use std::sync::Arc;

use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::NodeSpec;
use skep_api::object::Object;
use skep_api::rollout::{Pin, Revision};
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState, TaskStatus};
use skep_api::time::Timestamp;
use skep_store::KeyValue;

use crate::change::Change;
use crate::engine::{Container, Image, Machine, Owner, Phase};
use crate::jobs::Outcome;
use crate::labels;
use crate::local::{Found, Removal};
use crate::plan::{Action, Job, plan};
use crate::world::{RevisionState, World, revision_id};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// Where the session was last written.
const SESSION: i64 = 7;

pub(super) struct Bench {
    pub(super) world: World,
    pub(super) key: TaskRef,
    revision: i64,
}

impl Bench {
    /// A running agent that has listed everything, and has no task.
    pub(super) fn new() -> Self {
        let node = NodeId::from_random(1);
        let mut world = World::new(Owner { cluster: "c".to_owned(), node: node.clone() });
        world.resync(&[], 1);
        world.session = Some(SESSION);
        world.machine = Some(Machine::default());
        let key = TaskRef {
            place: Place::Node(node.clone()),
            stack: "default".parse().unwrap(),
            name: "web.1.0000a".parse().unwrap(),
        };
        let mut bench = Self { world, key, revision: 10 };
        let spec = NodeSpec {
            drain: skep_api::node::DrainMode::default(),
            name: "n".to_owned(),
            role: skep_api::node::Role::default(),
            availability: skep_api::node::Availability::default(),
            labels: std::collections::BTreeMap::new(),
        };
        bench.put(&Key::Node(node), spec);
        bench
    }

    /// The same with a task that is wanted `desired`, whose revision is known.
    pub(super) fn with_task(desired: DesiredState) -> Self {
        let mut bench = Self::new();
        bench.want(desired);
        let revision = Object::decode(
            &Key::Revision(task(desired).uid, 1),
            b"{service: {stack: default, name: web}, task: {image: 'web:1'}}",
        );
        let Ok(Object::Revision(revision)) = revision else { panic!("{revision:?}") };
        bench.know(&revision);
        bench
    }

    pub(super) fn know(&mut self, revision: &Arc<Revision>) {
        let id = revision_id(&task(DesiredState::Running));
        self.world.revisions.insert(id, RevisionState::Known(Arc::clone(revision), None));
    }

    pub(super) fn want(&mut self, desired: DesiredState) {
        self.put(&Key::Task(self.key.clone()), task(desired));
    }

    pub(super) fn put(&mut self, key: &Key, object: impl Into<Object>) {
        let value = object.into().encode(key).unwrap();
        self.put_text(key, std::str::from_utf8(&value).unwrap());
    }

    pub(super) fn put_text(&mut self, key: &Key, text: &str) {
        self.revision += 1;
        let created = self.created(key).unwrap_or(self.revision);
        let kv = KeyValue {
            key: key.to_string(),
            value: text.as_bytes().to_vec().into(),
            created,
            modified: self.revision,
            lease: 0,
        };
        self.world.apply(key, Some(&kv), self.revision);
    }

    fn created(&self, key: &Key) -> Option<i64> {
        if let Key::Task(task) = key {
            return self.world.task(task).map(|task| task.stamp.created);
        }
        self.world
            .status_stamp(&self.key)
            .map(|stamp| stamp.created)
            .filter(|_| matches!(key, Key::TaskStatus(_)))
    }

    pub(super) fn delete(&mut self, key: &Key) {
        self.revision += 1;
        self.world.apply(key, None, self.revision);
    }

    /// What was reported before.
    pub(super) fn told(&mut self, state: TaskState) {
        let status = TaskStatus {
            draining: None,
            health: None,
            log: Vec::new(),
            running: None,
            state,
            since: NOW,
            message: String::new(),
            error: None,
            started: None,
            container: None,
            ports: Vec::new(),
            obstacles: Vec::new(),
            remedy: None,
        };
        self.put(&Key::TaskStatus(self.key.clone()), status);
    }

    pub(super) fn container(&self, phase: Phase) -> Container {
        let started = (phase != Phase::Created).then_some(NOW);
        let mut labels = labels::of_task(
            &self.world.owner,
            &self.key,
            &Uid::derive("c", "k", 1),
            &task(DesiredState::Running),
        );
        labels.insert("own".to_owned(), "kept".to_owned());
        Container {
            id: "c1".to_owned(),
            name: "web.1.0000a".to_owned(),
            labels,
            phase,
            started,
            finished: matches!(phase, Phase::Exited { .. }).then_some(NOW),
            ..Container::default()
        }
    }

    /// The engine has the container, in this phase.
    pub(super) fn seen(&mut self, phase: Phase) {
        let container = self.container(phase);
        self.world.see(container);
    }

    /// There is no container.
    pub(super) fn absent(&mut self) {
        self.learn(Outcome::Absent);
    }

    pub(super) fn learn(&mut self, outcome: Outcome) {
        let key = self.key.clone();
        if self.world.local_mut(&key).learn(outcome).is_err() {
            self.world.local_mut(&key).is_resting = true;
        }
    }

    /// The image, under the reference by which it was wanted.
    pub(super) fn found(&mut self, reference: &str, repo_digests: &[&str]) {
        let repo_digests = repo_digests.iter().map(|&digest| digest.to_owned()).collect();
        let image = Image { id: "sha256:1".to_owned(), repo_digests };
        self.learn(Outcome::Found(Found { reference: reference.to_owned(), image }));
    }

    pub(super) fn pin(&mut self, digest: &str) {
        let (uid, number) = revision_id(&task(DesiredState::Running));
        self.put(&Key::Pin(uid, number), Pin { digest: digest.to_owned() });
    }

    pub(super) fn plan(&self) -> Vec<Action> {
        self.plan_at(NOW)
    }

    pub(super) fn plan_at(&self, now: Timestamp) -> Vec<Action> {
        plan(&self.world, &self.key, now)
    }

    /// The one job that is planned.
    pub(super) fn job(&self) -> Option<Job> {
        let mut jobs = self
            .plan()
            .into_iter()
            .filter_map(|action| if let Action::Do(job) = action { Some(job) } else { None });
        let job = jobs.next();
        assert_eq!(jobs.next(), None, "one thing at a time");
        job
    }

    /// The one write that is planned, and whether somebody waits for it.
    pub(super) fn write(&self) -> Option<(Change, bool)> {
        self.plan().into_iter().find_map(|action| {
            if let Action::Write { change, is_urgent } = action { Some((change, is_urgent)) } else { None }
        })
    }

    /// The status that is reported without a claim.
    pub(super) fn report(&self) -> TaskStatus {
        match self.write() {
            Some((Change::Report(report), _)) => (*report.status).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Commits the write that is planned.
    pub(super) fn commit(&mut self) -> Change {
        let (change, _) = self.write().expect("a write");
        self.revision += 1;
        if let Change::Claim { session, .. } = &change {
            self.world.local_mut(&self.key.clone()).claim = Some(*session);
        }
        self.world.committed(&change.key(), change.object(), self.revision);
        change
    }

    pub(super) fn state(&self) -> Option<TaskState> {
        self.world.status(&self.key).map(|status| status.state)
    }

    pub(super) fn confirm_removal(&mut self) {
        self.world.local_mut(&self.key.clone()).removal = Removal::Confirmed;
    }
}

pub(super) fn task(desired: DesiredState) -> Task {
    Task {
        attempts: Vec::new(),
        created: Timestamp::default(),
        uid: Uid::derive("c", "web", 1),
        service: ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()),
        slot: Slot::Number(1),
        revision: 1,
        desired,
        cause: Cause::New,
        replaces: None,
        start_after: None,
        restarts: 0,
        streak: 0,
        generic: std::collections::BTreeMap::new(),
    }
}
