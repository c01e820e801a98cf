//! Random lives of a service: whatever people and tasks do, the rules hold, and in the end every slot runs the latest spec.

use proptest::prelude::*;
use skep_api::rollout::{Batch, Rollout, RolloutState};
use skep_api::service::UpdatePolicy;
use skep_api::task::{Slot, TaskState};
use skep_api::time::Span;
use skep_runtime::services::Subject;

use crate::shop::{Shop, web};

#[derive(Debug, Clone)]
enum Whim {
    Scale(u32),
    ChangeImage,
    /// Nothing that matters.
    Touch,
    Follow(TaskState),
    Say(usize, TaskState),
    Wait(u64),
}

fn whim() -> impl Strategy<Value = Whim> {
    let states = || {
        prop::sample::select(vec![
            TaskState::Ready,
            TaskState::Running,
            TaskState::Running,
            TaskState::Failed,
            TaskState::Complete,
        ])
    };
    prop_oneof![
        2 => (0..5_u32).prop_map(Whim::Scale),
        2 => Just(Whim::ChangeImage),
        1 => Just(Whim::Touch),
        6 => states().prop_map(Whim::Follow),
        3 => (0..5_usize, states()).prop_map(|(task, state)| Whim::Say(task, state)),
        2 => prop::sample::select(vec![100_u64, 10_000]).prop_map(Whim::Wait),
    ]
}

fn happen(shop: &mut Shop, whim: &Whim) {
    match whim {
        Whim::Scale(replicas) => shop.scale(*replicas),
        Whim::ChangeImage => shop.change_image(),
        Whim::Touch => shop.apply(),
        Whim::Follow(state) => shop.follow(*state),
        Whim::Say(index, state) => {
            let tasks = shop.tasks();
            if let Some((at, ..)) = tasks.get(*index).filter(|(_, _, old)| old < state) {
                shop.say(at, *state);
            }
        }
        Whim::Wait(millis) => shop.scene.now = shop.scene.now.after(Span::from_millis(*millis)),
    }
}

/// What holds between two states of a rollout, whatever led from one to the other.
fn check(shop: &Shop, old: &Rollout, parallelism: u32) {
    let new = shop.rollout();
    assert!(new.target >= old.target, "numbers only rise");
    let revisions = shop.revisions();
    let needed =
        shop.tasks().into_iter().map(|(_, task, _)| task.revision).chain([new.target]).chain(new.stable);
    for number in needed {
        assert!(revisions.contains(&number), "{number} is needed, but there are {revisions:?}");
    }
    let runs = |revision: u64, slot: &Slot| {
        let tasks = shop.tasks();
        let mut of_slot = tasks.iter().filter(|(_, task, _)| task.slot == *slot);
        of_slot.any(|(_, task, state)| task.revision == revision && *state == TaskState::Running)
    };
    if let Batch::Slots(slots) = &new.batch {
        assert!(parallelism > 0 && slots.len() <= parallelism as usize);
    }
    if let (Batch::Slots(before), true) = (&old.batch, new.batch != old.batch && new.target == old.target) {
        let exists = |slot: &Slot| shop.tasks().iter().any(|(_, task, _)| task.slot == *slot);
        let is_done = before.iter().all(|slot| runs(new.target, slot) || !exists(slot));
        assert!(is_done, "{before:?} was left behind for {:?}", new.batch);
    }
    if new.stable != old.stable {
        assert_eq!(new.stable, Some(new.target));
        assert!(shop.tasks().iter().any(|(_, task, _)| runs(new.target, &task.slot)), "nothing has run it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_slots_are_admitted_in_turn_and_the_latest_spec_wins(
        replicas in 0..4_u32,
        parallelism in 0..3_u32,
        delay in prop::sample::select(vec![0, 5]),
        whims in prop::collection::vec(whim(), 0..60),
    ) {
        let delay = Span::from_secs(delay);
        let mut shop = Shop::open(replicas, UpdatePolicy { parallelism, delay, ..UpdatePolicy::default() });
        shop.scene.settle();
        for whim in &whims {
            let old = shop.rollout();
            happen(&mut shop, whim);
            for _ in 0..50 {
                let before = shop.rollout();
                let plan = shop.scene.plan(&Subject::Service(web()));
                shop.scene.commit(&plan);
                check(&shop, &before, parallelism);
                if plan.changes.is_empty() {
                    break;
                }
            }
            prop_assert!(shop.rollout().target >= old.target);
        }
        for _ in 0..10 {
            shop.follow(TaskState::Running);
            shop.scene.settle();
            shop.scene.now = shop.scene.now.after(Span::from_secs(5));
            shop.scene.settle();
        }
        let rollout = shop.rollout();
        prop_assert_eq!(rollout.state, RolloutState::Completed);
        prop_assert_eq!(rollout.batch, Batch::All);
        prop_assert!(shop.tasks().iter().all(|(_, task, _)| task.revision == rollout.target));
        prop_assert!(shop.tasks().is_empty() || rollout.stable == Some(rollout.target));
        prop_assert!(shop.revisions().len() <= 2, "{:?}", shop.revisions());
    }
}
