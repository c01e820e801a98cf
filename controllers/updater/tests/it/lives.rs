//! Lives of a service, step by step.

use skep_api::key::Key;
use skep_api::rollout::{Batch, RolloutState};
use skep_api::service::UpdatePolicy;
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

#[test]
fn an_update_admits_the_next_slot_when_the_last_one_runs() {
    let mut shop = Shop::open(3, UpdatePolicy::default());
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.change_image();
    for number in 1..=3 {
        shop.scene.settle();
        assert_eq!(shop.rollout().batch, slots(&[number]));
        shop.follow(TaskState::Starting);
        assert!(shop.scene.settle().is_empty(), "slot {number} does not run yet");
        shop.follow(TaskState::Failed);
        assert!(shop.scene.settle().is_empty(), "slot {number} has failed");
        shop.follow(TaskState::Running);
    }
    shop.scene.settle();
    let done = shop.rollout();
    assert_eq!(
        (done.state, done.stable, done.target, done.batch),
        (RolloutState::Completed, Some(2), 2, Batch::All)
    );
    assert_eq!(shop.revisions(), [2], "no task names the first one any more");
}

#[test]
fn the_delay_after_a_batch_is_kept_by_the_instant_that_is_stored() {
    let mut shop = Shop::open(2, UpdatePolicy { delay: Span::from_secs(10), ..UpdatePolicy::default() });
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.change_image();
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    let since = shop.scene.now;
    assert_eq!(shop.rollout().waiting.map(|waiting| waiting.since), Some(since));
    assert_eq!(shop.rollout().batch, slots(&[1]));
    let plan = shop.scene.plan(&Subject::Service(web()));
    assert_eq!(plan.again, Some(since.after(Span::from_secs(10))));
    shop.scene.now = since.after(Span::from_secs(10));
    shop.scene.settle();
    assert_eq!((shop.rollout().batch, shop.rollout().waiting), (slots(&[2]), None));
}

#[test]
fn a_newer_spec_supersedes_an_update_in_the_middle() {
    let mut shop = Shop::open(3, UpdatePolicy::default());
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.change_image();
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
    shop.change_image();
    shop.scene.settle();
    let rollout = shop.rollout();
    assert_eq!((rollout.target, rollout.stable, rollout.batch), (3, Some(1), slots(&[1])));
    assert_eq!(shop.revisions(), [1, 2, 3], "slot 1 still runs the second");
    for _ in 0..3 {
        shop.follow(TaskState::Running);
        shop.scene.settle();
    }
    assert_eq!((shop.rollout().state, shop.rollout().stable), (RolloutState::Completed, Some(3)));
    assert_eq!(shop.revisions(), [3]);
}

#[test]
fn scaling_makes_no_revision_and_does_not_restart_the_rollout() {
    let mut shop = Shop::open(2, UpdatePolicy::default());
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
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
    let mut shop = Shop::open(1, UpdatePolicy::default());
    shop.scene.settle();
    shop.follow(TaskState::Running);
    shop.scene.settle();
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
    let plan = shop.scene.plan(&Subject::Service(web()));
    let transaction = plan.changes[0].transaction();
    let guard = |key: Key| transaction.guards.iter().find(|guard| guard.key == key).map(|guard| guard.expect);
    assert_eq!(guard(Key::Service(web())), Some(Expect::Modified(shop.scene.revision())));
    assert_eq!(guard(Key::Rollout(shop.uid())), Some(Expect::Absent));
    assert_eq!(guard(Key::Revision(shop.uid(), 1)), Some(Expect::Absent));
    shop.scene.settle();
    assert!(shop.scene.settle().is_empty());
}
