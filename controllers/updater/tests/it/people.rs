//! What people say of a rollout: partition, pause, resume, abort, and specs in the middle of it.

use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::rollout::{Control, RolloutState};
use skep_api::service::{FailureAction, UpdatePolicy};
use skep_api::task::{Slot, TaskState};
use skep_api::time::Span;
use skep_runtime::plan::{Change as _, Expect};

use crate::shop::{Shop, slots, web};

fn canaries(partition: u32) -> UpdatePolicy {
    UpdatePolicy { partition: Some(partition), parallelism: 2, ..UpdatePolicy::default() }
}

#[test]
fn a_partition_updates_so_many_slots_and_then_waits_for_people() {
    let mut shop = Shop::updating(4, canaries(3));
    assert_eq!(shop.rollout().batch, slots(&[1, 2]));
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.rollout().batch, slots(&[3]), "no more than three in all");
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.waits(), Some(("Partition".to_owned(), None)));
    assert_eq!(shop.rollout().state, RolloutState::Updating);
    shop.wait(Span::from_secs(100_000));
    assert!(shop.scene.settle().is_empty());
    shop.scale(6);
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.running_revisions(), [2, 2, 2, 1, 1, 1], "new slots are no canaries");
    shop.spec.update.partition = None;
    shop.apply();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.target, rollout.batch, rollout.holds_new), (2, slots(&[4, 5]), false));
    assert_eq!(shop.revisions(), [1, 2], "a partition is no part of a revision");
}

#[test]
fn a_new_slot_takes_the_stable_revision_as_long_as_there_is_a_partition() {
    let mut shop = Shop::updating(4, canaries(1));
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Batch".to_owned()));
    shop.scale(5);
    shop.scene.settle();
    shop.put_task(1, 2, TaskState::Running);
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.running_revisions(), [2, 1, 1, 1, 1]);
}

#[test]
fn a_canary_that_is_scaled_away_is_followed_by_another() {
    let mut shop = Shop::updating(2, canaries(1));
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Partition".to_owned()));
    let canary = shop.tasks().into_iter().filter(|(_, task, _)| task.slot == Slot::Number(1));
    for (at, ..) in canary.collect::<Vec<_>>() {
        shop.scene.delete(Key::Task(at));
    }
    shop.scale(1);
    shop.scene.settle();
    assert_eq!(shop.rollout().batch, slots(&[2]));
}

#[test]
fn a_canary_that_fails_fails_the_update() {
    let mut shop = Shop::updating(4, UpdatePolicy { failure_action: FailureAction::Rollback, ..canaries(1) });
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::RollbackStarted);
    assert!(!shop.rollout().holds_new, "what was rolled back is held by nothing");
}

#[test]
fn with_a_partition_of_zero_nothing_is_updated() {
    let shop = Shop::updating(2, canaries(0));
    assert_eq!((shop.rollout().batch, shop.rollout().batch_number), (slots(&[]), 0));
    assert_eq!(shop.waits(), Some(("Partition".to_owned(), None)));
}

#[test]
fn a_pause_holds_the_next_batch_until_it_is_taken_back() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.say_of_rollout(true, None, None);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.message.as_str()), (RolloutState::Paused, "paused by alice@laptop"));
    assert!(rollout.failure.is_none() && rollout.is_paused_by_people());
    shop.follow(TaskState::Running);
    shop.wait(Span::from_secs(10_000));
    assert!(shop.scene.settle().is_empty());
    shop.say_of_rollout(false, None, None);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.batch), (RolloutState::Updating, slots(&[2])));
    assert_eq!(rollout.message, "");
}

#[test]
fn a_pause_that_is_deleted_holds_nothing() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.say_of_rollout(true, None, None);
    shop.scene.settle();
    shop.scene.delete(Key::Control(web()));
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Updating);
}

#[test]
fn what_fails_during_a_pause_is_looked_at_before_anything_more_is_admitted() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.say_of_rollout(true, None, None);
    shop.scene.settle();
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    assert!(shop.rollout().is_paused_by_people(), "people hold it: nothing is decided");
    for _ in 0..3 {
        shop.put_task(1, 2, TaskState::Running);
    }
    shop.say_of_rollout(false, None, None);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().batch), (RolloutState::Paused, slots(&[1])));
    assert!(!shop.rollout().is_paused_by_people());
}

#[test]
fn a_spec_that_comes_during_a_pause_is_held_from_the_beginning() {
    let mut shop = Shop::running(2, UpdatePolicy::default());
    shop.say_of_rollout(true, None, None);
    assert!(shop.scene.settle().is_empty(), "there is nothing to hold");
    shop.change_image();
    shop.change_image();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.target, rollout.state), (2, RolloutState::Paused));
    assert_eq!((rollout.batch, rollout.batch_number), (slots(&[]), 0));
    shop.say_of_rollout(false, None, None);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().batch), (RolloutState::Updating, slots(&[1])));
}

#[test]
fn to_resume_forgives_failures_once() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    shop.say_of_rollout(false, Some(1), None);
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Paused, "another revision is meant");
    shop.say_of_rollout(false, Some(2), None);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.failed.len(), rollout.failure), (RolloutState::Updating, 0, None));
    shop.put_task(1, 2, TaskState::Failed);
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Paused, "the word is not obeyed twice");
}

#[test]
fn a_word_that_came_before_a_failure_does_not_forgive_it() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.say_of_rollout(false, Some(2), None);
    shop.scene.settle();
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Paused);
}

#[test]
fn to_abort_goes_back_to_what_was_stable() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.say_of_rollout(false, None, Some(2));
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target), (RolloutState::RollbackStarted, 1));
    assert_eq!(rollout.message, "rolled back by alice@laptop");
    assert_eq!(rollout.failure.map(|failure| failure.reason), Some("Aborted".to_owned()));
    shop.say_of_rollout(true, None, None);
    shop.scene.settle();
    assert_eq!(shop.rollout().message, "rollback paused by alice@laptop");
    shop.say_of_rollout(false, None, None);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!(
        (rollout.state, rollout.message.as_str()),
        (RolloutState::RollbackStarted, "rolled back by alice@laptop")
    );
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::RollbackCompleted);
    assert_eq!(shop.running_revisions(), [1, 1]);
}

/// moby#37693.
#[test]
fn a_paused_update_keeps_what_it_would_go_back_to_when_another_spec_comes() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    shop.spec.update.failure_action = FailureAction::Rollback;
    shop.change_image();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target, rollout.stable), (RolloutState::Updating, 3, Some(1)));
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().target), (RolloutState::RollbackStarted, 1));
}

#[test]
fn a_word_on_a_service_that_is_gone_is_forgotten_and_never_obeyed() {
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    shop.say_of_rollout(true, None, None);
    let Some(Object::Control(old)) = shop.scene.object(&Key::Control(web())).cloned() else { panic!() };
    shop.close();
    shop.scene.settle();
    assert!(shop.scene.object(&Key::Control(web())).is_none());
    let mut shop = Shop::updating(2, UpdatePolicy::default());
    let other = Control { uid: skep_api::ident::Uid::derive("another", "key", 1), ..(*old).clone() };
    shop.scene.put(Key::Control(web()), other);
    let control_at = shop.scene.revision();
    let plan = shop.plan();
    let transaction = plan.changes[0].transaction();
    let expects: Vec<Expect> = transaction.guards.iter().map(|guard| guard.expect).collect();
    assert!(matches!(expects.as_slice(), [Expect::Created(_), Expect::Modified(at)] if *at == control_at));
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Updating);
    assert!(shop.scene.object(&Key::Control(web())).is_none());
}
