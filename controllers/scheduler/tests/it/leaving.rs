//! Tasks whose node no longer suits them are asked to leave it.

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::key::{Key, Place, TaskRef};
use skep_api::node::{Availability, Generic, NodeSpec};
use skep_api::task::{DesiredState, Task, TaskState};
use skep_api::time::Timestamp;

use crate::cluster::*;
use crate::fitting::{named, tell};
use crate::oracle::eviction_of;

/// A node of 100 MiB in zone a, and a task of `web` on it that runs; the service asks for nothing yet.
fn running() -> (Cluster, TaskRef) {
    let mut cluster = cluster();
    add_node_with(&mut cluster, 1, 100, labelled(1, "zone", "a"));
    add_service(&mut cluster, "web", 30);
    let key = on_node(&mut cluster, &pending("web", 1, 1), 1, task("web", 1));
    observe(&mut cluster, &key, TaskState::Running);
    assert_eq!(cluster.settle(), []);
    (cluster, key)
}

fn relabel(cluster: &mut Cluster, zone: &str) {
    cluster.put(Key::Node(node_id(1)), labelled(1, "zone", zone));
    cluster.settle();
}

fn is_evicted(cluster: &Cluster, key: &TaskRef) -> bool {
    eviction_of(cluster, key).is_some()
}

#[test]
fn a_constraint_that_is_added_later_holds_for_tasks_that_were_placed_and_only_where_it_is_not_met() {
    // Swarm 12.9: what holds is the service's spec of now, not what a task was made of; Swarm 3.6: the words.
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == a]");
    assert_eq!(cluster.settle(), [], "the node still meets it: nothing moves");
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    cluster.settle();
    let asked = eviction_of(&cluster, &key).unwrap();
    let message = "assigned node no longer meets constraints: node.labels.zone == b";
    assert_eq!((asked.reason, asked.message.as_str()), (EvictionReason::Constraint, message));
    assert_eq!((asked.since, asked.now), (cluster.now, false));
    set_placement(&mut cluster, "web", "");
    cluster.settle();
    assert!(!is_evicted(&cluster, &key), "it may stay after all");
}

#[test]
fn a_limit_per_node_that_is_lowered_moves_nothing() {
    // Swarm 1.4.
    let (mut cluster, _) = running();
    let second = on_node(&mut cluster, &pending("web", 2, 1), 1, task("web", 2));
    observe(&mut cluster, &second, TaskState::Running);
    set_placement(&mut cluster, "web", "maxReplicasPerNode: 1");
    assert_eq!(cluster.settle(), []);
}

#[test]
fn labels_that_change_and_change_back_ask_and_take_back() {
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == a]");
    relabel(&mut cluster, "b");
    assert!(is_evicted(&cluster, &key));
    relabel(&mut cluster, "a");
    assert!(!is_evicted(&cluster, &key));
}

#[test]
fn what_the_machine_says_of_itself_counts_too() {
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "platforms: [{os: linux, architecture: amd64}]");
    assert_eq!(cluster.settle(), []);
    set_report(&mut cluster, 1, 100, "aarch64");
    cluster.settle();
    let message = eviction_of(&cluster, &key).unwrap().message;
    assert!(message.ends_with("the image does not run on linux/aarch64"), "{message}");
    set_report(&mut cluster, 1, 100, "x86_64");
    cluster.settle();
    assert!(!is_evicted(&cluster, &key));
}

#[test]
fn only_nodes_that_are_active_are_looked_at() {
    // Swarm 3.6.
    for availability in [Availability::Pause, Availability::Drain] {
        let (mut cluster, key) = running();
        set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
        cluster.settle();
        assert!(is_evicted(&cluster, &key));
        let closed = NodeSpec { availability, ..labelled(1, "zone", "a") };
        cluster.put(Key::Node(node_id(1)), closed);
        cluster.settle();
        assert!(
            !is_evicted(&cluster, &key),
            "{availability:?}: a drained node's tasks are the node controller's"
        );
        relabel(&mut cluster, "a");
        assert!(is_evicted(&cluster, &key));
    }
}

#[test]
fn tasks_that_belong_to_the_node_or_are_to_stop_or_have_ended_are_not_asked() {
    let (mut cluster, key) = running();
    add_service(&mut cluster, "globe", 0);
    on_node(&mut cluster, &pending("globe", 1, 1), 1, task_of_node("globe", 1));
    let stopping = Task { desired: DesiredState::Shutdown, ..task("web", 2) };
    let stopping = on_node(&mut cluster, &pending("web", 2, 1), 1, stopping);
    observe(&mut cluster, &stopping, TaskState::Running);
    let ended = on_node(&mut cluster, &pending("web", 3, 1), 1, task("web", 3));
    observe(&mut cluster, &ended, TaskState::Failed);
    for name in ["web", "globe"] {
        set_placement(&mut cluster, name, "constraints: [node.labels.zone == b]");
    }
    assert_eq!(cluster.settle().len(), 1);
    assert!(is_evicted(&cluster, &key));
}

#[test]
fn the_request_stands_while_the_task_stops_and_goes_when_it_has_ended() {
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    cluster.settle();
    cluster.put(Key::Task(key.clone()), Task { desired: DesiredState::Shutdown, ..task("web", 1) });
    assert_eq!(cluster.settle(), []);
    observe(&mut cluster, &key, TaskState::Shutdown);
    cluster.settle();
    assert!(!is_evicted(&cluster, &key));
}

#[test]
fn a_request_without_a_task_or_on_a_node_that_was_removed_is_cleared_away() {
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    cluster.settle();
    cluster.delete(Key::Node(node_id(1)));
    cluster.settle();
    assert!(!is_evicted(&cluster, &key), "Swarm 12.20: what was on a node that is removed has ended");
    let (mut cluster, key) = running();
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    cluster.settle();
    cluster.delete(Key::TaskStatus(key.clone()));
    cluster.delete(Key::Task(key.clone()));
    cluster.settle();
    assert!(!is_evicted(&cluster, &key));
}

#[test]
fn what_does_not_decode_is_no_reason_to_ask_nor_to_take_back() {
    for damaged in [Key::Service(service("web")), Key::Node(node_id(1)), Key::NodeReport(node_id(1))] {
        for zone in ["a", "b"] {
            let (mut cluster, key) = running();
            set_placement(&mut cluster, "web", &format!("constraints: [node.labels.zone == {zone}]"));
            cluster.settle();
            cluster.put_text(damaged.clone(), "garbage: [");
            assert_eq!(cluster.settle(), [], "{damaged}");
            assert_eq!(is_evicted(&cluster, &key), zone == "b");
        }
    }
    let (mut cluster, key) = running();
    cluster.put_text(Key::Task(key), "garbage: [");
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    assert_eq!(cluster.settle(), [], "nobody knows what the task is");
}

#[test]
fn a_service_that_took_the_name_of_another_says_nothing_of_its_tasks() {
    let (mut cluster, key) = running();
    cluster.delete(Key::Service(service("web")));
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    assert_eq!(cluster.settle(), []);
    assert!(!is_evicted(&cluster, &key));
}

#[test]
fn the_requests_of_others_are_left_alone() {
    let (mut cluster, key) = running();
    let drained = Eviction {
        reason: EvictionReason::Drain,
        message: String::new(),
        since: Timestamp::default(),
        now: false,
    };
    cluster.put(Key::Eviction(key.clone()), drained.clone());
    assert_eq!(cluster.settle(), []);
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    assert_eq!(cluster.settle(), []);
    observe(&mut cluster, &key, TaskState::Shutdown);
    assert_eq!(cluster.settle(), []);
    assert_eq!(eviction_of(&cluster, &key), Some(drained));
}

#[test]
fn nothing_is_staged_beside_a_task_that_was_asked_to_leave() {
    let (mut cluster, old) = running();
    add_node_with(&mut cluster, 2, 100, labelled(2, "zone", "b"));
    let drained = Eviction {
        reason: EvictionReason::Drain,
        message: String::new(),
        since: Timestamp::default(),
        now: false,
    };
    cluster.put(Key::Eviction(old.clone()), drained);
    on_node(&mut cluster, &pending("web", 2, 1), 2, task("web", 2));
    add_service(&mut cluster, "more", 30);
    (1..=2).for_each(|slot| drop(on_node(&mut cluster, &pending("more", slot, 1), 1, task("more", slot))));
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [1, 2]);
}

#[test]
fn when_a_machine_becomes_smaller_the_newest_tasks_that_do_not_fit_leave_and_return_is_possible() {
    // Swarm 3.6: reservations are summed; the victim is the newest here, and arbitrary there.
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    let mut keys = Vec::new();
    for (name, memory, run) in [("large", 50, 2), ("small", 20, 5), ("free", 0, 9), ("big", 25, 1)] {
        add_service(&mut cluster, name, memory);
        let key = on_node(&mut cluster, &pending(name, 1, run), 1, task(name, 1));
        observe(&mut cluster, &key, TaskState::Running);
        keys.push(key);
    }
    let evicted =
        |cluster: &Cluster| -> Vec<bool> { keys.iter().map(|key| is_evicted(cluster, key)).collect() };
    assert_eq!(cluster.settle(), []);
    set_report(&mut cluster, 1, 94, "x86_64");
    cluster.settle();
    assert_eq!(evicted(&cluster), [false, true, false, false]);
    let message = eviction_of(&cluster, &keys[1]).unwrap().message;
    assert!(message.ends_with("it needs 1Mi more memory"), "{message}");
    set_report(&mut cluster, 1, 60, "x86_64");
    cluster.settle();
    assert_eq!(evicted(&cluster), [true, false, false, false], "the smaller one fits in beside the oldest");
    set_report(&mut cluster, 1, 95, "x86_64");
    cluster.settle();
    assert_eq!(evicted(&cluster), [false; 4]);
    set_report(&mut cluster, 1, 0, "x86_64");
    assert_eq!(cluster.settle(), [], "a machine that was not measured is not too small");
}

fn has_gpus(cluster: &mut Cluster, gpus: Generic) {
    tell(cluster, 1, |report| report.generic = [("GPU".to_owned(), gpus)].into());
}

/// A node with these GPUs, and a task of `web` on it for each of `counts`, which takes so many; the oldest first.
fn running_with_gpus(gpus: Generic, counts: &[u32]) -> (Cluster, Vec<TaskRef>) {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    has_gpus(&mut cluster, gpus);
    let mut keys = Vec::new();
    for (slot, count) in (1..).zip(counts) {
        let share = format!(", resources: {{reservations: {{generic: {{GPU: {count}}}}}}}");
        add_revision(&mut cluster, "web", slot.into(), &share, "");
        let key = pending("web", slot, slot.into());
        wait_for_node(&mut cluster, &key, Task { revision: slot.into(), ..task("web", slot) });
        cluster.settle();
        keys.push(key.at(Place::Node(node_id(1))));
        observe(&mut cluster, &keys[keys.len() - 1], TaskState::Running);
    }
    assert_eq!(spread(&cluster, "web", 1..=1), [counts.len()]);
    (cluster, keys)
}

#[test]
fn when_a_node_counts_fewer_generic_resources_the_newest_tasks_that_do_not_fit_leave() {
    // Swarm 3.6.
    let (mut cluster, keys) = running_with_gpus(Generic::Count(4), &[1, 2, 1]);
    for (left, evicted) in
        [(3, [false, false, true]), (2, [false, true, false]), (0, [true; 3]), (4, [false; 3])]
    {
        has_gpus(&mut cluster, Generic::Count(left));
        cluster.settle();
        assert_eq!([0, 1, 2].map(|place| is_evicted(&cluster, &keys[place])), evicted, "{left}");
    }
    let (mut cluster, keys) = running_with_gpus(named(&["u1", "u2"]), &[1, 1]);
    has_gpus(&mut cluster, Generic::Count(1));
    cluster.settle();
    let evicted = [0, 1].map(|place| is_evicted(&cluster, &keys[place]));
    assert_eq!(evicted, [false, true], "names say nothing any more");
    tell(&mut cluster, 1, |report| report.generic.clear());
    cluster.settle();
    assert!(keys.iter().all(|key| is_evicted(&cluster, key)));
}

#[test]
fn a_task_that_holds_a_named_resource_that_is_gone_leaves_and_the_next_one_gets_what_is_there() {
    // Swarm 3.6 and 4.6.
    let (mut cluster, keys) = running_with_gpus(named(&["u1", "u2"]), &[1, 1]);
    has_gpus(&mut cluster, named(&["u2"]));
    cluster.settle();
    assert!(!is_evicted(&cluster, &keys[1]), "what the newer one holds is there");
    let message = eviction_of(&cluster, &keys[0]).unwrap().message;
    assert!(message.ends_with("it holds GPU u1, which the node no longer has"), "{message}");
    has_gpus(&mut cluster, named(&["u1", "u2"]));
    cluster.settle();
    assert!(!is_evicted(&cluster, &keys[0]), "it is back");
    has_gpus(&mut cluster, named(&["u2", "u3"]));
    let next = pending("web", 3, 3);
    wait_for_node(&mut cluster, &next, task("web", 3));
    cluster.settle();
    assert!(is_evicted(&cluster, &keys[0]));
    assert_eq!(spread(&cluster, "web", 1..=1), [2], "the one that leaves counts until it has ended");
    observe(&mut cluster, &keys[0], TaskState::Shutdown);
    cluster.settle();
    let placed = tasks(&cluster).into_iter().find(|(key, _)| key.name == next.name).unwrap();
    assert_eq!(placed.0.place.node(), Some(&node_id(1)));
    assert_eq!(placed.1.generic["GPU"], ["u3".to_owned()].into());
}

#[test]
fn a_staged_task_shares_with_the_one_that_it_replaces_when_a_machine_becomes_smaller() {
    let (mut cluster, old) = running();
    wait_for_node(&mut cluster, &pending("web", 1, 2), staged("web", 1, &old));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=1), [2]);
    set_report(&mut cluster, 1, 30, "x86_64");
    assert_eq!(cluster.settle(), []);
    set_report(&mut cluster, 1, 29, "x86_64");
    assert_eq!(cluster.settle().len(), 2);
}

#[test]
fn people_are_told_once_per_node() {
    let (mut cluster, _) = running();
    on_node(&mut cluster, &pending("web", 2, 1), 1, task("web", 2));
    set_placement(&mut cluster, "web", "constraints: [node.labels.zone == b]");
    let plan = cluster.plan(&skep_scheduler::Subject::Placed(node_id(1)));
    assert_eq!((plan.changes.len(), plan.notes.len()), (2, 1));
    assert!(plan.notes[0].message.starts_with("n1: assigned node"), "{}", plan.notes[0].message);
}
