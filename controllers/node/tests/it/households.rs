//! Random tasks on nodes that people drain, open and remove, judged by what lies in etcd alone.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skep_api::eviction::EvictionReason;
use skep_api::key::{Key, TaskRef};
use skep_api::node::{Availability, DrainMode, NodeSpec};
use skep_api::object::Object;
use skep_api::task::{DesiredState, Task, TaskState};
use skep_node::{COUNT_EVERY, NodeController, NodeWorld, Subject};
use skep_runtime::controller::{Controller, Moment, World};
use skep_runtime::scene::CLUSTER;
use skep_runtime::table::Entry;

use crate::fleet::*;

#[derive(Debug, Clone)]
enum Step {
    Edit { node: u64, availability: Availability, drain: DrainMode },
    Remove { node: u64 },
    Add { node: u64, slot: u32 },
    Stage { task: usize },
    Desire { task: usize, desired: DesiredState },
    Observe { task: usize, state: TaskState },
    Delete { task: usize },
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let (node, task) = (1..4_u64, 0..20_usize);
    let availability =
        prop::sample::select(vec![Availability::Active, Availability::Pause, Availability::Drain]);
    let drain = prop::sample::select(vec![DrainMode::Gradual, DrainMode::Now]);
    let desired =
        prop::sample::select(vec![DesiredState::Running, DesiredState::Complete, DesiredState::Shutdown]);
    let state = prop::sample::select(vec![TaskState::Running, TaskState::Complete, TaskState::Failed]);
    prop_oneof![
        4 => (node.clone(), availability, drain)
            .prop_map(|(node, availability, drain)| Step::Edit { node, availability, drain }),
        1 => node.clone().prop_map(|node| Step::Remove { node }),
        6 => (node, 1..9_u32).prop_map(|(node, slot)| Step::Add { node, slot }),
        2 => task.clone().prop_map(|task| Step::Stage { task }),
        3 => (task.clone(), desired).prop_map(|(task, desired)| Step::Desire { task, desired }),
        4 => (task.clone(), state).prop_map(|(task, state)| Step::Observe { task, state }),
        2 => task.prop_map(|task| Step::Delete { task }),
        3 => Just(Step::Settle),
    ]
}

fn tasks(fleet: &Fleet) -> Vec<(TaskRef, Task)> {
    let typed = |key: &Key| match (key, fleet.object(key)) {
        (Key::Task(key), Some(Object::Task(task))) => Some((key.clone(), (**task).clone())),
        _ => None,
    };
    fleet.keys().filter_map(typed).collect()
}

fn has_ended(fleet: &Fleet, key: &TaskRef) -> bool {
    matches!(fleet.object(&Key::TaskStatus(key.clone())), Some(Object::TaskStatus(said)) if said.state.is_terminal())
}

fn spec_of(fleet: &Fleet, key: &TaskRef) -> Option<NodeSpec> {
    match fleet.object(&Key::Node(key.place.node()?.clone())) {
        Some(Object::Node(spec)) => Some((**spec).clone()),
        _ => None,
    }
}

fn apply(fleet: &mut Fleet, step: &Step, runs: &mut i64) {
    let all = tasks(fleet);
    let nth = |number: usize| all.get(number % all.len().max(1)).cloned();
    match *step {
        Step::Edit { node, availability, drain } => set_availability(fleet, node, availability, drain),
        Step::Remove { node } => {
            fleet.delete(Key::Node(node_id(node)));
        }
        Step::Add { node, slot } => {
            *runs += 1;
            fleet.put(Key::Task(at(node, slot, *runs)), task(slot, 1 + u64::from(slot % 2)));
        }
        Step::Stage { task } => {
            if let Some((old, spec)) = nth(task).filter(|(_, spec)| spec.replaces.is_none()) {
                *runs += 1;
                let slot = spec.slot.number().unwrap();
                let name = at(1, slot, *runs).name;
                let new = Task { desired: DesiredState::Ready, replaces: Some(old.name.clone()), ..spec };
                fleet.put(Key::Task(TaskRef { name, ..old }), new);
            }
        }
        Step::Desire { task, desired } => {
            if let Some((key, spec)) = nth(task).filter(|(_, spec)| spec.desired < desired) {
                fleet.put(Key::Task(key), Task { desired, ..spec });
            }
        }
        Step::Observe { task, state } => {
            if let Some((key, _)) = nth(task).filter(|(key, _)| !has_ended(fleet, key)) {
                observe(fleet, &key, state);
            }
        }
        Step::Delete { task } => {
            if let Some((key, _)) = nth(task) {
                fleet.delete(Key::TaskStatus(key.clone()));
                fleet.delete(Key::Task(key));
            }
        }
        Step::Settle => {}
    }
}

/// The world again, fed with what has changed, and what that is said to touch.
struct Shadow {
    world: NodeWorld,
    entries: BTreeMap<Key, Entry>,
    touched: BTreeSet<Subject>,
}

impl Shadow {
    fn follow(&mut self, fleet: &Fleet) {
        let now: BTreeMap<Key, Entry> =
            fleet.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let keys: BTreeSet<&Key> = self.entries.keys().chain(now.keys()).collect();
        for key in keys.into_iter().filter(|key| self.entries.get(key) != now.get(key)) {
            self.touched.extend(self.world.apply(key, now.get(key)));
        }
        self.entries = now;
    }
}

fn settle(fleet: &mut Fleet, shadow: &mut Shadow) {
    shadow.follow(fleet);
    let moment = Moment { now: fleet.now, cut: fleet.revision() };
    for subject in fleet.world.all() {
        let plan = NodeController::plan(&shadow.world, &subject, moment);
        let is_idle = plan.changes.is_empty() && plan.again.is_none();
        assert!(is_idle || shadow.touched.contains(&subject), "{subject:?} was forgotten: {plan:?}");
    }
    fleet.settle();
    pass(fleet, COUNT_EVERY);
    shadow.follow(fleet);
    shadow.touched.clear();
    let mut rebuilt = NodeWorld::new(CLUSTER);
    for (key, entry) in fleet.entries() {
        rebuilt.apply(key, Some(entry));
    }
    let moment = Moment { now: fleet.now, cut: fleet.revision() };
    for subject in rebuilt.all() {
        let changes = NodeController::plan(&rebuilt, &subject, moment).changes;
        assert_eq!(changes, [], "a world that is built anew has nothing to change");
    }
}

/// At rest, requests are there exactly for the tasks that must leave.
fn check(fleet: &Fleet) {
    for (key, task) in tasks(fleet) {
        let asked = eviction(fleet, &key);
        let drained = spec_of(fleet, &key).filter(|spec| spec.availability == Availability::Drain);
        match drained.filter(|_| !has_ended(fleet, &key)) {
            None => assert_eq!(asked, None, "{key}"),
            Some(spec) if task.desired <= DesiredState::Complete => {
                let asked = asked.expect("a request");
                let is_now = spec.drain == DrainMode::Now;
                assert_eq!((asked.reason, asked.now), (EvictionReason::Drain, is_now), "{key}");
            }
            Some(_) => {}
        }
    }
    let is_there = |key: &TaskRef| fleet.object(&Key::Task(key.clone())).is_some();
    let lone = fleet.keys().filter(|key| matches!(key, Key::Eviction(task) if !is_there(task))).count();
    assert_eq!(lone, 0, "requests without tasks");
    for number in (1..4).filter(|number| fleet.object(&Key::Node(node_id(*number))).is_some()) {
        let here = tasks(fleet).into_iter().filter(|(key, _)| key.place.node() == Some(&node_id(number)));
        let live = here.filter(|(key, _)| !has_ended(fleet, key)).count();
        assert_eq!(status(fleet, number).unwrap().allocated.tasks as usize, live);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn at_rest_exactly_the_tasks_that_must_leave_are_asked(steps in prop::collection::vec(step(), 1..50)) {
        let mut fleet = fleet(3);
        add_revision(&mut fleet, 1, 10);
        add_revision(&mut fleet, 2, 15);
        let (entries, touched) = (BTreeMap::new(), BTreeSet::new());
        let mut shadow = Shadow { world: NodeWorld::new(CLUSTER), entries, touched };
        let mut runs = 0;
        for step in steps.iter().chain([&Step::Settle]) {
            apply(&mut fleet, step, &mut runs);
            shadow.follow(&fleet);
            if matches!(step, Step::Settle) {
                settle(&mut fleet, &mut shadow);
                check(&fleet);
            }
        }
    }
}
