//! Lives of a service, step by step.

use skep_api::key::Key;
use skep_api::node::NodeState;
use skep_api::rollout::{Batch, RolloutState};
use skep_api::task::{Cause, DesiredState, TaskState};
use skep_api::time::Span;
use skep_replica::change::{Change, Stop};
use skep_runtime::plan::{Change as _, Plan};
use skep_runtime::services::Subject;

use crate::shop::{STEADY, Seen, Shop, node, slot, web};

#[test]
fn a_task_that_keeps_failing_is_followed_once_in_each_delay() {
    let mut shop = Shop::open(1);
    shop.come_to_rest();
    for restarts in 1..8 {
        let old = shop.newest(1);
        shop.say(&old, TaskState::Failed).settle();
        let new = shop.newest(1);
        assert_eq!(new.task.restarts, restarts);
        assert_eq!(new.task.replaces, Some(old.at.name.clone()));
        shop.come_to_rest();
        assert_eq!(shop.newest(1).task.desired, DesiredState::Ready, "its delay is not over");
        shop.wait_for_start(1).come_to_rest();
        assert_eq!(shop.newest(1).state, TaskState::Running);
    }
    assert_eq!(shop.in_slot(1).len(), 6, "five are kept beside the one that runs");
}

#[test]
fn a_missing_image_is_asked_for_once_in_each_delay() {
    let mut shop = Shop::open(1);
    shop.settle();
    let pending = shop.newest(1);
    let first = shop.place(&pending, 1);
    shop.say(&first, TaskState::Rejected).settle();
    for _ in 0..3 {
        let pending = shop.newest(1);
        let staged = shop.place(&pending, 1);
        shop.say(&staged, TaskState::Rejected).settle();
        assert_eq!(shop.newest(1).at.name, staged.at.name, "its delay is not over");
        assert_eq!(shop.scene.plan(&Subject::Service(web())).again, staged.task.start_after);
        shop.wait(Span::from_secs(5)).settle();
        assert_ne!(shop.newest(1).at.name, staged.at.name);
    }
}

#[test]
fn an_update_takes_slot_after_slot_and_never_stops_what_is_not_replaced() {
    let mut shop = Shop::open(3);
    shop.come_to_rest();
    for number in 1..=3 {
        shop.update(2, &[number]).come_to_rest();
        for other in 1..=3 {
            let running = shop.newest(other);
            assert_eq!(running.state, TaskState::Running);
            assert_eq!(running.task.revision, if other <= number { 2 } else { 1 });
        }
    }
    assert_eq!(shop.newest(1).task.cause, Cause::Update);
    assert!(!shop.condition("Ready").0, "the updater has not declared it complete");
    shop.roll(|rollout| {
        rollout.state = RolloutState::Completed;
        rollout.stable = Some(2);
        rollout.batch = Batch::All;
    });
    shop.come_to_rest();
    assert!(shop.condition("Ready").0);
    assert_eq!(shop.status().updated, 3);
}

#[test]
fn a_new_revision_that_cannot_be_prepared_leaves_the_old_task_running() {
    let mut shop = Shop::open(1);
    shop.come_to_rest();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    for _ in 0..4 {
        let pending = shop.newest(1);
        let staged = shop.place(&pending, 1);
        shop.say(&staged, TaskState::Rejected).settle();
        shop.wait(Span::from_secs(5)).settle();
    }
    let old = shop.by_name(&old.at.name).unwrap();
    assert!(old.is_serving(), "{old:?}");
    shop.update(3, &[1]).come_to_rest();
    assert_eq!(shop.newest(1).task.revision, 3);
    assert!(shop.newest(1).is_serving());
}

#[test]
fn a_revision_that_is_corrected_starts_without_the_delay() {
    let mut shop = Shop::open(1);
    shop.come_to_rest();
    let broken = shop.newest(1);
    shop.say(&broken, TaskState::Failed).settle();
    assert!(shop.newest(1).task.start_after.is_some());
    shop.update(2, &[1]).come_to_rest();
    assert_eq!(shop.newest(1).task.start_after, None);
    assert!(shop.newest(1).is_serving());
}

#[test]
fn a_slot_on_a_node_that_is_down_moves_and_what_ran_there_is_forgotten_when_it_returns() {
    let mut shop = Shop::open(1);
    shop.settle();
    let pending = shop.newest(1);
    let first = shop.place(&pending, 1);
    shop.say(&first, TaskState::Running).come_to_rest();
    shop.node_is(1, NodeState::Down).come_to_rest();
    shop.wait(Span::from_secs(5)).come_to_rest();
    let second = shop.newest(1);
    assert!(second.is_serving() && second.at.place.node() == Some(&node(STEADY)));
    assert_eq!(shop.by_name(&first.at.name).unwrap().task.desired, DesiredState::Shutdown);
    shop.node_is(1, NodeState::Ready).come_to_rest();
    assert_eq!(shop.by_name(&first.at.name).unwrap().state, TaskState::Shutdown);
    assert_eq!(shop.newest(1).at.name, second.at.name, "nothing moves back");
}

#[test]
fn of_two_tasks_that_are_lost_with_their_node_the_old_one_is_let_go_before_anything_follows() {
    let mut shop = Shop::open(1);
    shop.settle();
    let pending = shop.newest(1);
    let old = shop.place(&pending, 1);
    shop.say(&old, TaskState::Running).settle();
    shop.update(2, &[1]).settle();
    let pending = shop.newest(1);
    shop.place(&pending, 1);
    shop.node_is(1, NodeState::Down);
    let plan = shop.scene.plan(&Subject::Service(web()));
    let steps: Vec<&Change> = plan.changes.iter().filter(|step| !matches!(step, Change::Report(_))).collect();
    assert!(matches!(steps[..], [Change::Stop(Stop::Raise(raise))] if raise.at == old.at), "{steps:?}");
}

/// Swarm 12.15.
#[test]
fn scaling_goes_on_with_an_update_on_the_slots_that_stay_and_restarts_none_that_is_clean() {
    let mut shop = Shop::open(4);
    shop.come_to_rest();
    shop.update(2, &[1]).come_to_rest();
    let (updated, waiting) = (shop.newest(1), shop.newest(2));
    shop.update(2, &[2]).scale(3).come_to_rest();
    assert_eq!(shop.newest(1).at, updated.at, "it was on the target already");
    assert_ne!(shop.newest(2).at, waiting.at);
    assert_eq!([1, 2, 3].map(|number| shop.newest(number).task.revision), [2, 2, 1]);
    shop.scale(5).come_to_rest();
    assert_eq!([1, 2, 3, 4].map(|number| shop.newest(number).task.revision), [2, 2, 1, 2]);
    assert_eq!(shop.newest(1).at, updated.at);
}

#[test]
fn scaling_to_nothing_and_back_keeps_numbers_and_ends_with_the_wanted_count() {
    let mut shop = Shop::open(1);
    for replicas in [1, 5, 2, 0, 3] {
        shop.scale(replicas).settle();
    }
    shop.come_to_rest();
    let slots: Vec<_> = shop.tasks().into_iter().map(|seen| seen.task.slot).collect();
    assert_eq!(slots, [slot(1), slot(2), slot(3)]);
    assert_eq!(shop.status().running, 3);
    shop.scale(0).come_to_rest();
    assert!(shop.tasks().is_empty());
}

#[test]
fn a_service_that_is_applied_again_gets_tasks_of_its_own() {
    let mut shop = Shop::open(2);
    shop.come_to_rest();
    let old = shop.uid().unwrap();
    shop.scene.delete(Key::Service(web()));
    shop.wait(Span::from_secs(60)).scale(2);
    let again = shop.scene.now;
    shop.settle();
    let uid = shop.uid().unwrap();
    assert_ne!(old, uid);
    let conditions = shop.status().conditions;
    assert!(
        conditions.iter().all(|condition| condition.last_transition_time == again),
        "they are the old one's"
    );
    let tasks = shop.tasks();
    assert!(tasks.iter().all(|seen| seen.task.uid == uid || seen.task.desired == DesiredState::Remove));
    shop.come_to_rest();
    assert!(shop.tasks().iter().all(|seen| seen.task.uid == uid && seen.is_serving()));
    assert_eq!(shop.status().running, 2);
}

#[test]
fn a_summary_at_rest_is_written_once() {
    let mut shop = Shop::open(2);
    shop.come_to_rest();
    let revision = shop.scene.revision();
    shop.wait(Span::from_secs(3600)).come_to_rest();
    assert_eq!(shop.scene.revision(), revision);
}

#[test]
fn a_service_that_was_taken_for_gone_because_its_rollout_came_first_is_not_swept() {
    let mut shop = Shop::open(1);
    shop.come_to_rest();
    assert_eq!(shop.scene.plan(&Subject::Gone(shop.uid().unwrap())), Plan::default());
}

/// The keys that a step stands on, beside the keys that it writes.
fn reasons(step: &Change) -> Vec<Key> {
    let transaction = step.transaction();
    let is_written = |key: &Key| transaction.writes.iter().any(|write| write.key() == key);
    transaction.guards.iter().map(|guard| guard.key.clone()).filter(|key| !is_written(key)).collect()
}

/// The only step that is planned beside the summary.
fn step(shop: &Shop) -> Change {
    let plan = shop.scene.plan(&Subject::Service(web()));
    let mut steps = plan.changes.into_iter().filter(|step| !matches!(step, Change::Report(_)));
    let step = steps.next().unwrap();
    assert_eq!(steps.next(), None);
    step
}

#[test]
fn a_step_stands_on_everything_that_it_was_decided_from() {
    let mut shop = Shop::open(1);
    shop.settle();
    let pending = shop.newest(1);
    let old = shop.place(&pending, 1);
    shop.say(&old, TaskState::Running).settle();
    let (spec, rollout) = (Key::Service(web()), Key::Rollout(shop.uid().unwrap()));
    let said = |seen: &Seen| Key::TaskStatus(seen.at.clone());

    shop.node_is(1, NodeState::Down);
    let down = Key::NodeStatus(node(1));
    assert_eq!(reasons(&step(&shop)), [spec.clone(), rollout.clone(), down], "a node is lost");
    shop.node_is(1, NodeState::Ready);

    shop.update(2, &[1]).settle();
    let pending = shop.newest(1);
    let new = shop.place(&pending, 1);
    shop.say(&new, TaskState::Ready);
    let staged = Key::Task(new.at.clone());
    let both = [spec.clone(), rollout.clone(), staged, said(&new), said(&old)];
    assert_eq!(reasons(&step(&shop)), both, "the old task makes way");
    shop.settle();

    shop.say(&old, TaskState::Shutdown);
    assert_eq!(reasons(&step(&shop)), [said(&old)], "the new task starts");
    shop.settle();

    shop.say(&new, TaskState::Running).evict(&new, false);
    let leaves = Key::Eviction(new.at.clone());
    let to_leave = [spec.clone(), rollout.clone(), leaves.clone()];
    assert_eq!(reasons(&step(&shop)), to_leave, "the new task has to leave");
    shop.settle();
    let pending = shop.newest(1);
    let next = shop.place(&pending, 1);
    shop.say(&next, TaskState::Ready);
    let staged = Key::Task(next.at.clone());
    let all = [spec.clone(), rollout.clone(), staged, said(&next), said(&new), leaves];
    assert_eq!(reasons(&step(&shop)), all, "it makes way");
    shop.settle();
    shop.say(&new, TaskState::Shutdown).settle();
    let new = next;

    shop.say(&new, TaskState::Failed);
    assert_eq!(reasons(&step(&shop)), [spec.clone(), rollout, said(&new)], "the new task has failed");
    shop.settle();

    shop.scale(0);
    let plan = shop.scene.plan(&Subject::Service(web()));
    for step in plan.changes.iter().filter(|step| !matches!(step, Change::Report(_))) {
        assert!(reasons(step).contains(&spec), "a slot is too many: {step:?}");
    }
}
