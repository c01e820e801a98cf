//! What the summary of a node says beside its state.

use skep_api::condition::Truth;
use skep_api::key::{Key, TaskRef};
use skep_api::node::{ClockAnswer, NodeReport, NodeState, NodeStatus};
use skep_api::task::{DesiredState, Task, TaskState};
use skep_api::time::{Span, Timestamp};
use skep_node::{COUNT_EVERY, UNREACHABLE_FOR};

use crate::fleet::*;

/// MiB, thousandths of a core and tasks that node `number` is said to have given away.
fn allocated(fleet: &Fleet, number: u64) -> (u64, u64, u32) {
    let allocated = status(fleet, number).unwrap().allocated;
    let resources = allocated.resources;
    (resources.memory.as_bytes() >> 20, resources.cpus.as_nanos() / 1_000_000, allocated.tasks)
}

fn stage(fleet: &mut Fleet, node: u64, slot: u32, revision: u64, old: &TaskRef) -> TaskRef {
    let key = at(node, slot, 2);
    let replaces = Some(old.name.clone());
    let staged = Task { desired: DesiredState::Ready, replaces, ..task(slot, revision) };
    fleet.put(Key::Task(key.clone()), staged);
    key
}

#[test]
fn what_tasks_that_have_not_ended_set_aside_is_summed() {
    // Swarm 12.16.
    let mut fleet = fleet(2);
    add_revision(&mut fleet, 1, 30);
    let keys: Vec<TaskRef> = (1..=3).map(|slot| add_task(&mut fleet, 1, slot)).collect();
    fleet.settle();
    assert_eq!((allocated(&fleet, 1), allocated(&fleet, 2)), ((90, 3000, 3), (0, 0, 0)));
    fleet.put(Key::Task(keys[0].clone()), Task { desired: DesiredState::Shutdown, ..task(1, 1) });
    observe(&mut fleet, &keys[1], TaskState::Failed);
    fleet.delete(Key::Task(keys[2].clone()));
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(allocated(&fleet, 1), (30, 1000, 1), "what is to stop holds what it holds");
}

#[test]
fn a_task_that_is_prepared_adds_only_what_it_needs_more_than_the_one_that_it_replaces() {
    let mut fleet = fleet(2);
    add_revision(&mut fleet, 1, 30);
    add_revision(&mut fleet, 2, 50);
    let old = add_task(&mut fleet, 1, 1);
    let new = stage(&mut fleet, 1, 1, 2, &old);
    stage(&mut fleet, 2, 1, 2, &old);
    fleet.settle();
    assert_eq!((allocated(&fleet, 1), allocated(&fleet, 2)), ((50, 1000, 2), (50, 1000, 1)));
    observe(&mut fleet, &old, TaskState::Shutdown);
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(allocated(&fleet, 1), (50, 1000, 1));
    fleet.put(Key::Task(new), Task { replaces: Some(old.name.clone()), ..task(1, 2) });
    fleet.delete(Key::Task(old));
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(allocated(&fleet, 1), (50, 1000, 1));
}

/// Swarm 4.6
#[test]
fn generic_resources_are_summed_by_kind_and_shared_by_a_task_and_the_one_that_takes_over() {
    let mut fleet = fleet(1);
    add_revision_with(&mut fleet, 1, "generic: {GPU: 2, SSD: 1}");
    add_revision_with(&mut fleet, 2, "generic: {GPU: 3, TPU: 1}");
    let generic = |fleet: &Fleet| {
        let kinds = status(fleet, 1).unwrap().allocated.generic;
        kinds.iter().map(|(kind, count)| format!("{kind}={count}")).collect::<Vec<_>>().join(" ")
    };
    let old = add_task(&mut fleet, 1, 1);
    fleet.settle();
    assert_eq!(generic(&fleet), "GPU=2 SSD=1");
    stage(&mut fleet, 1, 1, 2, &old);
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(generic(&fleet), "GPU=3 SSD=1 TPU=1");
    observe(&mut fleet, &old, TaskState::Shutdown);
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(generic(&fleet), "GPU=3 TPU=1");
}

#[test]
fn what_a_task_holds_outlives_its_revision_and_its_own_damage() {
    let mut fleet = fleet(1);
    let key = add_task(&mut fleet, 1, 1);
    add_revision(&mut fleet, 1, 30);
    fleet.settle();
    assert_eq!(allocated(&fleet, 1), (30, 1000, 1), "the revision came later");
    let revision = fleet.keys().find(|key| matches!(key, Key::Revision(..))).unwrap().clone();
    fleet.put_text(revision.clone(), "garbage: [");
    fleet.delete(revision);
    fleet.put_text(Key::Task(key), "garbage: [");
    pass(&mut fleet, COUNT_EVERY);
    assert_eq!(allocated(&fleet, 1), (30, 1000, 1));
}

#[test]
fn a_burst_of_tasks_is_not_a_burst_of_writes_and_at_rest_nothing_is_written() {
    let mut fleet = fleet(1);
    add_revision(&mut fleet, 1, 1);
    let mut writes = 0;
    for slot in 1..=50 {
        add_task(&mut fleet, 1, slot);
        writes += fleet.settle().len();
        fleet.now = fleet.now.after(Span::from_millis(10));
    }
    assert_eq!((writes, allocated(&fleet, 1).2), (1, 1));
    let again = fleet.plan(&judging(1)).again.unwrap();
    assert_eq!(again, status(&fleet, 1).unwrap().counted.unwrap().after(COUNT_EVERY));
    let before = fleet.revision();
    pass(&mut fleet, Span::from_secs(60));
    assert_eq!((fleet.revision() - before, allocated(&fleet, 1)), (1, (50, 50_000, 50)));
    pass(&mut fleet, Span::from_secs(3600));
    assert_eq!(fleet.revision() - before, 1);
}

#[test]
fn a_count_of_a_later_instant_is_another_clocks_and_holds_nothing_up() {
    let mut fleet = fleet(1);
    let counted = Some(fleet.now.after(Span::from_secs(3600)));
    let ahead = NodeStatus { counted, ..status(&fleet, 1).unwrap() };
    fleet.put(Key::NodeStatus(node_id(1)), ahead);
    add_revision(&mut fleet, 1, 30);
    add_task(&mut fleet, 1, 1);
    fleet.settle();
    assert_eq!(allocated(&fleet, 1), (30, 1000, 1));
    assert_eq!(status(&fleet, 1).unwrap().counted, Some(fleet.now));
}

#[test]
fn a_node_that_is_down_keeps_what_was_counted_last() {
    let mut fleet = fleet(3);
    add_revision(&mut fleet, 1, 30);
    let key = add_task(&mut fleet, 1, 1);
    fleet.settle();
    lose(&mut fleet, [1]);
    pass(&mut fleet, UNREACHABLE_FOR);
    assert_eq!(states(&fleet, 1), [NodeState::Down]);
    fleet.delete(Key::Task(key));
    pass(&mut fleet, Span::from_secs(60));
    assert_eq!(allocated(&fleet, 1), (30, 1000, 1));
    revive(&mut fleet, 1);
    fleet.settle();
    assert_eq!(allocated(&fleet, 1), (0, 0, 0));
}

fn report(fleet: &mut Fleet, report: NodeReport) {
    fleet.put(Key::NodeReport(node_id(1)), report);
    fleet.settle();
}

#[test]
fn a_disk_that_is_nearly_full_is_told_until_it_is_not() {
    let mut fleet = fleet(1);
    assert_eq!(find(&fleet, 1, "DiskPressure").status, Truth::False);
    let full = Some("/var/lib/docker is 96 % full".to_owned());
    fleet.put(
        Key::NodeReport(node_id(1)),
        NodeReport { disk_pressure: full.clone(), ..NodeReport::default() },
    );
    let notes = fleet.plan(&judging(1)).notes;
    assert_eq!((notes.len(), notes[0].message.as_str()), (1, "n1: /var/lib/docker is 96 % full"));
    fleet.settle();
    let found = find(&fleet, 1, "DiskPressure");
    assert_eq!((found.status, found.reason.as_str()), (Truth::True, "DiskNearlyFull"));
    assert_eq!(Some(found.message), full);
    report(&mut fleet, NodeReport::default());
    assert_eq!(find(&fleet, 1, "DiskPressure").status, Truth::False);
}

#[test]
fn a_clock_that_differs_is_told_with_its_side() {
    let mut fleet = fleet(1);
    assert!(
        status(&fleet, 1).unwrap().conditions.iter().all(|found| found.kind != "ClockSkew"),
        "nobody asked yet"
    );
    let asked = Some(Timestamp::from_millis(5));
    for (skew, truth, message) in [
        (Some(3200), Truth::True, "its clock is 3s200ms ahead of the node controller's"),
        (Some(-2001), Truth::True, "its clock is 2s1ms behind the node controller's"),
        (None, Truth::False, ""),
    ] {
        report(&mut fleet, NodeReport { clock_asked: asked, clock_skew_ms: skew, ..NodeReport::default() });
        let found = find(&fleet, 1, "ClockSkew");
        assert_eq!((found.status, found.message.as_str()), (truth, message));
    }
}

#[test]
fn each_question_for_the_time_is_answered_once() {
    let mut fleet = fleet(1);
    assert_eq!(status(&fleet, 1).unwrap().clock, None);
    for question in 1..=2 {
        let asked = Timestamp::from_millis(question);
        report(&mut fleet, NodeReport { clock_asked: Some(asked), ..NodeReport::default() });
        let answered = fleet.now;
        fleet.now = fleet.now.after(Span::from_secs(30));
        assert_eq!(fleet.settle(), []);
        assert_eq!(status(&fleet, 1).unwrap().clock, Some(ClockAnswer { asked, answered }));
    }
}
