//! Random lives of a service: whatever people, nodes, agents, the scheduler and the updater do, the rules hold, and when
//! everybody works again the service comes to what is wanted and stays there.

use proptest::prelude::*;
use skep_api::key::{Key, Place};
use skep_api::node::NodeState;
use skep_api::rollout::{Batch, RolloutState};
use skep_api::task::{DesiredState, TaskState};
use skep_api::time::Span;
use skep_runtime::controller::World as _;
use skep_runtime::plan::Change as _;

use crate::rules::{Rules, check_guards};
use crate::shop::{Shop, slot, web};

/// Something that happens.
#[derive(Debug, Clone)]
enum Whim {
    Scale(u32),
    /// A new revision, of which the first slots are these.
    Update(Vec<u32>),
    /// Slots are admitted.
    Admit(Vec<u32>),
    /// The target is declared stable.
    Complete,
    Place(usize, u64),
    Say(usize, TaskState),
    FitsNowhere(usize),
    Node(u64, NodeState),
    RemoveNode(u64),
    Wait(u64),
    Work,
    Recreate(u32),
}

fn whim() -> impl Strategy<Value = Whim> {
    let slots = || prop::collection::vec(1..5_u32, 0..3);
    let states = prop::sample::select(vec![
        TaskState::Accepted,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Complete,
        TaskState::Shutdown,
        TaskState::Failed,
        TaskState::Rejected,
    ]);
    let nodes = prop::sample::select(vec![NodeState::Ready, NodeState::Unreachable, NodeState::Down]);
    prop_oneof![
        3 => (0..5_u32).prop_map(Whim::Scale),
        2 => slots().prop_map(Whim::Update),
        3 => slots().prop_map(Whim::Admit),
        1 => Just(Whim::Complete),
        6 => (0..20_usize, 1..4_u64).prop_map(|(task, node)| Whim::Place(task, node)),
        12 => (0..20_usize, states).prop_map(|(task, state)| Whim::Say(task, state)),
        1 => (0..20_usize).prop_map(Whim::FitsNowhere),
        2 => (1..4_u64, nodes).prop_map(|(node, state)| Whim::Node(node, state)),
        1 => (1..3_u64).prop_map(Whim::RemoveNode),
        4 => prop::sample::select(vec![100_u64, 5_000, 60_000]).prop_map(Whim::Wait),
        4 => Just(Whim::Work),
        1 => (0..4_u32).prop_map(Whim::Recreate),
    ]
}

fn happen(shop: &mut Shop, whim: &Whim) {
    let tasks = shop.tasks();
    let some = |index: usize| tasks.get(index % tasks.len().max(1)).cloned();
    let target = shop.rollout.target;
    match whim {
        Whim::Scale(replicas) => drop(shop.scale(*replicas)),
        Whim::Update(slots) => drop(shop.roll(|rollout| {
            rollout.target = target + 1;
            rollout.batch = Batch::Slots(slots.iter().copied().map(slot).collect());
            rollout.state = RolloutState::Updating;
        })),
        Whim::Admit(slots) => drop(shop.roll(|rollout| {
            rollout.batch = Batch::Slots(slots.iter().copied().map(slot).collect());
        })),
        Whim::Complete => drop(shop.roll(|rollout| {
            rollout.stable = Some(target);
            rollout.batch = Batch::All;
            rollout.state = RolloutState::Completed;
        })),
        Whim::Place(index, node) => {
            if let Some(seen) =
                some(*index).filter(|seen| seen.at.place == Place::Pending && shop.has_node(*node))
            {
                shop.place(&seen, *node);
            }
        }
        Whim::Say(index, state) => {
            let may = |seen: &crate::shop::Seen| {
                let is_allowed = *state < TaskState::Running || seen.task.desired != DesiredState::Ready;
                let is_end = state.is_terminal() && *state != TaskState::Shutdown;
                let stops = *state == TaskState::Shutdown && seen.task.desired >= DesiredState::Shutdown;
                seen.state < *state
                    && !seen.state.is_terminal()
                    && seen.at.place != Place::Pending
                    && (is_end || stops || (is_allowed && !state.is_terminal()))
            };
            if let Some(seen) = some(*index).filter(may) {
                shop.say(&seen, *state);
            }
        }
        Whim::FitsNowhere(index) => {
            if let Some(seen) = some(*index).filter(|seen| seen.at.place == Place::Pending) {
                shop.fits_nowhere(&seen, "memory");
            }
        }
        Whim::Node(node, state) => drop(shop.node_is(*node, *state)),
        Whim::RemoveNode(node) => drop(shop.node_is_removed(*node)),
        Whim::Wait(millis) => drop(shop.wait(Span::from_millis(*millis))),
        Whim::Work => shop.work(),
        Whim::Recreate(replicas) => {
            shop.scene.delete(Key::Service(web()));
            shop.rollout.stable = None;
            shop.scale(*replicas);
        }
    }
}

/// Plans and commits until nothing changes, and checks the rules after every round.
fn settle(shop: &mut Shop, rules: &mut Rules) {
    rules.check(shop);
    let rounds = (0..100).take_while(|_| {
        let has_moved = round(shop);
        rules.check(shop);
        has_moved
    });
    assert!(rounds.count() < 100, "planning does not come to rest");
}

fn round(shop: &mut Shop) -> bool {
    let before = shop.scene.revision();
    for subject in shop.scene.world.all() {
        let plan = shop.scene.plan(&subject);
        for change in &plan.changes {
            check_guards(&change.transaction());
        }
        shop.scene.commit(&plan);
    }
    shop.scene.revision() > before
}

/// Everybody works until nothing moves any more.
fn come_to_rest(shop: &mut Shop, rules: &mut Rules) {
    for _ in 0..100 {
        let before = shop.scene.revision();
        settle(shop, rules);
        shop.work();
        if shop.scene.revision() == before {
            return;
        }
    }
    panic!("the service does not come to rest: {:#?}", shop.tasks());
}

/// Nodes are ready, the updater admits all slots, delays go by.
fn make_peace(shop: &mut Shop, rules: &mut Rules) {
    for node in 1..4 {
        shop.node_is(node, NodeState::Ready);
    }
    shop.roll(|rollout| rollout.batch = Batch::All);
    for _ in 0..4 {
        come_to_rest(shop, rules);
        shop.wait(Span::from_secs(60));
    }
    let target = shop.rollout.target;
    shop.roll(|rollout| {
        rollout.stable = Some(target);
        rollout.state = RolloutState::Completed;
    });
    come_to_rest(shop, rules);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_the_service_recovers(
        replicas in 0..4_u32,
        whims in prop::collection::vec(whim(), 0..60),
    ) {
        let mut shop = Shop::open(replicas);
        let mut rules = Rules::default();
        for whim in &whims {
            happen(&mut shop, whim);
            settle(&mut shop, &mut rules);
        }
        make_peace(&mut shop, &mut rules);
        let status = shop.status();
        let tasks = shop.tasks();
        let running: Vec<_> = tasks.iter().filter(|seen| seen.state == TaskState::Running).collect();
        prop_assert_eq!(running.len(), status.desired as usize, "{:#?}", tasks);
        prop_assert!(running.iter().all(|seen| seen.task.revision == shop.rollout.target));
        prop_assert!(tasks.iter().all(|seen| Some(&seen.task.uid) == shop.uid().as_ref()));
        prop_assert!(shop.condition("Ready").0, "{:?}", shop.condition("Ready"));
        let quiet = shop.scene.revision();
        shop.wait(Span::from_secs(600));
        come_to_rest(&mut shop, &mut rules);
        prop_assert_eq!(shop.scene.revision(), quiet, "it writes although nothing changed");
    }
}
