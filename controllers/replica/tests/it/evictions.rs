//! Tasks that have to leave their node (Swarm 10.9: drain that respects the order of updates).

use skep_api::task::{Cause, DesiredState, TaskState};
use skep_api::time::Span;

use crate::shop::{Seen, Shop};

/// `web` with so many slots, which run on node 1.
pub(crate) fn on_the_first_node(fields: &[(&'static str, &str)], replicas: u32) -> Shop {
    let mut shop = Shop::with(fields);
    shop.scale(replicas).settle();
    for seen in shop.tasks() {
        let seen = shop.place(&seen, 1);
        shop.say(&seen, TaskState::Running);
    }
    shop.settle();
    shop
}

fn evict_all(shop: &mut Shop, now: bool) {
    for seen in shop.tasks() {
        shop.evict(&seen, now);
    }
}

fn serving(shop: &Shop) -> usize {
    shop.tasks().iter().filter(|seen| seen.is_serving()).count()
}

fn evicted(shop: &Shop) -> Vec<Seen> {
    shop.tasks().into_iter().filter(|seen| seen.task.cause == Cause::Evict).collect()
}

#[test]
fn a_drain_moves_one_slot_after_the_other_stop_first_and_prepares_before_it_stops() {
    let mut shop = on_the_first_node(&[], 3);
    evict_all(&mut shop, false);
    shop.settle();
    assert_eq!((evicted(&shop).len(), serving(&shop)), (1, 3), "one is prepared, none is stopped");
    for moved in 1..=3 {
        let next = shop.newest(moved);
        assert_eq!(next.task.desired, DesiredState::Ready);
        let next = shop.place(&next, 2);
        shop.say(&next, TaskState::Ready).settle();
        assert_eq!(serving(&shop), 2);
        let old = shop.by_name(next.task.replaces.as_ref().unwrap()).unwrap();
        shop.say(&old, TaskState::Shutdown).settle();
        assert_eq!(evicted(&shop).len(), moved as usize, "the next slot waits until this one serves again");
        shop.say(&next, TaskState::Running).settle();
        assert_eq!(serving(&shop), 3);
    }
    assert!(shop.tasks().iter().all(|seen| seen.task.restarts == 0));
}

#[test]
fn a_drain_of_a_start_first_service_never_lets_it_have_fewer_tasks() {
    let mut shop = on_the_first_node(&[("update", "{order: start-first, parallelism: 2}")], 3);
    evict_all(&mut shop, false);
    shop.settle();
    assert_eq!(evicted(&shop).len(), 2, "as many at once as in an update");
    for _ in 0..20 {
        shop.settle();
        assert!(serving(&shop) >= 3);
        shop.work();
    }
    assert_eq!(evicted(&shop).iter().filter(|seen| seen.is_serving()).count(), 3);
}

/// Swarm 12.6: drain as Swarm does it.
#[test]
fn a_drain_in_a_hurry_stops_all_at_once_and_waits_for_no_delay() {
    let mut shop = on_the_first_node(&[], 3);
    evict_all(&mut shop, true);
    shop.settle();
    assert_eq!(serving(&shop), 0);
    assert!(evicted(&shop).iter().all(|seen| seen.task.start_after.is_none()));
    shop.come_to_rest();
    assert_eq!(serving(&shop), 3);
}

#[test]
fn a_drain_that_is_taken_back_leaves_the_task_where_it_is() {
    for order in ["stop-first", "start-first"] {
        let mut shop = on_the_first_node(&[("update", &format!("{{order: {order}}}"))], 1);
        let old = shop.newest(1);
        shop.evict(&old, false).settle();
        let next = shop.newest(1);
        shop.place(&next, 2);
        shop.let_stay(&old).come_to_rest();
        assert!(shop.by_name(&old.at.name).unwrap().is_serving(), "{order}");
        assert!(!shop.newest(1).is_wanted(), "{order}");
    }
}

/// Swarm 10.39 (moby#31014): in Swarm a task that is never restarted is lost.
#[test]
fn an_eviction_is_no_attempt() {
    let mut shop = on_the_first_node(&[("restart", "{condition: on-failure, maxAttempts: 1}")], 1);
    shop.end(1, TaskState::Failed, Span::from_secs(1)).come_to_rest_in_time();
    for _ in 0..3 {
        let old = shop.newest(1);
        shop.evict(&old, false).come_to_rest();
        let new = shop.newest(1);
        assert!(new.is_serving() && new.at.name != old.at.name);
        assert_eq!((new.task.restarts, new.task.streak), (1, 1), "neither used up nor given back");
    }
    let last = shop.newest(1);
    shop.end(1, TaskState::Failed, Span::from_secs(1)).come_to_rest_in_time();
    assert_eq!(shop.newest(1).at.name, last.at.name);
}

#[test]
fn a_task_that_has_to_leave_goes_on_while_there_is_room_nowhere_else() {
    for order in ["stop-first", "start-first"] {
        let mut shop = on_the_first_node(&[("update", &format!("{{order: {order}}}"))], 2);
        evict_all(&mut shop, false);
        shop.settle();
        let next = shop.newest(1);
        shop.fits_nowhere(&next, "memory", None).settle();
        assert_eq!(serving(&shop), 2, "{order}: what it frees where it has to leave helps nobody");
        assert_eq!(evicted(&shop).len(), 1, "{order}: it holds its share of the parallelism");
    }
}

/// Its service keeps its tasks apart over a level, so that the nodes around take the successor once the old task is gone.
#[test]
fn a_task_that_has_to_leave_and_alone_keeps_its_successor_away_is_stopped_first() {
    for order in ["stop-first", "start-first"] {
        let mut shop = on_the_first_node(&[("update", &format!("{{order: {order}}}"))], 1);
        let old = shop.newest(1);
        evict_all(&mut shop, false);
        shop.settle();
        // One that was to start beside the old task is made again first, to be prepared and to wait for it.
        for _ in 0..2 {
            let next = shop.newest(1);
            shop.fits_nowhere(&next, "affinity", Some(&old.at.name)).settle();
        }
        let stopped = shop.tasks().into_iter().find(|seen| seen.at == old.at).unwrap();
        assert_eq!(stopped.task.desired, DesiredState::Shutdown, "{order}");
    }
}

#[test]
fn a_successor_that_has_to_leave_itself_before_it_started_is_made_again_elsewhere() {
    let mut shop = on_the_first_node(&[], 1);
    let old = shop.newest(1);
    shop.end(1, TaskState::Failed, Span::from_secs(60)).settle();
    let staged = shop.newest(1);
    let staged = shop.place(&staged, 2);
    shop.say(&staged, TaskState::Ready).evict(&staged, false).settle();
    let again = shop.newest(1);
    assert_eq!((again.task.cause, again.task.start_after), (Cause::Evict, staged.task.start_after));
    assert_eq!(again.task.restarts, 1);
    shop.come_to_rest_in_time();
    assert!(shop.newest(1).is_serving() && shop.newest(1).at.name != old.at.name);
}
