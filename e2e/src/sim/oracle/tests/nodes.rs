//! What the oracle says of placements that ask for more than cores and memory, and of nodes that are lost.

use skep_api::node::Generic;

use super::*;

/// A manifest of the service `name` whose placement holds `placement`.
fn placed(name: &str, placement: &str) -> Object {
    let text = format!(
        "{{apiVersion: skep/v1, kind: Service, metadata: {{name: {name}, stack: shop}}, spec: {{task: {{image: app}}, \
         placement: {{{placement}}}}}}}"
    );
    Object::decode(&Key::Service(service()), text.as_bytes()).unwrap()
}

/// A machine with these GPUs and nothing that is too little of anything else.
fn machine(gpus: &[&str]) -> NodeReport {
    let capacity = Resources { cpus: Cpus::from_nanos(1), memory: Memory::from_bytes(1 << 40) };
    let named = gpus.iter().map(|&name| name.to_owned()).collect();
    let generic = BTreeMap::from([("GPU".to_owned(), Generic::Named(named))]);
    NodeReport { capacity, generic, ..NodeReport::default() }
}

/// A scene with room for several tasks on the first node, each of which reserves a GPU if there is one.
async fn roomy(placement: &str, gpus: &[&str]) -> Scene {
    let scene = Scene::new().await;
    let Object::Revision(first) = revision() else { panic!() };
    let mut second = (*first).clone();
    second.host_ports.clear();
    if !gpus.is_empty() {
        second.task.resources.reservations.generic = BTreeMap::from([("GPU".to_owned(), 1)]);
    }
    scene.put("updater", Key::Revision(scene.uid.clone(), 2), Object::from(second)).await;
    scene.put("user", Key::Service(service()), placed("web", placement)).await;
    scene.put("agent", Key::NodeReport(node(1)), machine(gpus)).await;
    scene
}

impl Scene {
    /// A task of the second revision that has been given `gpu`.
    fn given(&self, slot: u32, gpu: Option<&str>) -> Task {
        let set = |gpu: &str| ("GPU".to_owned(), [gpu.to_owned()].into());
        let generic = gpu.map(set).into_iter().collect();
        Task { revision: 2, generic, ..self.task(slot, DesiredState::Running) }
    }

    /// Places these tasks, of which the first ones are as they should be and the last one is not.
    async fn refuses(&self, tasks: &[Task], number: u8) {
        for (planned_at, task) in (1..).zip(tasks) {
            assert_eq!(self.oracle.violation(), None);
            self.place(planned_at, task.clone()).await;
        }
        self.breaks(number);
    }
}

#[tokio::test]
async fn named_resources_that_two_have_or_none_has_are_seen() {
    let scene = roomy("", &["a", "b"]).await;
    scene.refuses(&[scene.given(1, Some("a")), scene.given(2, Some("a"))], 9).await;
    let scene = roomy("", &["a", "b"]).await;
    scene.refuses(&[scene.given(1, Some("a")), scene.given(2, Some("c"))], 9).await;
    let scene = roomy("", &["a", "b"]).await;
    scene.refuses(&[scene.given(1, Some("a")), scene.given(2, None)], 9).await;
    let scene = roomy("", &["a"]).await;
    scene.refuses(&[scene.given(1, Some("a")), scene.given(2, Some("b"))], 9).await;
}

#[tokio::test]
async fn more_replicas_on_a_node_than_may_be_are_seen() {
    let scene = roomy("maxReplicasPerNode: 1", &[]).await;
    scene.refuses(&[scene.given(1, None), scene.given(2, None)], 9).await;
}

#[tokio::test]
async fn a_task_where_another_service_keeps_it_away_is_seen() {
    let scene = roomy("affinity: [{apart: web}]", &[]).await;
    scene.refuses(&[scene.given(1, None), scene.given(2, None)], 10).await;
    let scene = roomy("affinity: [{with: elsewhere}]", &[]).await;
    scene.refuses(&[scene.given(1, None)], 10).await;
}

#[tokio::test]
async fn a_task_on_a_node_that_does_not_meet_a_constraint_is_seen() {
    let scene = roomy(r#"constraints: ["node.name == m*"]"#, &[]).await;
    scene.refuses(&[scene.given(1, None)], 10).await;
}

#[tokio::test]
async fn a_task_of_a_lost_machine_that_nothing_follows_is_seen() {
    let scene = roomy("", &[]).await;
    let left = BTreeMap::from([(node(2), Vec::new())]);
    scene.place(1, scene.given(1, None)).await;
    assert_eq!(scene.oracle.unserved(&left).len(), 0);
    scene.oracle.machine_lost(&node(1));
    assert_eq!(scene.oracle.unserved(&left).len(), 1);
    scene.put("other-agent", Key::NodeReport(node(2)), machine(&[])).await;
    let successor = TaskRef { place: Place::Node(node(2)), ..on_node(2) };
    scene.put("replica", Key::Task(at(Place::Pending, 2)), scene.given(1, None)).await;
    assert_eq!(scene.oracle.unserved(&left).len(), 1, "there is room for it");
    let moved = vec![
        (Key::Task(at(Place::Pending, 2)), None),
        (Key::Task(successor.clone()), Some(scene.given(1, None).into())),
    ];
    scene.commit("scheduler", moved).await;
    assert_eq!(scene.oracle.unserved(&left).len(), 1, "it does not run yet");
    scene.put("other-agent", Key::TaskStatus(successor), status(TaskState::Running)).await;
    assert_eq!(scene.oracle.unserved(&left).len(), 0);
}
