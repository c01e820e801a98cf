//! Tasks that run and would be better elsewhere.

use std::collections::BTreeMap;

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::ident::TaskName;
use skep_api::key::{Key, Place, TaskRef};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::task::{Cause, Task, TaskState};
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::Subject;

use crate::cluster::*;

const NODES: u64 = 4;

/// What keeps a service from being idle.
type Disturbance = fn(&mut Cluster);

/// Nodes 1 to 4, two in each of two zones, of which only 1 and 3 were there when the tasks came.
fn grown(count: u32, placement: &str, update: &str) -> Cluster {
    let mut cluster = cluster();
    for number in 1..=NODES {
        add_node_with(
            &mut cluster,
            number,
            1024,
            labelled(number, "zone", if number <= 2 { "a" } else { "b" }),
        );
    }
    set_spec(
        &mut cluster,
        "web",
        &format!(", replicas: {count}, update: {{{update}}}, placement: {{rebalance: whenIdle{placement}}}"),
    );
    add_service(&mut cluster, "web", 1);
    for slot in 1..=count {
        let node = if slot % 2 == 0 { 1 } else { 3 };
        let key = on_node(&mut cluster, &pending("web", slot, slot.into()), node, task("web", slot));
        observe(&mut cluster, &key, TaskState::Running);
    }
    cluster
}

fn requests(cluster: &Cluster) -> Vec<(TaskRef, Eviction)> {
    let request = |key: &Key| match (key, cluster.object(key)) {
        (Key::Eviction(task), Some(Object::Eviction(eviction))) => Some((task.clone(), (**eviction).clone())),
        _ => None,
    };
    cluster.keys().filter_map(request).collect()
}

/// What replica and the agents make of the requests that are there: successors that run, and the old ones gone.
fn obey(cluster: &mut Cluster) -> usize {
    let requests = requests(cluster);
    for (position, (old, request)) in requests.iter().enumerate() {
        assert_eq!(request.reason, EvictionReason::Rebalance);
        let Some(Object::Task(task)) = cluster.object(&Key::Task(old.clone())).cloned() else {
            panic!("{old:?} is there")
        };
        let run = cluster.revision() * 100 + i64::try_from(position).unwrap();
        let name = TaskName::new(&task.service.name, &task.slot.to_string(), run);
        let successor = TaskRef { place: Place::Pending, stack: old.stack.clone(), name };
        let replaces = Some(old.name.clone());
        wait_for_node(cluster, &successor, Task { cause: Cause::Evict, replaces, ..(*task).clone() });
        cluster.settle();
        let placed = tasks(cluster).into_iter().map(|(key, _)| key).find(|key| key.name == successor.name);
        let placed = placed.filter(|key| key.place.node().is_some()).expect("it has a better node");
        assert_ne!(placed.place, old.place);
        observe(cluster, &placed, TaskState::Running);
        cluster.delete(Key::TaskStatus(old.clone()));
        cluster.delete(Key::Task(old.clone()));
    }
    cluster.settle();
    requests.len()
}

/// Moves until nobody is asked any more; how many in each round.
fn rounds(cluster: &mut Cluster) -> Vec<usize> {
    let mut rounds = Vec::new();
    loop {
        cluster.settle();
        match obey(cluster) {
            0 => return rounds,
            moved => rounds.push(moved),
        }
        assert!(rounds.len() < 50, "it goes on for ever");
    }
}

#[test]
fn tasks_move_to_nodes_that_joined_as_many_at_a_time_as_the_service_lets_go() {
    let mut cluster = grown(8, "", "parallelism: 2");
    assert_eq!(rounds(&mut cluster), [2, 2]);
    assert_eq!(spread(&cluster, "web", 1..=NODES), [2, 2, 2, 2]);
    assert_eq!(rounds(&mut cluster), Vec::<usize>::new(), "a second run moves nothing");
}

#[test]
fn a_service_that_did_not_ask_for_it_is_left_alone() {
    let mut cluster = grown(8, "", "parallelism: 2");
    set_spec(&mut cluster, "web", ", replicas: 8");
    assert_eq!(rounds(&mut cluster), Vec::<usize>::new());
}

#[test]
fn nothing_moves_while_the_service_has_anything_else_to_do() {
    let busy: [(&str, Disturbance); 4] = [
        ("a task waits", |cluster| {
            add_revision(cluster, "web", 2, &reserving(9_999), "");
            wait_for_node(cluster, &pending("web", 9, 9), Task { revision: 2, ..task("web", 9) });
        }),
        ("a task starts", |cluster| {
            let key = pending("web", 8, 8).at(Place::Node(node_id(1)));
            observe(cluster, &key, TaskState::Starting);
        }),
        ("it is being scaled", |cluster| {
            set_spec(cluster, "web", ", replicas: 9, placement: {rebalance: whenIdle}");
        }),
        ("an update is half done", |cluster| {
            add_revision(cluster, "web", 2, &reserving(1), "");
            let key = pending("web", 8, 8).at(Place::Node(node_id(1)));
            cluster.put(Key::Task(key), Task { revision: 2, ..task("web", 8) });
        }),
    ];
    for (what, make_busy) in busy {
        let mut cluster = grown(8, "", "");
        make_busy(&mut cluster);
        cluster.settle();
        assert_eq!(requests(&cluster), [], "{what}");
    }
}

#[test]
fn a_zone_that_came_back_gets_its_share_again() {
    let mut cluster = grown(6, ", spread: [node.labels.zone]", "parallelism: 0");
    for slot in [1, 3, 5] {
        let key = pending("web", slot, slot.into());
        cluster.delete(Key::TaskStatus(key.at(Place::Node(node_id(3)))));
        cluster.delete(Key::Task(key.at(Place::Node(node_id(3)))));
        let moved = on_node(&mut cluster, &key, 2, task("web", slot));
        observe(&mut cluster, &moved, TaskState::Running);
    }
    assert_eq!(spread(&cluster, "web", 1..=NODES), [3, 3, 0, 0]);
    rounds(&mut cluster);
    let counts = spread(&cluster, "web", 1..=NODES);
    assert_eq!((counts[0] + counts[1], counts[2] + counts[3]), (3, 3), "{counts:?}");
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}");
}

#[test]
fn a_move_that_helps_no_more_is_taken_back_and_one_that_found_no_better_node_as_well() {
    let mut cluster = grown(8, "", "parallelism: 1");
    cluster.settle();
    assert_eq!(requests(&cluster).len(), 1);
    for number in [2, 4] {
        set_state(&mut cluster, number, NodeState::Down);
    }
    let old = requests(&cluster)[0].0.clone();
    cluster.settle();
    assert_eq!(requests(&cluster), [], "the better nodes are gone");

    let mut cluster = grown(8, "", "parallelism: 1");
    cluster.settle();
    let successor = Task { cause: Cause::Evict, replaces: Some(old.name.clone()), ..task("web", 8) };
    for number in [2, 4] {
        set_state(&mut cluster, number, NodeState::Down);
    }
    set_state(&mut cluster, 3, NodeState::Down);
    wait_for_node(&mut cluster, &pending("web", 8, 99), successor);
    cluster.settle();
    assert!(
        tasks(&cluster).iter().any(|(key, _)| *key == pending("web", 8, 99)),
        "it does not go back there"
    );
    assert_eq!(requests(&cluster), []);
}

/// Found by the simulator: the successor stayed on the lost node, and the request with it, for ever.
#[test]
fn a_move_to_a_node_that_is_lost_before_the_task_runs_there_is_taken_back() {
    let mut cluster = grown(8, "", "parallelism: 1");
    cluster.settle();
    let old = requests(&cluster)[0].0.clone();
    let replaces = Some(old.name.clone());
    let task = Task { cause: Cause::Evict, replaces, ..task("web", 8) };
    on_node(&mut cluster, &pending("web", 8, 99), 2, task);
    cluster.settle();
    assert_eq!(requests(&cluster).len(), 1, "it is on its way");
    let home = old.place.node().unwrap().clone();
    let status = skep_api::node::NodeStatus { state: NodeState::Down, ..Default::default() };
    let entry = Entry { value: Ok(status.clone().into()), stamp: Stamp::default() };
    let touched = skep_runtime::controller::World::apply(
        &mut cluster.world,
        &Key::NodeStatus(node_id(2)),
        Some(&entry),
    );
    assert!(touched.contains(&Subject::Placed(home)), "{touched:?}");
    cluster.put(Key::NodeStatus(node_id(2)), status);
    cluster.settle();
    assert_eq!(requests(&cluster).iter().filter(|(task, _)| *task == old).count(), 0);
}

#[test]
fn a_move_whose_task_does_not_come_to_run_is_taken_back() {
    let mut cluster = grown(8, "", "parallelism: 1");
    cluster.settle();
    let old = requests(&cluster)[0].0.clone();
    let replaces = Some(old.name.clone());
    let task = Task { cause: Cause::Evict, replaces, ..task("web", 8) };
    let successor = on_node(&mut cluster, &pending("web", 8, 99), 2, task);
    observe(&mut cluster, &successor, TaskState::Failed);
    cluster.settle();
    assert_eq!(requests(&cluster).iter().filter(|(task, _)| *task == old).count(), 0);
}

#[test]
fn what_fits_no_other_node_stays() {
    let mut cluster = grown(8, ", constraints: ['node.name in (n1, n3)']", "");
    assert_eq!(rounds(&mut cluster), Vec::<usize>::new());
}

/// What people ask for by hand: of services that did not ask for it, and all moves at once.
#[test]
fn what_people_may_ask_for_is_every_move_that_helps_and_nothing_once_they_are_made() {
    let mut cluster = grown(8, "", "");
    add_service(&mut cluster, "db", 1);
    set_spec(&mut cluster, "db", ", replicas: 1");
    let db = on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    observe(&mut cluster, &db, TaskState::Running);
    let proposals = |cluster: &Cluster| skep_scheduler::proposals(&cluster.world, None, cluster.now);
    let found = proposals(&cluster);
    let of = |name| found.iter().filter(|found| found.service == service(name)).count();
    assert_eq!((of("web"), of("db")), (4, 1), "{found:?}");
    let only = skep_scheduler::proposals(&cluster.world, Some(&[service("db")]), cluster.now);
    assert_eq!(only.len(), 1);
    set_spec(
        &mut cluster,
        "web",
        ", replicas: 8, update: {parallelism: 0}, placement: {rebalance: whenIdle}",
    );
    set_spec(&mut cluster, "db", ", replicas: 1, placement: {rebalance: whenIdle}");
    rounds(&mut cluster);
    assert_eq!(proposals(&cluster), []);
}

#[test]
fn planning_a_balance_says_when_to_look_again() {
    let mut cluster = grown(2, "", "");
    cluster.settle();
    let plan = cluster.plan(&Subject::Balanced(uid("web")));
    assert!(plan.again.is_some_and(|again| again > cluster.now) && plan.changes.is_empty(), "{plan:?}");
    let counts: BTreeMap<u64, usize> = (1..=NODES).zip(spread(&cluster, "web", 1..=NODES)).collect();
    assert_eq!(counts.values().sum::<usize>(), 2);
}
