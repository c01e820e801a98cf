//! Tasks that would be better on another node: nobody notices when they move, or they stay where they are.

use skep_api::eviction::EvictionReason;
use skep_api::key::Place;
use skep_api::task::{Cause, DesiredState, TaskState};
use skep_api::time::Span;

use crate::evictions::on_the_first_node;
use crate::shop::{Seen, Shop, node};

fn now(shop: &Shop, seen: &Seen) -> Seen {
    shop.by_name(&seen.at.name).unwrap()
}

fn all_move(shop: &mut Shop) {
    for seen in shop.tasks() {
        shop.rebalance(&seen);
    }
    shop.settle();
}

fn successors(shop: &Shop) -> Vec<Seen> {
    shop.tasks().into_iter().filter(|seen| seen.task.cause == Cause::Evict).collect()
}

/// The only slot, whose task is about to move, and its successor, which is `state` on node 2.
fn under_way(fields: &[(&'static str, &str)], state: Option<TaskState>) -> (Shop, Seen, Seen) {
    let mut shop = on_the_first_node(fields, 1);
    let old = shop.newest(1);
    shop.rebalance(&old).settle();
    let mut next = shop.newest(1);
    assert_ne!(next.at, old.at);
    if let Some(state) = state {
        next = shop.place(&next, 2);
        if state > TaskState::Assigned {
            shop.say(&next, state);
        }
    }
    shop.settle();
    (shop, old, next)
}

/// What is wanted in the only slot in the end: one task, which serves and has all its attempts.
fn ends_with(shop: &mut Shop, expected: &Seen) {
    shop.come_to_rest_in_time();
    let wanted: Vec<Seen> = shop.in_slot(1).into_iter().filter(Seen::is_wanted).collect();
    let [only] = wanted.as_slice() else { panic!("{wanted:#?}") };
    assert_eq!(only.at.name, expected.at.name);
    assert!(only.is_serving());
    assert_eq!((only.task.restarts, only.task.streak), (0, 0));
    assert!(only.task.attempts.is_empty());
}

#[test]
fn a_task_moves_start_first_even_if_the_service_is_stop_first() {
    for order in ["stop-first", "start-first"] {
        let (mut shop, old, next) = under_way(&[("update", &format!("{{order: {order}}}"))], None);
        assert_eq!((next.task.desired, next.task.cause), (DesiredState::Running, Cause::Evict), "{order}");
        assert_eq!(next.task.replaces.as_ref(), Some(&old.at.name));
        let next = shop.place(&next, 2);
        for state in [TaskState::Preparing, TaskState::Ready, TaskState::Starting] {
            shop.say(&next, state).settle();
            assert!(now(&shop, &old).is_serving(), "the new one is {state}");
        }
        shop.say(&next, TaskState::Running).settle();
        assert_eq!(now(&shop, &old).task.desired, DesiredState::Shutdown);
        ends_with(&mut shop, &next);
    }
}

#[test]
fn as_many_move_at_once_as_the_parallelism_says_and_none_while_a_task_must_leave() {
    let mut shop = on_the_first_node(&[("update", "{parallelism: 2}")], 4);
    all_move(&mut shop);
    assert_eq!(successors(&shop).len(), 2);
    let mut shop = on_the_first_node(&[("update", "{parallelism: 2}")], 3);
    let last = shop.newest(3);
    shop.evict(&last, false);
    for slot in [1, 2] {
        let seen = shop.newest(slot);
        shop.rebalance(&seen);
    }
    shop.settle();
    let begun: Vec<_> = successors(&shop).into_iter().map(|seen| seen.task.slot).collect();
    assert_eq!(begun, [crate::shop::slot(3)]);
    shop.let_stay(&last).settle();
    assert_eq!(successors(&shop).into_iter().filter(Seen::is_wanted).count(), 2);
}

#[test]
fn nothing_is_stopped_to_make_room_for_a_move() {
    for order in ["stop-first", "start-first"] {
        for filter in ["memory", "host-port", "max-replicas", "cpus"] {
            let (mut shop, old, next) = under_way(&[("update", &format!("{{order: {order}}}"))], None);
            shop.fits_nowhere(&next, filter, None).settle();
            assert!(now(&shop, &old).is_serving(), "{order} {filter}");
            assert_eq!(shop.newest(1).at, next.at, "it waits, until the request is taken back");
            shop.let_stay(&old).settle();
            assert_eq!(shop.by_name(&next.at.name).map(|seen| seen.at), None, "nobody has started on it");
            ends_with(&mut shop, &old);
        }
    }
}

#[test]
fn a_move_that_is_taken_back_is_undone_while_the_new_task_does_not_run() {
    let states = [TaskState::Assigned, TaskState::Preparing, TaskState::Ready, TaskState::Starting];
    for state in states.map(Some).into_iter().chain([None]) {
        let (mut shop, old, next) = under_way(&[], state);
        shop.let_stay(&old).settle();
        let is_wanted = shop.by_name(&next.at.name).is_some_and(|seen| seen.is_wanted());
        assert!(!is_wanted && now(&shop, &old).is_serving(), "{state:?}");
        ends_with(&mut shop, &old);
    }
}

#[test]
fn a_move_that_is_taken_back_stays_done_once_the_new_task_runs() {
    let mut shop = on_the_first_node(&[], 1);
    let old = shop.newest(1);
    shop.rebalance(&old).settle();
    let next = shop.newest(1);
    let next = shop.place(&next, 2);
    shop.say(&next, TaskState::Running).let_stay(&old).settle();
    assert_eq!(now(&shop, &old).task.desired, DesiredState::Shutdown, "it would only be moved again");
    ends_with(&mut shop, &next);
}

#[test]
fn a_request_that_comes_back_and_goes_leaves_one_task() {
    let (mut shop, old, first) = under_way(&[], Some(TaskState::Preparing));
    shop.let_stay(&old).settle();
    shop.rebalance(&old).settle();
    assert!(successors(&shop).iter().all(|seen| seen.at.name == first.at.name), "the first one still stops");
    shop.say(&first, TaskState::Shutdown).settle();
    let second = shop.newest(1);
    assert!(second.at.name != first.at.name && second.is_wanted());
    ends_with(&mut shop, &second);
}

/// Each failed start would be an attempt, and the old task serves as well as ever.
#[test]
fn a_move_whose_new_task_fails_is_not_tried_again_and_uses_no_attempt_up() {
    for restart in ["{}", "{condition: none}", "{maxAttempts: 1}"] {
        for state in [TaskState::Rejected, TaskState::Failed, TaskState::Complete] {
            let (mut shop, old, next) = under_way(&[("restart", restart)], Some(state));
            shop.wait(Span::from_secs(600)).settle();
            assert_eq!(shop.newest(1).at.name, next.at.name, "{restart} {state}");
            assert!(now(&shop, &old).is_serving());
            shop.let_stay(&old).settle();
            assert!(!now(&shop, &next).is_wanted());
            ends_with(&mut shop, &old);
        }
    }
}

#[test]
fn a_move_that_failed_holds_neither_other_moves_nor_drains_up() {
    let mut shop = on_the_first_node(&[], 2);
    let old = shop.newest(1);
    shop.rebalance(&old).settle();
    let next = shop.newest(1);
    let next = shop.place(&next, 2);
    shop.say(&next, TaskState::Failed);
    let other = shop.newest(2);
    shop.evict(&other, false).settle();
    assert_ne!(shop.newest(2).at, other.at);
}

#[test]
fn a_node_that_is_lost_with_the_new_task_ends_the_move_and_one_with_the_old_task_completes_it() {
    let (mut shop, old, next) = under_way(&[], Some(TaskState::Preparing));
    shop.node_is(2, skep_api::node::NodeState::Down).settle();
    assert!(now(&shop, &old).is_serving() && shop.newest(1).at == next.at);
    shop.let_stay(&old).settle();
    ends_with(&mut shop, &old);

    let (mut shop, old, next) = under_way(&[], Some(TaskState::Preparing));
    shop.node_is(1, skep_api::node::NodeState::Down).settle();
    assert!(!now(&shop, &old).is_wanted());
    ends_with(&mut shop, &next);
}

#[test]
fn an_old_task_that_fails_during_its_move_is_followed_by_the_one_that_comes_anyway() {
    let (mut shop, old, next) = under_way(&[], Some(TaskState::Starting));
    shop.say(&old, TaskState::Failed).settle();
    assert_eq!(shop.in_slot(1).len(), 2);
    ends_with(&mut shop, &next);
}

/// Swarm 12.13: an update is never held up by a move, and falls back to stop-first as if there was none.
#[test]
fn an_update_withdraws_a_move_and_goes_its_own_way() {
    let (mut shop, old, next) = under_way(&[("update", "{order: start-first}")], Some(TaskState::Preparing));
    shop.update(2, &[1]).settle();
    assert!(!now(&shop, &next).is_wanted());
    shop.say(&next, TaskState::Shutdown).settle();
    let beside = shop.newest(1);
    assert_eq!((beside.task.revision, beside.task.cause), (2, Cause::Update));
    shop.fits_nowhere(&beside, "memory", None).settle();
    let staged = shop.newest(1);
    assert_eq!((staged.task.desired, staged.task.revision), (DesiredState::Ready, 2));
    assert!(now(&shop, &old).is_serving());
    ends_with(&mut shop, &staged);
}

#[test]
fn a_task_that_had_to_leave_and_now_only_would_be_better_elsewhere_is_not_stopped_for_what_was_prepared() {
    let mut shop = on_the_first_node(&[], 1);
    let old = shop.newest(1);
    shop.evict(&old, false).settle();
    let staged = shop.newest(1);
    let staged = shop.place(&staged, 2);
    shop.say(&staged, TaskState::Ready).rebalance(&old).settle();
    assert!(now(&shop, &old).is_serving() && !now(&shop, &staged).is_wanted());
    shop.say(&staged, TaskState::Shutdown).settle();
    let next = shop.newest(1);
    assert_eq!((next.task.desired, next.at.place.clone()), (DesiredState::Running, Place::Pending));
    ends_with(&mut shop, &next);
}

#[test]
fn a_task_that_moves_and_then_must_leave_goes_on_to_where_it_was_going() {
    let (mut shop, old, next) = under_way(&[], Some(TaskState::Starting));
    shop.evict(&old, false).settle();
    assert!(now(&shop, &old).is_serving() && now(&shop, &next).is_wanted());
    ends_with(&mut shop, &next);
}

#[test]
fn what_does_not_run_yet_and_a_request_in_a_hurry_are_no_reason_to_stop_anything() {
    let mut shop = Shop::with(&[]);
    shop.scale(1).settle();
    let seen = shop.newest(1);
    let seen = shop.place(&seen, 1);
    shop.say(&seen, TaskState::Starting).rebalance(&seen).settle();
    assert_eq!(shop.in_slot(1).len(), 1, "it is not running yet");
    shop.say(&seen, TaskState::Running).settle();
    assert_eq!(shop.in_slot(1).len(), 2);

    let mut shop = on_the_first_node(&[], 1);
    let old = shop.newest(1);
    shop.ask(&old, EvictionReason::Rebalance, true).settle();
    assert!(now(&shop, &old).is_serving());
    assert_eq!(shop.newest(1).task.desired, DesiredState::Running);
}

#[test]
fn what_no_task_is_made_of_any_more_stays_where_it_is() {
    let mut shop = on_the_first_node(&[], 1);
    let old = shop.newest(1);
    shop.rebalance(&old);
    // Revision 1 is neither the target nor stable, and the slot is not in the batch.
    shop.update(3, &[]);
    shop.roll(|rollout| rollout.stable = Some(2)).settle();
    assert!(now(&shop, &old).is_serving());
}

#[test]
fn jobs_and_global_tasks_are_never_moved() {
    for mode in ["replicated-job", "global-job", "global"] {
        let mut shop = Shop::with(&[("mode", mode)]);
        shop.scale(1).settle();
        let tasks = shop.tasks();
        let on = |seen: &Seen| match &seen.task.slot {
            skep_api::task::Slot::Node(id) => (1..10).find(|number| node(*number) == *id).unwrap(),
            skep_api::task::Slot::Number(_) => 1,
        };
        for seen in &tasks {
            let seen = shop.place(seen, on(seen));
            shop.say(&seen, TaskState::Running).rebalance(&seen);
        }
        assert!(!tasks.is_empty());
        shop.settle();
        assert_eq!(shop.tasks().len(), tasks.len(), "{mode}");
        assert!(
            shop.tasks().iter().all(|seen| seen.is_wanted() && seen.state == TaskState::Running),
            "{mode}"
        );
    }
}
