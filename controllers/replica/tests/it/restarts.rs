//! The restart policy (Swarm 3.4), from what is stored alone.

use skep_api::node::{Availability, NodeState};
use skep_api::rollout::{Batch, RolloutState};
use skep_api::task::{Cause, DesiredState, TaskState};
use skep_api::time::{Span, Timestamp};

use crate::shop::{STEADY, Shop, slot};

fn seconds(count: u64) -> Span {
    Span::from_secs(count)
}

/// `web` with one slot, which runs.
fn running(restart: &str) -> Shop {
    let mut shop = Shop::with(&[("restart", restart)]);
    shop.come_to_rest();
    shop
}

/// Swarm 12.3.
#[test]
fn a_task_that_is_over_and_not_followed_occupies_its_slot_until_another_revision_comes() {
    let mut shop = running("{condition: on-failure}");
    let done = shop.newest(1);
    shop.end(1, TaskState::Complete, seconds(60)).come_to_rest_in_time();
    assert_eq!(shop.newest(1).at.name, done.at.name);
    shop.scale(2).come_to_rest();
    assert_eq!(shop.in_slot(1).len(), 1, "a slot that is occupied is not filled when another one is");
    assert!(shop.newest(2).is_serving());
    shop.update(2, &[1]).come_to_rest();
    assert!(shop.newest(1).is_serving() && shop.newest(1).task.start_after.is_none());
}

/// Swarm 12.3: or going back would never end.
#[test]
fn while_an_update_is_rolled_back_a_task_of_it_that_is_over_occupies_nothing() {
    let mut shop = running("{condition: none}");
    shop.update(2, &[1]).come_to_rest();
    shop.end(1, TaskState::Failed, seconds(1)).come_to_rest_in_time();
    assert_eq!(shop.newest(1).task.revision, 2);
    shop.roll(|rollout| {
        rollout.target = 1;
        rollout.state = RolloutState::RollbackStarted;
        rollout.batch = Batch::Slots([slot(1)].into());
    });
    shop.come_to_rest();
    assert!(shop.newest(1).is_serving());
    assert_eq!(shop.newest(1).task.revision, 1);
}

/// Swarm 12.7.
#[test]
fn attempts_count_per_slot_and_revision_and_outlive_every_leader() {
    let mut shop = running("{maxAttempts: 2, delay: 1s}");
    shop.scale(2).come_to_rest();
    for attempt in 1..=2 {
        shop.end(1, TaskState::Failed, seconds(20)).check_new_leader();
        shop.settle();
        assert_eq!(shop.newest(1).task.restarts, attempt);
        shop.come_to_rest_in_time();
    }
    let last = shop.newest(1);
    shop.end(1, TaskState::Failed, seconds(20)).come_to_rest_in_time();
    shop.wait(seconds(100_000)).come_to_rest_in_time().check_new_leader();
    assert_eq!(shop.newest(1).at.name, last.at.name, "it has no attempt left");
    shop.end(2, TaskState::Failed, seconds(20)).come_to_rest_in_time();
    assert_eq!(shop.newest(2).task.restarts, 1, "the other slot has its own");
    shop.update(2, &[1]).come_to_rest_in_time();
    shop.end(1, TaskState::Failed, seconds(20)).come_to_rest_in_time();
    assert!(
        shop.newest(1).is_serving() && shop.newest(1).task.restarts == 1,
        "another revision has all of them"
    );
}

/// Swarm 12.7: the history is as long as the attempts, so that people see each of them.
#[test]
fn every_attempt_is_kept_to_be_looked_at() {
    let mut shop = running("{maxAttempts: 7, delay: 0s, maxDelay: 0s}");
    for _ in 0..8 {
        shop.end(1, TaskState::Failed, seconds(1)).come_to_rest_in_time();
    }
    assert_eq!(shop.in_slot(1).len(), 8);
}

/// Swarm 12.8.
#[test]
fn a_window_lies_before_the_end_of_the_task_and_not_before_now() {
    let policy = "{maxAttempts: 2, window: 60s, delay: 0s}";
    let mut shop = running(policy);
    for run in [20, 30, 10] {
        shop.end(1, TaskState::Failed, seconds(run)).come_to_rest_in_time();
    }
    let last = shop.newest(1);
    assert_eq!(last.state, TaskState::Failed, "two attempts in 40 s");
    shop.wait(seconds(3600)).come_to_rest_in_time().check_new_leader();
    assert_eq!(shop.newest(1).at.name, last.at.name, "time alone gives no attempts back");

    let mut shop = running(policy);
    for run in [20, 30, 40] {
        shop.end(1, TaskState::Failed, seconds(run)).come_to_rest_in_time();
    }
    assert!(shop.newest(1).is_serving(), "the first attempt was more than 60 s before the end");
    assert_eq!(shop.newest(1).task.attempts.len(), 2, "no more are kept than are needed");
}

#[test]
fn the_clock_of_a_node_gives_no_attempts_back() {
    for skew in [-3_600_000, 3_600_000] {
        let mut shop = running("{maxAttempts: 2, window: 60s, delay: 0s}");
        for _ in 0..3 {
            shop.wait(seconds(15));
            let seen = shop.newest(1);
            let since = Timestamp::from_millis(shop.scene.now.as_millis() + skew);
            shop.say_with(&seen, TaskState::Failed, |status| status.since = since).come_to_rest_in_time();
        }
        assert_eq!(shop.newest(1).state, TaskState::Failed, "its node's clock is off by {skew} ms");
    }
}

/// Swarm 10.28 (swarmkit#1201): better than Swarm, which has no back-off at all.
#[test]
fn a_crash_loop_backs_off_up_to_a_cap_and_a_healthy_run_ends_it() {
    let mut shop = running("{delay: 5s, maxDelay: 60s}");
    let mut delays = Vec::new();
    for _ in 0..9 {
        shop.end(1, TaskState::Failed, seconds(1)).settle();
        let start = shop.newest(1).task.start_after.unwrap();
        delays.push(start.since(shop.scene.now).as_millis() / 1000);
        shop.check_new_leader();
        shop.wait_for_start(1).come_to_rest();
    }
    assert_eq!(delays, [5, 5, 5, 5, 10, 20, 40, 60, 60]);
    let looping = shop.condition("CrashLooping");
    assert!(looping.0 && looping.2.contains("web.1"), "it runs again, but not for long yet: {looping:?}");
    shop.end(1, TaskState::Failed, seconds(30)).settle();
    assert_eq!(shop.newest(1).task.streak, 9, "longer than 10 s, but shorter than the delay that it waited");
    shop.wait_for_start(1).come_to_rest();
    shop.wait(seconds(60)).come_to_rest();
    assert!(!shop.condition("CrashLooping").0);
    shop.end(1, TaskState::Failed, seconds(60)).settle();
    assert_eq!(shop.newest(1).task.streak, 0);
}

#[test]
fn without_a_cap_the_delay_stays_as_it_is_in_swarm() {
    let mut shop = running("{delay: 5s, maxDelay: 0s}");
    for _ in 0..9 {
        shop.end(1, TaskState::Failed, seconds(1)).settle();
        let start = shop.newest(1).task.start_after.unwrap();
        assert_eq!(start.since(shop.scene.now), seconds(5));
        shop.wait_for_start(1).come_to_rest();
    }
}

/// Swarm 12.6.
#[test]
fn the_successor_of_a_task_on_a_drained_node_waits_for_nothing_and_that_of_a_lost_one_does() {
    let mut shop = running("{}");
    shop.node_wants(STEADY, Availability::Drain, "a");
    shop.end(1, TaskState::Failed, seconds(60)).settle();
    assert_eq!(shop.newest(1).task.start_after, None);
    let mut shop = running("{}");
    shop.node_is(STEADY, NodeState::Down).settle();
    assert!(shop.newest(1).task.start_after.is_some());
}

/// Swarm 10.39 (moby#31014).
#[test]
fn a_node_that_is_lost_uses_no_attempts_up() {
    let mut shop = running("{condition: none}");
    shop.node_is(STEADY, NodeState::Down).settle();
    let second = shop.newest(1);
    assert_eq!((second.task.cause, second.task.restarts), (Cause::Restart, 0));
    let second = shop.place(&second, 1);
    shop.wait_for_start(1).settle();
    assert_eq!(shop.newest(1).task.desired, DesiredState::Running);
    shop.node_is_removed(1).settle();
    assert_ne!(shop.newest(1).at.name, second.at.name, "its node was removed");
    assert_eq!(shop.newest(1).task.restarts, 0);
}
