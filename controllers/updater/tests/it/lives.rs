//! Lives of a service, step by step.

use skep_api::key::Key;
use skep_api::rollout::{Batch, RolloutState};
use skep_api::service::{RestartCondition, UpdatePolicy};
use skep_api::task::TaskState;
use skep_api::time::Span;
use skep_runtime::plan::{Change as _, Expect, Plan};
use skep_runtime::services::Subject;

use crate::shop::{Shop, slots, web};

#[test]
fn a_first_rollout_admits_every_slot_and_is_stable_when_all_run() {
    let mut shop = Shop::open(3, UpdatePolicy::default());
    shop.scene.settle();
    let first = shop.rollout();
    assert_eq!((first.target, first.stable, first.batch), (1, None, Batch::All));
    assert_eq!(first.state, RolloutState::Updating);
    shop.follow(TaskState::Ready);
    assert!(shop.scene.settle().is_empty(), "nothing runs yet");
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Completed, Some(1)));
}

/// Swarm 3.5.
#[test]
fn an_update_admits_the_next_slot_when_the_last_one_runs_and_watches_it_to_the_end() {
    let mut shop = Shop::running(3, UpdatePolicy::default());
    shop.change_image();
    for number in 1..=3 {
        shop.scene.settle();
        assert_eq!((shop.rollout().batch, shop.rollout().batch_number), (slots(&[number]), number));
        shop.follow(TaskState::Starting);
        assert!(shop.scene.settle().is_empty(), "slot {number} does not run yet");
        shop.say_of_slot(number, TaskState::Running);
    }
    shop.scene.settle();
    let until = shop.scene.now.after(Span::from_secs(5));
    assert_eq!(shop.waits(), Some(("Monitor".to_owned(), Some(until))));
    assert_eq!(shop.rollout().state, RolloutState::Updating);
    assert_eq!(shop.plan().again, Some(until));
    shop.scene.now = until;
    shop.scene.settle();
    let done = shop.rollout();
    assert_eq!(
        (done.state, done.stable, done.target, done.batch),
        (RolloutState::Completed, Some(2), 2, Batch::All)
    );
    assert_eq!(done.waiting, None);
}

#[test]
fn the_delay_after_a_batch_is_kept_by_the_instant_that_is_stored() {
    let mut shop = Shop::updating(2, UpdatePolicy { delay: Span::from_secs(10), ..UpdatePolicy::default() });
    shop.follow(TaskState::Running);
    shop.scene.settle();
    let until = shop.scene.now.after(Span::from_secs(10));
    assert_eq!(shop.waits(), Some(("Delay".to_owned(), Some(until))));
    assert_eq!(shop.rollout().batch, slots(&[1]));
    for _ in 0..4 {
        shop.wait(Span::from_secs(2));
        let plan = shop.plan();
        assert_eq!((plan.changes, plan.again), (Vec::new(), Some(until)), "another controller looks at it");
    }
    shop.scene.now = until;
    shop.scene.settle();
    assert_eq!(shop.rollout().batch, slots(&[2]));
    let deadline = until.after(Span::from_secs(600));
    assert_eq!(shop.waits(), Some(("Batch".to_owned(), Some(deadline))));
}

/// moby#37693: and what is stable stays so.
#[test]
fn a_newer_spec_supersedes_an_update_in_the_middle() {
    let mut shop = Shop::updating(3, UpdatePolicy::default());
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.change_image();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.target, rollout.stable, rollout.batch), (3, Some(1), slots(&[1])));
    for _ in 0..3 {
        shop.follow(TaskState::Running);
        shop.scene.settle();
    }
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Completed, Some(3)));
    assert_eq!(shop.running_revisions(), [3, 3, 3]);
}

#[test]
fn three_edits_within_a_second_are_one_rollout_that_ends_at_the_last() {
    let mut shop = Shop::running(2, UpdatePolicy::default());
    for _ in 0..3 {
        shop.change_image();
        let plan = shop.plan();
        shop.scene.commit(&plan);
        shop.wait(Span::from_millis(300));
    }
    for _ in 0..3 {
        shop.follow(TaskState::Running);
        shop.scene.settle();
        shop.wait(Span::from_secs(5));
    }
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().target), (RolloutState::Completed, 4));
    assert_eq!(shop.running_revisions(), [4, 4]);
}

/// Swarm 12.25: zero is without limit.
#[test]
fn with_parallelism_zero_every_slot_that_is_there_is_of_the_first_batch() {
    let shop = Shop::updating(3, UpdatePolicy { parallelism: 0, ..UpdatePolicy::default() });
    assert_eq!((shop.rollout().batch, shop.rollout().batch_number), (slots(&[1, 2, 3]), 1));
}

/// Swarm 12.15.
#[test]
fn scaling_in_the_middle_continues_the_update_on_the_slots_that_stay() {
    let mut shop = Shop::updating(4, UpdatePolicy { parallelism: 2, ..UpdatePolicy::default() });
    assert_eq!(shop.rollout().batch, slots(&[1, 2]));
    shop.say_of_slot(1, TaskState::Shutdown);
    shop.put_task(1, 2, TaskState::Running);
    shop.spec.replicas = 5;
    shop.apply();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.target, rollout.batch, rollout.batch_number), (2, slots(&[1, 2]), 1));
    shop.scale(1);
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Monitor".to_owned()), "slot 2 is gone");
    shop.wait(Span::from_secs(5));
    shop.scene.settle();
    assert_eq!(shop.rollout().state, RolloutState::Completed);
}

#[test]
fn a_slot_that_stops_serving_while_all_are_watched_is_waited_for_again() {
    let mut shop = Shop::updating(1, UpdatePolicy::default());
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.waits().map(|(reason, _)| reason), Some("Monitor".to_owned()));
    shop.wait(Span::from_secs(4));
    shop.say_of_slot(1, TaskState::Shutdown);
    shop.scene.settle();
    let deadline = shop.scene.now.after(Span::from_secs(600));
    assert_eq!(shop.waits(), Some(("Batch".to_owned(), Some(deadline))));
    shop.follow(TaskState::Running);
    shop.scene.settle();
    let until = shop.scene.now.after(Span::from_secs(5));
    assert_eq!(shop.waits(), Some(("Monitor".to_owned(), Some(until))), "watched from the beginning");
}

/// Swarm 12.3.
#[test]
fn a_task_that_ended_as_it_should_is_not_waited_for() {
    let mut shop = Shop::open(2, UpdatePolicy::default());
    shop.spec.restart.condition = RestartCondition::OnFailure;
    shop.apply();
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.say_of_slot(1, TaskState::Complete);
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Completed, Some(1)));
    shop.change_image();
    shop.scene.settle();
    shop.put_task(1, 2, TaskState::Running);
    shop.wait(Span::from_secs(6));
    shop.say_of_slot(1, TaskState::Complete);
    shop.scene.settle();
    assert_eq!(shop.rollout().batch, slots(&[2]));
}

#[test]
fn scaling_makes_no_revision_and_does_not_restart_the_rollout() {
    let mut shop = Shop::running(2, UpdatePolicy::default());
    let before = shop.rollout();
    shop.scale(5);
    shop.scene.settle();
    let after = shop.rollout();
    assert!(after.observed_version > before.observed_version);
    assert_eq!(skep_api::rollout::Rollout { observed_version: before.observed_version, ..after }, before);
}

#[test]
fn a_revision_is_not_stable_before_a_slot_has_run_it() {
    let mut shop = Shop::open(0, UpdatePolicy::default());
    shop.scene.settle();
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Completed, None));
    shop.scale(1);
    shop.scene.settle();
    assert_eq!(shop.rollout().stable, None);
    shop.follow(TaskState::Running);
    shop.scene.settle();
    assert_eq!(shop.rollout().stable, Some(1));
}

#[test]
fn what_is_left_of_a_service_goes_when_its_tasks_are_gone() {
    let mut shop = Shop::running(1, UpdatePolicy::default());
    let (at, ..) = shop.tasks().remove(0);
    let pin = skep_api::rollout::Pin { digest: "sha256:0".to_owned() };
    shop.scene.put(Key::Pin(shop.uid(), 1), pin);
    shop.scene.delete(Key::Service(web()));
    assert!(shop.scene.settle().is_empty(), "{at} is still there");
    shop.close();
    shop.scene.settle();
    let left: Vec<String> = shop.scene.keys().map(ToString::to_string).collect();
    assert_eq!(left.len(), 1, "only the node: {left:?}");
}

#[test]
fn a_service_that_was_taken_for_gone_because_its_rollout_came_first_is_not_swept() {
    let mut shop = Shop::open(0, UpdatePolicy::default());
    shop.scene.settle();
    assert_eq!(shop.scene.plan(&Subject::Gone(shop.uid())), Plan::default());
}

#[test]
fn a_revision_is_written_once_and_stands_on_the_spec_that_it_holds() {
    let mut shop = Shop::open(1, UpdatePolicy::default());
    let plan = shop.plan();
    let transaction = plan.changes[0].transaction();
    let guard = |key: Key| transaction.guards.iter().find(|guard| guard.key == key).map(|guard| guard.expect);
    assert_eq!(guard(Key::Service(web())), Some(Expect::Modified(shop.scene.revision())));
    assert_eq!(guard(Key::Control(web())), Some(Expect::Absent));
    assert_eq!(guard(Key::Rollout(shop.uid())), Some(Expect::Absent));
    assert_eq!(guard(Key::Revision(shop.uid(), 1)), Some(Expect::Absent));
    shop.scene.settle();
    assert!(shop.scene.settle().is_empty());
}
