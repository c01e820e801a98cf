//! People drain nodes: their tasks are asked to leave.

use skep_api::eviction::{Eviction, EvictionReason};
use skep_api::key::Key;
use skep_api::node::{Availability, DrainMode};
use skep_api::task::{DesiredState, Slot, Task, TaskState};
use skep_api::time::Span;
use skep_node::{Subject, UNREACHABLE_FOR};
use skep_runtime::controller::World;

use crate::fleet::*;

fn drain(fleet: &mut Fleet, number: u64, mode: DrainMode) {
    set_availability(fleet, number, Availability::Drain, mode);
    fleet.settle();
}

fn activate(fleet: &mut Fleet, number: u64) {
    set_availability(fleet, number, Availability::Active, DrainMode::Gradual);
    fleet.settle();
}

#[test]
fn tasks_of_a_drained_node_are_asked_to_leave_and_those_of_others_are_not() {
    // Swarm 12.6: what follows is the replica controller's: no delay, and no matter what the order is if `now` is set.
    let mut fleet = fleet(2);
    let here = [add_task(&mut fleet, 1, 1), add_task(&mut fleet, 1, 2)];
    let there = add_task(&mut fleet, 2, 3);
    observe(&mut fleet, &here[0], TaskState::Running);
    drain(&mut fleet, 1, DrainMode::Gradual);
    for key in &here {
        let asked = eviction(&fleet, key).unwrap();
        assert_eq!((asked.reason, asked.message.as_str()), (EvictionReason::Drain, "node n1 is drained"));
        assert_eq!((asked.since, asked.now), (fleet.now, false));
    }
    assert_eq!(eviction(&fleet, &there), None);
}

#[test]
fn tasks_of_jobs_and_of_global_services_are_asked_too() {
    let mut fleet = fleet(1);
    let job = at(1, 1, 1);
    fleet.put(Key::Task(job.clone()), Task { desired: DesiredState::Complete, ..task(1, 1) });
    let global = at(1, 2, 1);
    fleet.put(Key::Task(global.clone()), Task { slot: Slot::Node(node_id(1)), ..task(2, 1) });
    let staged = at(1, 3, 1);
    fleet.put(Key::Task(staged.clone()), Task { desired: DesiredState::Ready, ..task(3, 1) });
    drain(&mut fleet, 1, DrainMode::Now);
    for key in [job, global, staged] {
        assert!(eviction(&fleet, &key).is_some_and(|asked| asked.now), "{key}");
    }
}

#[test]
fn a_node_that_is_open_again_takes_back_and_a_paused_one_does_too() {
    for availability in [Availability::Active, Availability::Pause] {
        let mut fleet = fleet(1);
        let key = add_task(&mut fleet, 1, 1);
        drain(&mut fleet, 1, DrainMode::Gradual);
        set_availability(&mut fleet, 1, availability, DrainMode::Gradual);
        fleet.settle();
        assert_eq!(eviction(&fleet, &key), None);
    }
}

#[test]
fn people_who_lose_patience_say_now_and_the_request_keeps_its_age() {
    let mut fleet = fleet(1);
    let key = add_task(&mut fleet, 1, 1);
    drain(&mut fleet, 1, DrainMode::Gradual);
    let asked = eviction(&fleet, &key).unwrap();
    fleet.now = fleet.now.after(Span::from_secs(60));
    drain(&mut fleet, 1, DrainMode::Now);
    assert_eq!(eviction(&fleet, &key), Some(Eviction { now: true, ..asked.clone() }));
    drain(&mut fleet, 1, DrainMode::Gradual);
    assert_eq!(eviction(&fleet, &key), Some(asked));
}

#[test]
fn a_task_that_arrives_while_the_node_is_drained_is_asked_as_well() {
    let mut fleet = fleet(1);
    drain(&mut fleet, 1, DrainMode::Gradual);
    let key = add_task(&mut fleet, 1, 1);
    fleet.settle();
    assert!(eviction(&fleet, &key).is_some());
}

#[test]
fn a_task_that_is_to_stop_or_has_ended_is_not_asked_and_a_request_goes_with_the_end() {
    let mut fleet = fleet(1);
    let stopping = at(1, 1, 1);
    fleet.put(Key::Task(stopping.clone()), Task { desired: DesiredState::Shutdown, ..task(1, 1) });
    let ended = add_task(&mut fleet, 1, 2);
    observe(&mut fleet, &ended, TaskState::Failed);
    let key = add_task(&mut fleet, 1, 3);
    drain(&mut fleet, 1, DrainMode::Gradual);
    assert_eq!([&stopping, &ended].map(|key| eviction(&fleet, key)), [None, None]);
    fleet.put(Key::Task(key.clone()), Task { desired: DesiredState::Shutdown, ..task(3, 1) });
    fleet.settle();
    assert!(eviction(&fleet, &key).is_some(), "it has not left yet");
    observe(&mut fleet, &key, TaskState::Shutdown);
    fleet.settle();
    assert_eq!(eviction(&fleet, &key), None);
}

#[test]
fn a_request_whose_task_or_node_is_gone_is_cleared_away() {
    // Swarm 12.20: the tasks of a node that people remove have ended from that revision on.
    let mut fleet = fleet(2);
    let (one, two) = (add_task(&mut fleet, 1, 1), add_task(&mut fleet, 2, 2));
    (1..=2).for_each(|number| drain(&mut fleet, number, DrainMode::Gradual));
    fleet.delete(Key::Task(one.clone()));
    fleet.delete(Key::Node(node_id(2)));
    fleet.settle();
    assert_eq!([&one, &two].map(|key| eviction(&fleet, key)), [None, None]);
    assert_eq!(TaskState::observed(&two.place, None, false), TaskState::Orphaned);
}

#[test]
fn a_drained_node_that_is_lost_goes_on_being_drained() {
    let mut fleet = fleet(3);
    let key = add_task(&mut fleet, 1, 1);
    lose(&mut fleet, [1]);
    pass(&mut fleet, UNREACHABLE_FOR);
    drain(&mut fleet, 1, DrainMode::Gradual);
    assert!(eviction(&fleet, &key).is_some());
    activate(&mut fleet, 1);
    assert_eq!(eviction(&fleet, &key), None);
}

#[test]
fn what_does_not_decode_is_no_reason_to_ask_nor_to_take_back() {
    let mut fleet = fleet(1);
    let (asked, damaged) = (add_task(&mut fleet, 1, 1), add_task(&mut fleet, 1, 2));
    fleet.put_text(Key::Task(damaged.clone()), "garbage: [");
    drain(&mut fleet, 1, DrainMode::Gradual);
    assert!(eviction(&fleet, &asked).is_some() && eviction(&fleet, &damaged).is_none());
    fleet.put_text(Key::Node(node_id(1)), "garbage: [");
    fleet.settle();
    assert!(eviction(&fleet, &asked).is_some());
}

#[test]
fn a_request_that_does_not_decode_is_made_again() {
    let mut fleet = fleet(1);
    let key = add_task(&mut fleet, 1, 1);
    fleet.put_text(Key::Eviction(key.clone()), "garbage: [");
    fleet.settle();
    assert!(fleet.keys().all(|key| !matches!(key, Key::Eviction(_))), "nobody asks: it is cleared away");
    drain(&mut fleet, 1, DrainMode::Gradual);
    fleet.put_text(Key::Eviction(key.clone()), "garbage: [");
    fleet.settle();
    assert!(eviction(&fleet, &key).is_some());
}

#[test]
fn the_schedulers_requests_are_left_alone() {
    let mut fleet = fleet(1);
    let key = add_task(&mut fleet, 1, 1);
    drain(&mut fleet, 1, DrainMode::Gradual);
    let unfit = Eviction { reason: EvictionReason::Constraint, ..eviction(&fleet, &key).unwrap() };
    fleet.put(Key::Eviction(key.clone()), unfit.clone());
    activate(&mut fleet, 1);
    drain(&mut fleet, 1, DrainMode::Now);
    observe(&mut fleet, &key, TaskState::Shutdown);
    fleet.settle();
    assert_eq!(eviction(&fleet, &key), Some(unfit));
}

#[test]
fn a_node_that_is_drained_touches_its_own_tasks_and_one_that_is_not_touches_none() {
    let mut fleet = fleet(2);
    let keys: Vec<_> = (1..=3).map(|slot| add_task(&mut fleet, 1, slot)).collect();
    add_task(&mut fleet, 2, 9);
    let entry = |fleet: &Fleet, key: &Key| {
        let mut entries = fleet.entries();
        entries.find(|(other, _)| *other == key).map(|(_, entry)| entry.clone())
    };
    let node = Key::Node(node_id(1));
    let open = entry(&fleet, &node);
    assert_eq!(fleet.world.apply(&node, open.as_ref()), [judging(1)]);
    set_availability(&mut fleet, 1, Availability::Drain, DrainMode::Gradual);
    let drained = entry(&fleet, &node);
    fleet.world.apply(&node, open.as_ref());
    let touched = fleet.world.apply(&node, drained.as_ref());
    let tasks = keys.into_iter().map(Subject::Task);
    assert_eq!(touched, [judging(1)].into_iter().chain(tasks).collect::<Vec<_>>());
}
