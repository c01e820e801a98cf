//! Every invariant is broken once: an oracle that says nothing then says nothing at all.

mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::ident::{NodeId, TaskName, Uid};
use skep_api::key::{Key, Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeReport, NodeSpec, Resources, Role as NodeRole, Session};
use skep_api::object::Object;
use skep_api::quantity::{Cpus, Memory};
use skep_api::rollout::Revision;
use skep_api::service::{Port, PublishMode};
use skep_api::task::{Cause, DesiredState, Slot, Task, TaskState};
use skep_api::time::Timestamp;
use skep_store::fake::{FakeEtcd, Network};
use skep_store::{Config, Put, Store, Txn};

use super::*;
use crate::sim::role::Role;

/// A client that everybody knows by name, on a network without fault.
struct Named(&'static str);

impl Network for Named {
    fn client(&self) -> &str {
        self.0
    }
}

/// An etcd with a node, a service of one slot and its first revision, and one client of each role.
struct Scene {
    etcd: FakeEtcd,
    oracle: Oracle,
    uid: Uid,
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const CLIENTS: [(&str, Role); 6] = [
    ("user", Role::User),
    ("replica", Role::Replica),
    ("scheduler", Role::Scheduler),
    ("updater", Role::Updater),
    ("agent", Role::Agent),
    ("other-agent", Role::Agent),
];

fn node(number: u64) -> NodeId {
    NodeId::from_random(number)
}

fn service() -> ServiceRef {
    ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap())
}

/// The task that was planned at `planned_at`.
fn at(place: Place, planned_at: i64) -> TaskRef {
    let service = service();
    TaskRef { place, stack: service.stack.clone(), name: TaskName::new(&service.name, "1", planned_at) }
}

fn on_node(planned_at: i64) -> TaskRef {
    at(Place::Node(node(1)), planned_at)
}

fn manifest() -> Object {
    let text = "{apiVersion: skep/v1, kind: Service, metadata: {name: web, stack: shop}, spec: {task: {image: app}}}";
    Object::decode(&Key::Service(service()), text.as_bytes()).unwrap()
}

fn node_spec(availability: Availability) -> Object {
    Object::from(NodeSpec {
        drain: skep_api::node::DrainMode::default(),
        name: "n".into(),
        role: NodeRole::Worker,
        availability,
        labels: BTreeMap::new(),
    })
}

fn session(holder: &str) -> Object {
    Object::from(Session { holder: holder.to_owned(), since: NOW })
}

fn status(state: TaskState) -> Object {
    let text = format!("{{state: {state}, since: {NOW}}}");
    Object::decode(&Key::TaskStatus(on_node(1)), text.as_bytes()).unwrap()
}

impl Scene {
    async fn new() -> Self {
        let etcd = FakeEtcd::new();
        let oracle = Oracle::of(&etcd, 0);
        for (name, role) in CLIENTS {
            let node = (role == Role::Agent).then(|| node(if name == "agent" { 1 } else { 2 }));
            oracle.introduce(name, Client { role, node, holder: name.to_owned() });
        }
        let mut scene = Self { etcd, oracle, uid: Uid::derive("", "", 0) };
        let store =
            Store::over(scene.etcd.channel(Arc::new(Named("user"))), Config::new(Vec::new(), 1)).await;
        scene.oracle.set_cluster(&store.unwrap().bootstrap().await.unwrap().cluster);
        scene.put("user", Key::Service(service()), manifest()).await;
        scene.uid = scene.oracle.lock().view.uid_of(&service()).unwrap();
        for (name, number) in [("agent", 1), ("other-agent", 2)] {
            scene.put("user", Key::Node(node(number)), node_spec(Availability::Active)).await;
            scene.put(name, Key::NodeSession(node(number)), session(name)).await;
            scene.put(name, Key::NodeReport(node(number)), report()).await;
        }
        for (name, role) in CLIENTS.into_iter().filter(|(_, role)| role.is_controller()) {
            scene.put(name, Key::Leader(role.controller().unwrap()), session(name)).await;
        }
        scene.put("updater", Key::Revision(scene.uid.clone(), 1), revision()).await;
        scene
    }

    fn task(&self, slot: u32, desired: DesiredState) -> Task {
        Task {
            attempts: Vec::new(),
            created: Timestamp::default(),
            uid: self.uid.clone(),
            service: service(),
            slot: Slot::Number(slot),
            revision: 1,
            desired,
            cause: Cause::New,
            replaces: None,
            start_after: None,
            restarts: 0,
            streak: 0,
            generic: BTreeMap::new(),
        }
    }

    /// Commits the puts and, where there is no object, deletions as `client`.
    async fn commit(&self, client: &'static str, writes: Vec<(Key, Option<Object>)>) {
        let channel = self.etcd.channel(Arc::new(Named(client)));
        let store = Store::over(channel, Config::new(Vec::new(), 1)).await.unwrap();
        let txn = writes.into_iter().fold(Txn::new(), |txn, (key, object)| match object {
            Some(object) => txn.put(Put::new(key.clone(), object.encode(&key).unwrap())),
            None => txn.delete(key),
        });
        store.commit(&txn).await.unwrap();
    }

    async fn put(&self, client: &'static str, key: Key, object: impl Into<Object>) {
        self.commit(client, vec![(key, Some(object.into()))]).await;
    }

    /// Makes a task and places it on the first node.
    async fn place(&self, planned_at: i64, task: Task) {
        self.put("replica", Key::Task(at(Place::Pending, planned_at)), task.clone()).await;
        let move_there = vec![
            (Key::Task(at(Place::Pending, planned_at)), None),
            (Key::Task(on_node(planned_at)), Some(task.into())),
        ];
        self.commit("scheduler", move_there).await;
    }

    async fn say(&self, state: TaskState) {
        self.put("agent", Key::TaskStatus(on_node(1)), status(state)).await;
    }

    /// A task that runs.
    async fn run_one(&self) {
        self.place(1, self.task(1, DesiredState::Running)).await;
        self.say(TaskState::Starting).await;
        self.oracle.container_is_to_start("agent", &on_node(1));
        self.oracle.container_started(&on_node(1));
        self.say(TaskState::Running).await;
        assert_eq!(self.oracle.violation(), None);
    }

    fn breaks(&self, number: u8) {
        let violation = self.oracle.violation().expect("nothing was noticed");
        assert_eq!(violation.invariant.number, number, "{violation}");
    }
}

/// A revision of which two tasks do not fit on one node.
fn revision() -> Object {
    let Object::Service(service) = manifest() else { panic!() };
    let mut task = service.spec.task.clone();
    task.resources.reservations.memory = Some(Memory::from_bytes(600 << 20));
    let port = Port {
        name: None,
        target: 80,
        published: 8080,
        protocol: skep_api::service::Protocol::Tcp,
        mode: PublishMode::Host,
    };
    let placement = skep_api::service::Placement::default();
    Object::from(Revision {
        version: 0,
        volumes: BTreeMap::new(),
        labels: BTreeMap::new(),
        service: service.reference(),
        task,
        host_ports: vec![port],
        placement,
    })
}

fn report() -> Object {
    let capacity = Resources { cpus: Cpus::from_nanos(1), memory: Memory::from_bytes(1 << 30) };
    Object::from(NodeReport { capacity, ..NodeReport::default() })
}

#[tokio::test]
async fn states_that_go_back_are_seen() {
    let scene = Scene::new().await;
    scene.run_one().await;
    scene.say(TaskState::Ready).await;
    scene.breaks(1);
}

#[tokio::test]
async fn a_task_at_two_places_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.put("replica", Key::Task(at(Place::Pending, 1)), scene.task(1, DesiredState::Running)).await;
    scene.breaks(2);
}

#[tokio::test]
async fn a_desired_state_that_goes_back_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Shutdown)).await;
    scene.put("replica", Key::Task(on_node(1)), scene.task(1, DesiredState::Running)).await;
    scene.breaks(3);
}

#[tokio::test]
async fn a_task_that_is_changed_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene
        .put("replica", Key::Task(on_node(1)), Task { revision: 2, ..scene.task(1, DesiredState::Running) })
        .await;
    scene.breaks(4);
}

#[tokio::test]
async fn a_revision_that_is_written_again_is_seen() {
    let scene = Scene::new().await;
    scene.put("updater", Key::Revision(scene.uid.clone(), 1), revision()).await;
    scene.breaks(4);
}

#[tokio::test]
async fn a_live_task_that_is_removed_is_seen() {
    let scene = Scene::new().await;
    scene.run_one().await;
    scene.commit("replica", vec![(Key::Task(on_node(1)), None), (Key::TaskStatus(on_node(1)), None)]).await;
    scene.breaks(5);
}

#[tokio::test]
async fn two_tasks_that_are_wanted_in_one_slot_are_seen() {
    let scene = Scene::new().await;
    for planned_at in [1, 2] {
        let task = scene.task(1, DesiredState::Running);
        scene.put("replica", Key::Task(at(Place::Pending, planned_at)), task).await;
    }
    scene.breaks(6);
}

#[tokio::test]
async fn a_node_that_gives_too_much_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.place(2, scene.task(2, DesiredState::Running)).await;
    scene.breaks(9);
}

#[tokio::test]
async fn a_task_on_a_node_that_takes_none_is_seen() {
    let scene = Scene::new().await;
    scene.put("user", Key::Node(node(1)), node_spec(Availability::Pause)).await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.breaks(10);
}

#[tokio::test]
async fn a_host_port_that_is_held_twice_is_seen() {
    let scene = Scene::new().await;
    let large = Resources { cpus: Cpus::from_nanos(1), memory: Memory::from_bytes(1 << 40) };
    let report = NodeReport { capacity: large, ..NodeReport::default() };
    scene.put("agent", Key::NodeReport(node(1)), report).await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.place(2, scene.task(2, DesiredState::Running)).await;
    scene.breaks(11);
}

#[tokio::test]
async fn a_task_that_is_replaced_twice_is_seen() {
    let scene = Scene::new().await;
    for (planned_at, desired) in [(2, DesiredState::Running), (3, DesiredState::Ready)] {
        let replaces = Some(on_node(1).name);
        let task = Task { replaces, ..scene.task(1, desired) };
        scene.put("replica", Key::Task(at(Place::Pending, planned_at)), task).await;
    }
    scene.breaks(12);
}

#[tokio::test]
async fn a_claim_under_the_session_of_another_agent_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.put("agent", Key::NodeSession(node(1)), session("a later agent")).await;
    scene.say(TaskState::Starting).await;
    scene.breaks(26);
}

#[tokio::test]
async fn a_container_that_starts_without_a_claim_or_twice_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.oracle.container_started(&on_node(1));
    scene.breaks(26);
    let scene = Scene::new().await;
    scene.run_one().await;
    scene.oracle.container_started(&on_node(1));
    scene.breaks(26);
}

#[tokio::test]
async fn a_container_that_is_stopped_without_reason_is_seen() {
    let scene = Scene::new().await;
    scene.run_one().await;
    scene.oracle.container_ended(&on_node(1), true);
    scene.breaks(28);
}

#[tokio::test]
async fn a_start_by_an_agent_without_a_session_is_seen() {
    let scene = Scene::new().await;
    scene.commit("agent", vec![(Key::NodeSession(node(1)), None)]).await;
    scene.oracle.container_is_to_start("agent", &on_node(1));
    scene.breaks(31);
}

#[tokio::test]
async fn a_controller_that_commits_without_leading_is_seen() {
    let scene = Scene::new().await;
    scene.put("replica", Key::Leader(Role::Replica.controller().unwrap()), session("a later leader")).await;
    scene.put("replica", Key::Task(at(Place::Pending, 1)), scene.task(1, DesiredState::Running)).await;
    scene.breaks(32);
}

#[tokio::test]
async fn a_task_that_is_stopped_while_its_service_does_not_decode_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    let channel = scene.etcd.channel(Arc::new(Named("user")));
    let store = Store::over(channel, Config::new(Vec::new(), 1)).await.unwrap();
    store.commit(&Txn::new().put(Put::new(Key::Service(service()), "{{{"))).await.unwrap();
    scene.put("replica", Key::Task(on_node(1)), scene.task(1, DesiredState::Shutdown)).await;
    scene.breaks(34);
}

#[tokio::test]
async fn a_write_by_somebody_who_may_not_is_seen() {
    let scene = Scene::new().await;
    scene.place(1, scene.task(1, DesiredState::Running)).await;
    scene.put("other-agent", Key::TaskStatus(on_node(1)), status(TaskState::Accepted)).await;
    scene.breaks(37);
}

#[tokio::test]
async fn what_is_not_as_it_should_be_at_rest_is_seen() {
    let scene = Scene::new().await;
    scene.run_one().await;
    let found = |containers: &[bool]| {
        let held = |runs: &bool| Found { task: on_node(1), service: scene.uid.to_string(), runs: *runs };
        BTreeMap::from([(node(1), containers.iter().map(held).collect())])
    };
    let number = |machines| scene.oracle.check_rest(&machines).unwrap_err().invariant.number;
    assert_eq!(number(found(&[true])), 36, "nothing summarizes the service");
    scene.commit("user", vec![(Key::Service(service()), None)]).await;
    assert_eq!(number(found(&[true])), 8, "its task is still wanted");
    scene.put("replica", Key::Task(on_node(1)), scene.task(1, DesiredState::Remove)).await;
    assert_eq!(number(found(&[true])), 29, "its task is still there");
    scene.say(TaskState::Shutdown).await;
    scene.commit("replica", vec![(Key::Task(on_node(1)), None), (Key::TaskStatus(on_node(1)), None)]).await;
    assert_eq!(number(found(&[])), 29, "its revision is still there");
    scene.commit("updater", vec![(Key::Revision(scene.uid.clone(), 1), None)]).await;
    scene.commit("user", vec![(Key::Node(node(1)), None)]).await;
    assert_eq!(number(found(&[false])), 29, "its container is still there");
    assert_eq!(scene.oracle.check_rest(&found(&[])), Ok(()));
    assert_eq!(scene.oracle.violation(), None);
}
