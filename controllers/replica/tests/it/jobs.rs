//! Jobs (Swarm 3.3): tasks that run to their end.

use std::collections::BTreeSet;

use skep_api::node::{Availability, NodeState};
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_api::time::Span;

use crate::shop::{STEADY, Seen, Shop, node};

fn job(fields: &[(&'static str, &str)]) -> Shop {
    Shop::with(&[&[("mode", "replicated-job")], fields].concat())
}

fn under_way(shop: &Shop) -> Vec<Seen> {
    shop.tasks().into_iter().filter(|seen| seen.is_wanted() && !seen.state.is_terminal()).collect()
}

fn names(shop: &Shop) -> BTreeSet<String> {
    shop.tasks().into_iter().map(|seen| seen.at.name.to_string()).collect()
}

#[test]
fn a_job_runs_so_many_at_a_time_until_each_of_its_slots_has_succeeded_once() {
    let mut shop = job(&[("job", "{completions: 5, maxConcurrent: 2}")]);
    let mut most = 0;
    for _ in 0..40 {
        shop.settle();
        most = most.max(under_way(&shop).len());
        shop.work();
    }
    assert_eq!(most, 2);
    let tasks = shop.tasks();
    let slots: Vec<Slot> = tasks.iter().map(|seen| seen.task.slot.clone()).collect();
    assert_eq!(slots, (0..5).map(Slot::Number).collect::<Vec<_>>(), "slots count from 0");
    assert!(tasks.iter().all(|seen| seen.state == TaskState::Complete));
    assert!(tasks.iter().all(|seen| seen.task.desired == DesiredState::Complete));
    let job = shop.status().job.unwrap();
    assert_eq!((job.iteration, job.total, job.completed, job.active, job.failed), (1, 5, 5, 0, 0));
    assert!(job.started.is_some() && job.finished.is_some() && shop.condition("Ready").0);
}

#[test]
fn more_completions_run_more_and_fewer_forget_nothing_that_was_done() {
    let mut shop = job(&[("job", "{completions: 3}")]);
    shop.come_to_rest();
    let first = names(&shop);
    shop.edit("job", "{completions: 1}").come_to_rest();
    shop.edit("job", "{completions: 5}").come_to_rest();
    assert!(first.is_subset(&names(&shop)) && shop.tasks().len() == 5, "{:?}", names(&shop));
    assert_eq!(shop.status().job.unwrap().completed, 5);
}

#[test]
fn another_revision_is_another_iteration_and_runs_everything_again() {
    let mut shop = job(&[("job", "{completions: 2}")]);
    shop.come_to_rest();
    let first = names(&shop);
    shop.wait(Span::from_secs(60)).roll(|rollout| rollout.target = 2);
    shop.come_to_rest();
    assert!(first.is_disjoint(&names(&shop)), "tasks of older iterations are removed");
    let job = shop.status().job.unwrap();
    assert_eq!((job.iteration, job.completed), (2, 2));
    assert!(job.started >= Some(shop.scene.now), "it tells of this iteration");
}

#[test]
fn a_new_iteration_waits_in_each_slot_for_what_still_runs_there() {
    let mut shop = job(&[("job", "{completions: 1}")]);
    shop.settle();
    let old = shop.newest(0);
    let old = shop.place(&old, 1);
    shop.say(&old, TaskState::Running).roll(|rollout| rollout.target = 2).settle();
    assert_eq!(shop.by_name(&old.at.name).unwrap().task.desired, DesiredState::Remove);
    assert_eq!(shop.newest(0).task.desired, DesiredState::Ready);
    shop.say(&old, TaskState::Shutdown).settle();
    assert_eq!(shop.newest(0).task.desired, DesiredState::Complete);
    assert!(shop.by_name(&old.at.name).is_none());
}

#[test]
fn a_slot_without_attempts_left_has_failed_and_the_others_go_on() {
    let mut shop = job(&[("job", "{completions: 3, maxConcurrent: 1}"), ("restart", "{maxAttempts: 1}")]);
    for _ in 0..2 {
        shop.come_to_rest_with_failing(0);
    }
    let job = shop.status().job.unwrap();
    assert_eq!((job.completed, job.failed, job.active, job.total), (2, 1, 0, 3));
    assert!(job.finished.is_some() && !shop.condition("Ready").0);
    assert_eq!(shop.in_slot(0).len(), 2, "one attempt and one more");
    let quiet = shop.scene.revision();
    shop.wait(Span::from_secs(100_000)).come_to_rest_in_time();
    assert_eq!(shop.scene.revision(), quiet);
}

#[test]
fn a_job_treats_any_as_on_failure_and_forgets_failures_beyond_the_history() {
    let mut shop =
        job(&[("job", "{completions: 1}"), ("restart", "{condition: any, delay: 0s, maxDelay: 0s}")]);
    for _ in 0..9 {
        shop.settle();
        let seen = shop.newest(0);
        let seen = shop.place(&seen, 1);
        shop.say(&seen, TaskState::Failed).settle();
    }
    shop.come_to_rest_in_time();
    assert_eq!(shop.newest(0).state, TaskState::Complete);
    assert_eq!(shop.in_slot(0).len(), 6, "five failures (Swarm keeps all of them), and what completed it");
}

#[test]
fn a_slot_that_was_done_on_a_node_that_was_away_is_not_run_to_its_end_twice() {
    let mut shop = job(&[("job", "{completions: 1}")]);
    shop.settle();
    let first = shop.newest(0);
    let first = shop.place(&first, 1);
    shop.say(&first, TaskState::Running).settle();
    shop.node_is(1, NodeState::Down).settle();
    let second = shop.newest(0);
    let second = shop.place(&second, 2);
    shop.wait(Span::from_secs(5)).settle();
    shop.say(&second, TaskState::Running).settle();
    shop.node_is(1, NodeState::Ready).say(&first, TaskState::Complete).settle();
    assert_eq!(shop.by_name(&second.at.name).unwrap().task.desired, DesiredState::Shutdown);
    assert_eq!(shop.status().job.unwrap().completed, 1);
}

/// Swarm 10.39.
#[test]
fn a_job_that_has_to_leave_its_node_is_run_again_without_using_up_attempts() {
    let mut shop = job(&[("job", "{completions: 1}"), ("restart", "{condition: none}")]);
    shop.settle();
    let first = shop.newest(0);
    let first = shop.place(&first, 1);
    shop.say(&first, TaskState::Running).evict(&first, false).settle();
    assert_eq!(shop.by_name(&first.at.name).unwrap().task.desired, DesiredState::Shutdown);
    shop.come_to_rest();
    assert_eq!((shop.newest(0).state, shop.newest(0).task.restarts), (TaskState::Complete, 0));
}

/// Swarm 12.24: Swarm's global jobs forget node events.
#[test]
fn a_global_job_runs_once_on_every_node_also_on_one_that_joins_late() {
    let mut shop = Shop::with(&[("mode", "global-job")]);
    shop.node_wants(2, Availability::Drain, "a").come_to_rest();
    assert_eq!(shop.status().job.unwrap().completed, 2);
    shop.node_is(3, NodeState::Ready).come_to_rest();
    assert_eq!(shop.newest_on(3).unwrap().state, TaskState::Complete);
    shop.node_wants(2, Availability::Active, "a").come_to_rest();
    let job = shop.status().job.unwrap();
    assert_eq!((job.total, job.completed), (4, 4));
    let first = names(&shop);
    shop.node_is(1, NodeState::Down).come_to_rest();
    shop.node_is(1, NodeState::Ready).come_to_rest();
    assert_eq!(names(&shop), first, "what is done on a node stays done");
}

/// Swarm 3.3: Swarm counts them for all nodes together.
#[test]
fn a_global_job_counts_attempts_per_node() {
    let mut shop = Shop::with(&[("mode", "global-job"), ("restart", "{maxAttempts: 1, delay: 0s}")]);
    for number in [1, 2, 1, 2] {
        shop.settle();
        let seen = shop.newest_on(number).unwrap();
        let seen = shop.place(&seen, number);
        shop.say(&seen, TaskState::Failed);
    }
    shop.come_to_rest();
    assert_eq!([1, 2].map(|number| shop.newest_on(number).unwrap().task.restarts), [1, 1]);
    let job = shop.status().job.unwrap();
    assert_eq!((job.completed, job.failed), (1, 2));
    let failed = shop.newest_on(1).unwrap();
    shop.node_wants(1, Availability::Drain, "a").come_to_rest();
    shop.node_wants(1, Availability::Active, "a").come_to_rest();
    assert_eq!(shop.newest_on(1).unwrap().at, failed.at, "a node that was away gives no attempts back");
    assert_eq!(shop.newest_on(STEADY).unwrap().task.slot, Slot::Node(node(STEADY)));
}
