//! Start-first: the new task runs before the old one is stopped (Swarm 3.5).

use skep_api::key::Place;
use skep_api::rollout::RolloutState;
use skep_api::task::{Cause, DesiredState, TaskState};
use skep_api::time::Span;

use crate::shop::{STEADY, Seen, Shop};

/// `web` with one slot, which runs.
fn running() -> Shop {
    let mut shop = Shop::with(&[("update", "{order: start-first}")]);
    shop.come_to_rest();
    shop
}

/// The task as it is now.
fn now(shop: &Shop, seen: &Seen) -> Seen {
    shop.by_name(&seen.at.name).unwrap()
}

/// Swarm 12.2, 12.22.
#[test]
fn the_old_task_is_stopped_when_the_new_one_runs_and_not_earlier() {
    let mut shop = running();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    let new = shop.newest(1);
    assert_eq!((new.task.desired, new.task.cause), (DesiredState::Running, Cause::Update));
    assert_eq!(new.task.replaces.as_ref(), Some(&old.at.name));
    let new = shop.place(&new, 1);
    for state in [TaskState::Preparing, TaskState::Ready, TaskState::Starting] {
        shop.say(&new, state).settle();
        assert!(now(&shop, &old).is_serving(), "the new one is {state}");
    }
    shop.say(&new, TaskState::Running).settle();
    assert_eq!(now(&shop, &old).task.desired, DesiredState::Shutdown);
    assert!(now(&shop, &new).is_serving());
}

#[test]
fn a_new_task_that_fails_is_tried_again_beside_the_old_one() {
    let mut shop = running();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    for restarts in 0..3 {
        let new = shop.newest(1);
        assert_eq!(new.task.restarts, restarts);
        let new = shop.place(&new, 1);
        shop.say(&new, TaskState::Failed).settle();
        assert!(now(&shop, &old).is_serving());
        assert_eq!(shop.newest(1).task.desired, DesiredState::Ready, "its delay is not over");
        shop.wait(Span::from_secs(5)).settle();
        assert_eq!(shop.newest(1).task.desired, DesiredState::Running, "it starts beside the old one");
    }
    shop.come_to_rest();
    assert!(!now(&shop, &old).is_wanted() && shop.newest(1).is_serving());
}

#[test]
fn an_old_task_that_fails_while_the_new_one_starts_is_not_followed() {
    let mut shop = running();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    let new = shop.newest(1);
    let new = shop.place(&new, 1);
    shop.say(&new, TaskState::Starting).say(&old, TaskState::Failed).settle();
    assert_eq!(shop.in_slot(1).len(), 2);
    assert_eq!(now(&shop, &old).task.desired, DesiredState::Shutdown);
    assert_eq!(now(&shop, &new).task.desired, DesiredState::Running);
}

/// Swarm 10.37 (moby#40797): Swarm waits for ever.
#[test]
fn a_slot_whose_new_task_fits_only_without_the_old_one_falls_back_to_stop_first() {
    for filter in ["host-port", "max-replicas", "cpus", "memory", "generic", "affinity"] {
        let mut shop = running();
        let old = shop.newest(1);
        shop.update(2, &[1]).settle();
        let beside = shop.newest(1);
        shop.fits_nowhere(&beside, filter, None);
        let plan = shop.scene.plan(&skep_runtime::services::Subject::Service(crate::shop::web()));
        let note = plan.notes.iter().find(|note| note.reason == "FellBackToStopFirst").unwrap();
        assert!(note.message.contains(filter), "{}", note.message);
        shop.settle();
        let staged = shop.newest(1);
        assert_eq!(shop.by_name(&beside.at.name).map(|seen| seen.at), None);
        assert_eq!((staged.task.desired, staged.task.revision), (DesiredState::Ready, 2));
        assert_eq!(staged.task.replaces.as_ref(), Some(&old.at.name), "so both share what they need");
        assert!(now(&shop, &old).is_serving(), "it is not stopped before the new one is ready");
        shop.come_to_rest();
        assert!(shop.newest(1).is_serving() && shop.newest(1).at.name == staged.at.name);
    }
}

#[test]
fn what_no_stop_can_help_leaves_the_old_task_running() {
    let mut shop = running();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    let beside = shop.newest(1);
    shop.fits_nowhere(&beside, "constraint", None).settle();
    assert!(now(&shop, &old).is_serving());
    assert_eq!(shop.newest(1).at, beside.at);
}

#[test]
fn a_rollback_follows_its_own_order_and_keeps_the_task_that_it_goes_back_to() {
    let mut shop = running();
    let old = shop.newest(1);
    shop.update(2, &[1]).settle();
    let new = shop.newest(1);
    let new = shop.place(&new, 1);
    shop.say(&new, TaskState::Running);
    let back = |rollout: &mut skep_api::rollout::Rollout| {
        rollout.target = 1;
        rollout.state = RolloutState::RollbackStarted;
    };
    shop.roll(back).come_to_rest();
    assert!(now(&shop, &old).is_serving(), "both ran: the right one stays");
    assert!(!now(&shop, &new).is_wanted());

    let mut shop = running();
    shop.update(2, &[1]).come_to_rest();
    shop.roll(back).settle();
    assert_eq!(shop.newest(1).task.desired, DesiredState::Ready, "a rollback is stop-first here");
}

#[test]
fn while_a_third_task_still_stops_in_the_slot_no_more_is_made() {
    let mut shop = running();
    let first = shop.newest(1);
    shop.update(2, &[1]).settle();
    let second = shop.newest(1);
    let second = shop.place(&second, 1);
    shop.say(&second, TaskState::Running).settle();
    shop.update(3, &[1]).settle();
    assert_eq!(shop.newest(1).at, second.at);
    shop.say(&first, TaskState::Shutdown).settle();
    let third = shop.newest(1);
    assert_eq!((third.task.revision, third.at.place), (3, Place::Pending));
    assert!(shop.has_node(STEADY) && now(&shop, &second).is_serving());
}
