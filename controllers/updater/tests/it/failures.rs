//! Updates that fail: what counts, what is done about it, and what people are told.

use skep_api::rollout::{Batch, RolloutState};
use skep_api::service::{FailureAction, UpdatePolicy};
use skep_api::task::{Slot, TaskState};
use skep_api::time::Span;

use crate::shop::{Shop, slots};

fn policy(failure_action: FailureAction) -> UpdatePolicy {
    UpdatePolicy { failure_action, ..UpdatePolicy::default() }
}

/// Swarm 3.5: pause is what happens unless people want something else.
#[test]
fn an_update_whose_first_task_fails_pauses_and_says_why() {
    let mut shop = Shop::updating(3, UpdatePolicy::default());
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target, &rollout.batch), (RolloutState::Paused, 2, &slots(&[1])));
    assert!(!rollout.is_paused_by_people());
    let failure = rollout.failure.unwrap();
    let task = failure.task.unwrap();
    let words = format!("update paused due to failure or early termination of task {task}");
    assert_eq!(rollout.message, words);
    assert_eq!((failure.slot, failure.revision, failure.reason.as_str()), (Slot::Number(1), 2, "TaskFailed"));
    assert_eq!((failure.message.as_str(), failure.exit_code), ("task: non-zero exit (3)", Some(3)));
    assert_eq!((failure.log, failure.seen), (vec!["no such table".to_owned()], shop.scene.now));
    shop.wait(Span::from_secs(3600));
    shop.follow(TaskState::Running);
    assert!(shop.scene.settle().is_empty(), "it waits for people");
}

/// An agent tells of a failure before it has the last lines: a successor does not wait for them, but whoever judges does.
#[test]
fn a_failure_is_judged_when_all_of_it_is_said() {
    let mut shop = Shop::updating(3, UpdatePolicy::default());
    shop.follow(TaskState::Starting);
    shop.begin_to_say_of_slot(1);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.failure), (RolloutState::Updating, None));
    shop.say_of_slot(1, TaskState::Failed);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!(
        (rollout.state, rollout.failure.unwrap().log),
        (RolloutState::Paused, vec!["no such table".to_owned()])
    );
}

/// Swarm 12.13, and reliability.md, invariant 22: the spec is left as it is, and the rollback policy holds.
#[test]
fn an_update_that_fails_goes_back_to_what_was_stable() {
    let mut shop = Shop::running(4, policy(FailureAction::Rollback));
    shop.spec.rollback = UpdatePolicy { parallelism: 2, ..UpdatePolicy::default() };
    shop.change_image();
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.follow(TaskState::Rejected);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target, rollout.stable), (RolloutState::RollbackStarted, 1, Some(1)));
    assert_eq!((&rollout.batch, rollout.batch_number, rollout.total), (&slots(&[1, 2]), 1, 2));
    assert!(rollout.failed.is_empty() && rollout.message.starts_with("update rolled back due to failure or"));
    assert_eq!(rollout.failure.unwrap().reason, "TaskRejected");
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Monitor".to_owned()));
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target), (RolloutState::RollbackCompleted, 1));
    assert_eq!((rollout.stable, rollout.batch), (Some(1), Batch::All));
    assert!(rollout.failure.is_some() && !rollout.message.is_empty(), "the reason is kept");
    assert_eq!(shop.running_revisions(), [1, 1, 1, 1]);
}

#[test]
fn what_was_rolled_back_is_not_tried_again_until_something_differs() {
    let mut shop = Shop::updating(2, policy(FailureAction::Rollback));
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    shop.apply();
    shop.scale(3);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!(
        (rollout.state, rollout.target),
        (RolloutState::RollbackCompleted, 1),
        "neither the same nor scaling"
    );
    shop.follow(TaskState::Running);
    assert_eq!(shop.running_revisions(), [1, 1, 1]);
    shop.spec.task.force_update += 1;
    shop.apply();
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().target), (RolloutState::Updating, 3));
    assert_eq!(shop.rollout().failure, None);
}

/// Swarm 3.5: never roll back a rollback. There the state became COMPLETED afterwards; here it stays.
#[test]
fn a_rollback_that_fails_pauses() {
    let mut shop = Shop::updating(2, policy(FailureAction::Rollback));
    shop.spec.rollback.failure_action = FailureAction::Rollback;
    shop.apply();
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.target), (RolloutState::RollbackPaused, 1));
    assert!(rollout.message.starts_with("rollback paused due to failure or"), "{}", rollout.message);
    assert_eq!(rollout.failure.unwrap().revision, 1);
    assert!(shop.scene.settle().is_empty());
}

#[test]
fn without_anything_stable_a_failure_can_only_pause() {
    let mut shop = Shop::open(2, policy(FailureAction::Rollback));
    shop.scene.settle();
    shop.follow(TaskState::Failed);
    assert!(shop.scene.settle().is_empty(), "a first rollout has nothing to go back to");
    shop.change_image();
    shop.scene.settle();
    shop.follow(TaskState::Failed);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Paused, None));
}

/// Swarm 12.12: with `continue` the update ends, and what failed is told.
#[test]
fn with_continue_failures_are_counted_and_the_update_ends() {
    let mut shop = Shop::updating(2, policy(FailureAction::Continue));
    for number in 1..=2 {
        assert_eq!(shop.rollout().state, RolloutState::Updating);
        assert!(shop.rollout().batch.has(&Slot::Number(number)));
        shop.put_task(number, 2, TaskState::Failed);
        shop.scene.settle();
    }
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.failed.len()), (RolloutState::Completed, 2));
    assert_eq!(rollout.stable, Some(1), "nothing has run the target");
    assert_eq!(rollout.failure.unwrap().log, ["no such table"]);
}

/// Swarm 12.12: strictly greater, over the slots that were to be updated, each counted once.
#[test]
fn the_update_fails_when_more_than_the_tolerated_part_has_failed() {
    let update = UpdatePolicy { max_failure_ratio: "0.5".parse().unwrap(), ..UpdatePolicy::default() };
    let mut shop = Shop::updating(4, update);
    for number in [1, 2] {
        for _ in 0..3 {
            shop.put_task(number, 2, TaskState::Failed);
            shop.scene.settle();
        }
    }
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.failed.len()), (RolloutState::Updating, 2));
    assert_eq!(rollout.batch, slots(&[1, 2, 3]), "what failed stays admitted, and holds nothing back");
    shop.put_task(3, 2, TaskState::Failed);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().failed.len()), (RolloutState::Paused, 3));
}

/// Swarm 12.12: even with exit code 0, if within `monitor` of RUNNING; later is no failure of the update.
#[test]
fn a_task_fails_if_it_ends_within_monitor_of_running_whatever_its_exit_code() {
    for (seconds, end, state) in [
        (5, TaskState::Complete, RolloutState::Paused),
        (5, TaskState::Failed, RolloutState::Paused),
        (5, TaskState::Shutdown, RolloutState::Updating),
        (6, TaskState::Failed, RolloutState::Updating),
    ] {
        let mut shop =
            Shop::updating(2, UpdatePolicy { delay: Span::from_secs(60), ..UpdatePolicy::default() });
        shop.follow(TaskState::Running);
        shop.scene.settle();
        shop.wait(Span::from_secs(seconds));
        shop.say_of_slot(1, end);
        shop.scene.settle();
        assert_eq!(shop.rollout().state, state, "{end} after {seconds} s, while the delay lasts");
    }
}

#[test]
fn tasks_of_other_revisions_and_from_before_do_not_count() {
    let mut shop = Shop::running(2, UpdatePolicy::default());
    shop.say_of_slot(2, TaskState::Failed);
    shop.change_image();
    shop.scene.settle();
    shop.put_task(2, 1, TaskState::Failed);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().failed.len()), (RolloutState::Updating, 0));
}

/// Reliability.md, invariant 21. Swarm with `parallelism` for all slots acts only when all workers have ended.
#[test]
fn a_failure_is_acted_on_at_once_and_before_anything_more_is_admitted() {
    let mut shop = Shop::updating(4, UpdatePolicy { parallelism: 2, ..policy(FailureAction::Rollback) });
    shop.put_task(1, 2, TaskState::Running);
    shop.put_task(2, 2, TaskState::Running);
    shop.say_of_slot(2, TaskState::Failed);
    let plan = shop.plan();
    shop.scene.commit(&plan);
    assert_eq!(shop.rollout().state, RolloutState::RollbackStarted);
    let mut shop = Shop::updating(4, UpdatePolicy { parallelism: 0, ..policy(FailureAction::Pause) });
    shop.put_task(3, 2, TaskState::Failed);
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Paused, "although the others are not there yet");
}

/// Swarm 3.5, step 6: there such a task blocks the update for ever.
#[test]
fn a_batch_that_does_not_run_in_time_fails_the_update() {
    let update = UpdatePolicy { deadline: Span::from_secs(60), ..policy(FailureAction::Rollback) };
    let mut shop = Shop::updating(2, update);
    shop.follow(TaskState::Starting);
    shop.wait(Span::from_secs(59));
    assert!(shop.scene.settle().is_empty());
    assert_eq!(shop.plan().again, shop.waits().unwrap().1);
    shop.wait(Span::from_secs(1));
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!(rollout.state, RolloutState::RollbackStarted);
    assert_eq!(rollout.message, "update rolled back due to slot 1 not running in time");
    let failure = rollout.failure.unwrap();
    assert_eq!((failure.reason.as_str(), failure.revision), ("DeadlineExceeded", 2));
    assert_eq!(failure.message, "not running within 1m, but STARTING");
}

#[test]
fn a_deadline_of_zero_is_for_ever() {
    let mut shop =
        Shop::updating(1, UpdatePolicy { deadline: Span::from_secs(0), ..UpdatePolicy::default() });
    shop.follow(TaskState::Starting);
    shop.wait(Span::from_secs(1_000_000));
    assert!(shop.scene.settle().is_empty());
    assert_eq!(shop.waits(), Some(("Batch".to_owned(), None)));
}

#[test]
fn with_continue_slots_that_are_late_are_left_behind_and_stay_admitted() {
    let update = UpdatePolicy { deadline: Span::from_secs(60), ..policy(FailureAction::Continue) };
    let mut shop = Shop::updating(2, update);
    for batch in [slots(&[1]), slots(&[1, 2])] {
        assert_eq!(shop.rollout().batch, batch);
        shop.wait(Span::from_secs(60));
        shop.scene.settle();
    }
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.state, rollout.failed.len()), (RolloutState::Completed, 2));
    assert_eq!(rollout.failure.unwrap().message, "no task of revision 2 within 1m");
}

#[test]
fn a_slot_that_is_lost_after_its_batch_is_not_waited_for_without_end() {
    let mut shop =
        Shop::updating(2, UpdatePolicy { deadline: Span::from_secs(60), ..UpdatePolicy::default() });
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.say_of_slot(1, TaskState::Shutdown);
    shop.put_task(1, 2, TaskState::Pending);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Batch".to_owned()));
    shop.wait(Span::from_secs(60));
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Paused);
}

#[test]
fn what_has_failed_is_remembered_when_history_is_trimmed() {
    let update = UpdatePolicy { max_failure_ratio: "0.4".parse().unwrap(), ..UpdatePolicy::default() };
    let mut shop = Shop::updating(4, update);
    shop.put_task(1, 2, TaskState::Failed);
    shop.scene.settle();
    for _ in 0..3 {
        shop.put_task(1, 2, TaskState::Running);
    }
    shop.scene.settle();
    assert_eq!((shop.rollout().failed.len(), shop.rollout().batch), (1, slots(&[1, 2])));
    shop.spec.update.max_failure_ratio = "0".parse().unwrap();
    shop.apply();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!(rollout.state, RolloutState::Paused, "a changed policy is in force at once");
    assert_eq!(rollout.message, "update paused due to failure in slot 1");
}

#[test]
fn a_slot_that_is_never_made_fails_the_update_at_the_deadline() {
    let mut shop =
        Shop::updating(1, UpdatePolicy { deadline: Span::from_secs(60), ..UpdatePolicy::default() });
    shop.follow(TaskState::Running);
    shop.scale(2);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Batch".to_owned()));
    shop.wait(Span::from_secs(60));
    shop.scene.settle();
    let failure = shop.rollout().failure.unwrap();
    assert_eq!(
        (failure.slot, failure.message.as_str()),
        (Slot::Number(2), "no task of revision 2 within 1m")
    );
}
