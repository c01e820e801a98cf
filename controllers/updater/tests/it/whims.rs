//! Random lives of a service: whatever people and tasks do, the rules hold, and in the end every slot runs what it should.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skep_api::rollout::{Batch, Rollout, RolloutState};
use skep_api::service::{FailureAction, UpdatePolicy};
use skep_api::task::{Slot, TaskState};
use skep_api::time::Span;

use crate::shop::Shop;

#[derive(Debug, Clone)]
enum Whim {
    Scale(u32),
    ChangeImage,
    /// Nothing that matters.
    Touch,
    Partition(Option<u32>),
    FailureAction(FailureAction),
    Pause(bool),
    /// Of the target, or of another revision.
    Resume(bool),
    /// Of the target, or of another revision.
    Abort(bool),
    Follow(TaskState),
    Say(usize, TaskState),
    Wait(u64),
}

fn action() -> impl Strategy<Value = FailureAction> {
    prop::sample::select(vec![FailureAction::Pause, FailureAction::Continue, FailureAction::Rollback])
}

fn whim() -> impl Strategy<Value = Whim> {
    let states = || {
        prop::sample::select(vec![
            TaskState::Ready,
            TaskState::Running,
            TaskState::Running,
            TaskState::Failed,
            TaskState::Complete,
            TaskState::Shutdown,
        ])
    };
    prop_oneof![
        2 => (0..5_u32).prop_map(Whim::Scale),
        2 => Just(Whim::ChangeImage),
        1 => Just(Whim::Touch),
        1 => prop::option::of(0..4_u32).prop_map(Whim::Partition),
        1 => action().prop_map(Whim::FailureAction),
        1 => any::<bool>().prop_map(Whim::Pause),
        1 => any::<bool>().prop_map(Whim::Resume),
        1 => any::<bool>().prop_map(Whim::Abort),
        8 => states().prop_map(Whim::Follow),
        4 => (0..8_usize, states()).prop_map(|(task, state)| Whim::Say(task, state)),
        4 => prop::sample::select(vec![100_u64, 3_000, 10_000, 700_000]).prop_map(Whim::Wait),
    ]
}

fn happen(shop: &mut Shop, whim: &Whim) {
    let target = shop.rollout().target;
    let revision = |is_target: &bool| Some(if *is_target { target } else { target.saturating_sub(1) });
    match whim {
        Whim::Scale(replicas) => shop.scale(*replicas),
        Whim::ChangeImage => shop.change_image(),
        Whim::Touch => shop.apply(),
        Whim::Partition(partition) => {
            shop.spec.update.partition = *partition;
            shop.apply();
        }
        Whim::FailureAction(action) => {
            shop.spec.update.failure_action = *action;
            shop.apply();
        }
        Whim::Pause(paused) => shop.say_of_rollout(*paused, None, None),
        Whim::Resume(is_target) => shop.say_of_rollout(false, revision(is_target), None),
        Whim::Abort(is_target) => shop.say_of_rollout(false, None, revision(is_target)),
        Whim::Follow(state) => shop.follow(*state),
        Whim::Say(index, state) => {
            let tasks = shop.tasks();
            let found = tasks.get(*index).filter(|(_, _, old)| old < state && !old.is_terminal());
            if let Some((at, ..)) = found {
                shop.say(at, *state);
            }
        }
        Whim::Wait(millis) => shop.wait(Span::from_millis(*millis)),
    }
}

/// The slots that run the target.
fn there(shop: &Shop, target: u64) -> BTreeSet<Slot> {
    let running = shop.tasks().into_iter().filter(|(_, task, state)| {
        task.revision == target
            && *state == TaskState::Running
            && task.desired < skep_api::task::DesiredState::Shutdown
    });
    running.map(|(_, task, _)| task.slot).collect()
}

fn existing(shop: &Shop) -> BTreeSet<Slot> {
    shop.tasks().into_iter().map(|(_, task, _)| task.slot).collect()
}

/// The slots in which a task has failed, by what the world says now.
fn failing(shop: &Shop, rollout: &Rollout, policy: &UpdatePolicy) -> BTreeSet<Slot> {
    let created = |at: &skep_api::key::TaskRef| at.name.planned_at();
    let failed = shop.tasks().into_iter().filter(|(at, task, state)| {
        let ended = matches!(state, TaskState::Failed | TaskState::Rejected | TaskState::Complete);
        let is_early = shop.status(at).is_some_and(|status| {
            status.running.is_none_or(|running| status.since.since(running) <= policy.monitor)
        });
        task.revision == rollout.target && created(at) >= rollout.since.unsigned_abs() && ended && is_early
    });
    failed.map(|(_, task, _)| task.slot).chain(rollout.failed.iter().cloned()).collect()
}

fn is_moving(rollout: &Rollout) -> bool {
    matches!(rollout.state, RolloutState::Updating | RolloutState::RollbackStarted)
}

fn is_back(rollout: &Rollout) -> bool {
    matches!(
        rollout.state,
        RolloutState::RollbackStarted | RolloutState::RollbackPaused | RolloutState::RollbackCompleted
    )
}

fn policy<'a>(shop: &'a Shop, rollout: &Rollout) -> &'a UpdatePolicy {
    match rollout.state {
        RolloutState::Updating | RolloutState::Paused | RolloutState::Completed => &shop.spec.update,
        RolloutState::RollbackStarted | RolloutState::RollbackPaused | RolloutState::RollbackCompleted => {
            &shop.spec.rollback
        }
    }
}

/// What holds between two states of a rollout, whatever led from one to the other. `shop` is as it was when the step was
/// planned, but for the rollout.
fn check(shop: &Shop, old: &Rollout) {
    let new = shop.rollout();
    let is_new_spec = new.target > old.target && !is_back(&new);
    let turned_round = is_back(&new) && !is_back(old);
    if new.target != old.target {
        assert!(is_new_spec || turned_round, "{old:?} became {new:?}");
    }
    if turned_round {
        assert_eq!((Some(new.target), new.stable), (old.stable, old.stable), "invariant 22");
        assert!(new.failure.is_some() && !new.message.is_empty());
    }
    if is_new_spec {
        assert_eq!(new.stable, old.stable, "moby#37693");
    }
    assert!(new.obeyed >= old.obeyed);
    let revisions = shop.revisions();
    let tasks = shop.tasks().into_iter().map(|(_, task, _)| task.revision);
    for number in tasks.chain([new.target]).chain(new.stable) {
        assert!(revisions.contains(&number), "{number} is needed, but there are {revisions:?}");
    }
    if new.stable != old.stable {
        assert_eq!(new.stable, Some(new.target));
    }
    check_admission(shop, old, &new);
}

/// Reliability.md, invariants 19 (as far as it is the updater's) and 21.
fn check_admission(shop: &Shop, old: &Rollout, new: &Rollout) {
    let Batch::Slots(after) = &new.batch else { return };
    let before = match &old.batch {
        Batch::Slots(slots) if old.target == new.target => slots.clone(),
        Batch::Slots(_) | Batch::All => BTreeSet::new(),
    };
    let added: BTreeSet<&Slot> = after.difference(&before).collect();
    if added.is_empty() {
        return;
    }
    let policy = policy(shop, new);
    assert!(policy.parallelism == 0 || added.len() <= policy.parallelism as usize, "invariant 19: {added:?}");
    assert!(is_moving(new), "a rollout that is held admits {added:?}");
    if old.target != new.target || !is_moving(old) {
        return;
    }
    let (there, exists) = (there(shop, new.target), existing(shop));
    let is_over = |slot: &Slot| there.contains(slot) || new.failed.contains(slot) || !exists.contains(slot);
    let has_outlived =
        |slot: &Slot| shop.tasks().iter().any(|(_, task, state)| task.slot == *slot && state.is_terminal());
    assert!(
        before.iter().all(|slot| is_over(slot) || has_outlived(slot)),
        "{before:?} was left behind for {after:?}"
    );
    let failed = u32::try_from(failing(shop, new, policy).len()).unwrap();
    let is_exceeded = policy.max_failure_ratio.is_exceeded_by(failed, new.total);
    assert!(!is_exceeded || policy.failure_action == FailureAction::Continue, "invariant 21: {new:?}");
    if let (Some(most), RolloutState::Updating) = (policy.partition, new.state) {
        let of_target = shop.tasks().into_iter().filter(|(_, task, _)| task.revision == new.target);
        let admitted: BTreeSet<Slot> =
            of_target.map(|(_, task, _)| task.slot).chain(added.into_iter().cloned()).collect();
        assert!(admitted.len() <= most as usize, "no more than {most}: {admitted:?}");
    }
}

/// Plans until nothing is left to do, and checks every step; then nothing is left to do a moment later either.
fn settle(shop: &mut Shop) {
    for _ in 0..50 {
        let before = shop.rollout();
        let plan = shop.plan();
        if plan.changes.is_empty() {
            let soon = shop.scene.now.after(Span::from_millis(50));
            if plan.again.is_none_or(|again| again > soon) {
                let now = std::mem::replace(&mut shop.scene.now, soon);
                let later = shop.plan();
                shop.scene.now = now;
                assert_eq!(
                    (later.changes, later.again),
                    (plan.changes, plan.again),
                    "planned a moment later"
                );
            }
            return;
        }
        shop.scene.commit(&plan);
        check(shop, &before);
    }
    panic!("planning does not come to rest: {:?}", shop.rollout());
}

fn policies() -> impl Strategy<Value = UpdatePolicy> {
    let spans = |secs: Vec<u64>| prop::sample::select(secs).prop_map(Span::from_secs);
    let ratio = prop::sample::select(vec!["0", "0.3", "1"]);
    let partition = prop::option::weighted(0.3, 0..4_u32);
    (0..3_u32, spans(vec![0, 5]), spans(vec![0, 5]), spans(vec![0, 600]), action(), ratio, partition)
        .prop_map(|(parallelism, delay, monitor, deadline, failure_action, ratio, partition)| UpdatePolicy {
            parallelism,
            delay,
            monitor,
            deadline,
            failure_action,
            max_failure_ratio: ratio.parse().unwrap(),
            partition,
            ..UpdatePolicy::default()
        })
}

/// Nobody holds anything any more, and every task runs.
fn calm_down(shop: &mut Shop) {
    shop.spec.update.partition = None;
    shop.apply();
    shop.say_of_rollout(false, None, None);
    for _ in 0..12 {
        settle(shop);
        let rollout = shop.rollout();
        if rollout.is_paused() {
            shop.say_of_rollout(false, Some(rollout.target), None);
            settle(shop);
        }
        shop.follow(TaskState::Running);
        settle(shop);
        shop.wait(Span::from_secs(5));
    }
    settle(shop);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_slots_are_admitted_in_turn_and_the_latest_spec_or_what_was_stable_wins(
        replicas in 0..4_u32,
        update in policies(),
        rollback in policies(),
        whims in prop::collection::vec(whim(), 0..60),
    ) {
        let mut shop = Shop::open(replicas, update);
        let may_roll_back = rollback.failure_action == FailureAction::Rollback;
        shop.spec.rollback = UpdatePolicy {
            partition: None,
            failure_action: if may_roll_back { FailureAction::Pause } else { rollback.failure_action },
            ..rollback
        };
        shop.scene.settle();
        for whim in &whims {
            happen(&mut shop, whim);
            settle(&mut shop);
        }
        calm_down(&mut shop);
        let rollout = shop.rollout();
        let is_over = matches!(rollout.state, RolloutState::Completed | RolloutState::RollbackCompleted);
        prop_assert!(is_over, "{rollout:?}");
        prop_assert_eq!(&rollout.batch, &Batch::All);
        let is_latest = shop.revisions().last() == Some(&rollout.target);
        prop_assert!(is_latest || rollout.state == RolloutState::RollbackCompleted);
        prop_assert!(shop.running_revisions().iter().all(|revision| *revision == rollout.target));
        prop_assert_eq!(shop.running_revisions().len(), shop.spec.replicas as usize);
        prop_assert!(shop.spec.replicas == 0 || rollout.stable == Some(rollout.target));
        prop_assert!(shop.revisions().len() <= 13 + 2, "{:?}", shop.revisions());
    }
}
