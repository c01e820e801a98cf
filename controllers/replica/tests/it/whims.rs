//! Random lives of a service: whatever people, nodes, agents, the scheduler and the updater do, the rules hold, and when
//! everybody works again the service comes to what is wanted and stays there.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skep_api::key::{Key, Place};
use skep_api::node::{Availability, NodeState};
use skep_api::rollout::{Batch, RolloutState};
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_api::time::Span;
use skep_runtime::controller::World as _;
use skep_runtime::plan::Change as _;
use skep_runtime::services::Subject;

use crate::rules::{Rules, check_guards};
use crate::shop::{Shop, node, slot, web};
use crate::watcher::Watcher;

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
    /// A node is edited: its availability, and its zone.
    Edit(u64, Availability, bool),
    /// A task has to leave its node, at once or not.
    Evict(usize, bool),
    /// A task would be better elsewhere.
    Rebalance(usize),
    LetStay(usize),
    RollBack,
    Pause,
    Wait(u64),
    Work,
    Recreate(u32),
}

/// The service that lives.
#[derive(Debug, Clone)]
struct Life {
    mode: &'static str,
    order: &'static str,
    restart: &'static str,
}

fn life() -> impl Strategy<Value = Life> {
    let modes =
        prop::sample::select(vec!["replicated", "replicated", "global", "replicated-job", "global-job"]);
    let orders = prop::sample::select(vec!["stop-first", "start-first"]);
    let restarts = prop::sample::select(vec![
        "{}",
        "{delay: 0s, maxDelay: 0s}",
        "{condition: none}",
        "{condition: on-failure, maxAttempts: 2}",
        "{maxAttempts: 2, window: 60s}",
    ]);
    (modes, orders, restarts).prop_map(|(mode, order, restart)| Life { mode, order, restart })
}

impl Life {
    fn open(&self, replicas: u32) -> (Shop, Rules) {
        let policy = format!("{{order: {}}}", self.order);
        let mut fields = vec![("mode", self.mode), ("restart", self.restart)];
        match self.mode {
            "replicated" | "global" => fields.extend([("update", policy.as_str()), ("rollback", &policy)]),
            _ => {}
        }
        if self.mode.starts_with("global") {
            fields.push(("placement", "{constraints: ['node.labels.zone != b']}"));
        }
        let mut shop = Shop::with(&fields);
        shop.scale(replicas);
        let attempts = match self.restart {
            "{condition: none}" => Some(0),
            "{condition: on-failure, maxAttempts: 2}" => Some(2),
            _ => None,
        };
        (shop, Rules::new(self.order == "start-first", attempts))
    }
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
    let availabilities =
        prop::sample::select(vec![Availability::Active, Availability::Pause, Availability::Drain]);
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
        2 => (1..4_u64, availabilities, any::<bool>()).prop_map(|(node, wanted, zone)| Whim::Edit(node, wanted, zone)),
        3 => (0..20_usize, prop::bool::weighted(0.3)).prop_map(|(task, now)| Whim::Evict(task, now)),
        3 => (0..20_usize).prop_map(Whim::Rebalance),
        3 => (0..20_usize).prop_map(Whim::LetStay),
        1 => Just(Whim::RollBack),
        1 => Just(Whim::Pause),
    ]
}

/// What the updater does.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other whims are somebody else's")]
fn roll(shop: &mut Shop, whim: &Whim) {
    let (target, next) = (shop.rollout.target, shop.latest() + 1);
    let batch = |shop: &Shop, slots: &[u32]| {
        let slots = slots.iter().copied();
        match shop.mode() {
            "replicated" => Batch::Slots(slots.map(slot).collect()),
            "global" => Batch::Slots(slots.map(|number| Slot::Node(node(number.into()))).collect()),
            _ => Batch::All,
        }
    };
    let mut rollout = shop.rollout.clone();
    match whim {
        Whim::Update(slots) => {
            rollout.target = next;
            rollout.batch = batch(shop, slots);
            rollout.state = RolloutState::Updating;
        }
        Whim::Admit(slots) => rollout.batch = batch(shop, slots),
        Whim::Complete => {
            rollout.stable = Some(target);
            rollout.batch = Batch::All;
            rollout.state = RolloutState::Completed;
        }
        Whim::RollBack if !shop.is_job() && rollout.stable.is_some_and(|stable| stable != target) => {
            rollout.target = rollout.stable.unwrap();
            rollout.state = RolloutState::RollbackStarted;
        }
        Whim::Pause if !shop.is_job() => rollout.state = RolloutState::Paused,
        _ => return,
    }
    shop.roll(|old| *old = rollout);
}

fn happen(shop: &mut Shop, whim: &Whim) {
    let tasks = shop.tasks();
    let some = |index: usize| tasks.get(index % tasks.len().max(1)).cloned();
    match whim {
        Whim::Scale(replicas) => drop(shop.scale(*replicas)),
        Whim::Update(_) | Whim::Admit(_) | Whim::Complete | Whim::RollBack | Whim::Pause => roll(shop, whim),
        Whim::Edit(node, availability, zone) => {
            shop.node_wants(*node, *availability, if *zone { "b" } else { "a" });
        }
        Whim::Evict(index, now) => {
            let may = |seen: &crate::shop::Seen| seen.at.place != Place::Pending && !seen.state.is_terminal();
            if let Some(seen) = some(*index).filter(may) {
                shop.evict(&seen, *now);
            }
        }
        Whim::Rebalance(index) => {
            let may = |seen: &crate::shop::Seen| seen.at.place != Place::Pending && !seen.state.is_terminal();
            if let Some(seen) = some(*index).filter(may) {
                shop.rebalance(&seen);
            }
        }
        Whim::LetStay(index) => {
            if let Some(seen) = some(*index) {
                shop.let_stay(&seen);
            }
        }
        Whim::Place(index, node) => {
            let may = |seen: &crate::shop::Seen| {
                seen.at.place == Place::Pending
                    && match &seen.task.slot {
                        Slot::Number(_) => shop.has_node(*node),
                        Slot::Node(id) => shop.is_open(id),
                    }
            };
            if let Some(seen) = some(*index).filter(may) {
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
                shop.fits_nowhere(&seen, "memory", None);
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
    if rounds.count() >= 100 {
        let plans: Vec<_> =
            shop.scene.world.all().iter().map(|subject| shop.scene.plan(subject).changes).collect();
        panic!("planning does not come to rest: {plans:#?}, {:#?}", shop.tasks());
    }
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

/// Nodes are ready, nobody has to leave, the updater brings another revision to all slots, delays go by.
fn make_peace(shop: &mut Shop, rules: &mut Rules) {
    for node in 1..4 {
        shop.node_is(node, NodeState::Ready).node_wants(node, Availability::Active, "a");
    }
    for seen in shop.tasks() {
        shop.let_stay(&seen);
    }
    let target = shop.latest() + 1;
    shop.roll(|rollout| {
        rollout.target = target;
        rollout.batch = Batch::All;
        rollout.state = RolloutState::Updating;
    });
    for _ in 0..4 {
        come_to_rest(shop, rules);
        shop.wait(Span::from_secs(600));
    }
    shop.roll(|rollout| {
        rollout.stable = Some(target);
        rollout.state = RolloutState::Completed;
    });
    come_to_rest(shop, rules);
}

/// Plans what was not woken, which must change nothing.
fn check_sleepers(shop: &Shop, woken: &BTreeSet<Subject>) {
    for subject in shop.scene.world.all().into_iter().filter(|subject| !woken.contains(subject)) {
        let plan = shop.scene.plan(&subject);
        assert!(plan.changes.is_empty(), "{subject:?} should have been woken for {:#?}", plan.changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_the_service_recovers(
        life in life(),
        replicas in 0..4_u32,
        whims in prop::collection::vec(whim(), 0..60),
    ) {
        let (mut shop, mut rules) = life.open(replicas);
        let mut watcher = Watcher::new();
        settle(&mut shop, &mut rules);
        for whim in &whims {
            watcher.woken(&shop);
            happen(&mut shop, whim);
            if !matches!(whim, Whim::Wait(_)) {
                check_sleepers(&shop, &watcher.woken(&shop));
            }
            settle(&mut shop, &mut rules);
        }
        make_peace(&mut shop, &mut rules);
        let status = shop.status();
        let tasks = shop.tasks();
        let running: Vec<_> = tasks.iter().filter(|seen| seen.state == TaskState::Running).collect();
        prop_assert_eq!(running.len(), status.desired as usize, "{:#?}", tasks);
        prop_assert!(running.iter().all(|seen| seen.task.revision == shop.rollout.target));
        let nodes = [1, 2, 3, crate::shop::STEADY].into_iter().filter(|number| shop.has_node(*number)).count();
        match life.mode {
            "global" => prop_assert_eq!(running.len(), nodes),
            "replicated" => prop_assert_eq!(Some(running.len()), shop.replicas()),
            mode => {
                let job = status.job.clone().unwrap();
                let total = if mode == "global-job" { Some(nodes) } else { shop.replicas() };
                prop_assert_eq!((Some(job.total as usize), job.completed), (total, job.total), "{:#?}", status);
            }
        }
        prop_assert!(tasks.iter().all(|seen| Some(&seen.task.uid) == shop.uid().as_ref()));
        prop_assert!(shop.condition("Ready").0, "{:?}", shop.condition("Ready"));
        let quiet = shop.scene.revision();
        shop.wait(Span::from_secs(600));
        come_to_rest(&mut shop, &mut rules);
        prop_assert_eq!(shop.scene.revision(), quiet, "it writes although nothing changed");
    }
}
