//! Random clusters: nodes come, change and go, tasks start, end and are replaced, and the oracle looks on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skep_api::key::{Key, TaskRef};
use skep_api::node::{Availability, Generic, NodeState};
use skep_api::task::{DesiredState, Slot, Task, TaskState};
use skep_runtime::controller::{Controller, Moment, World};
use skep_runtime::scene::CLUSTER;
use skep_runtime::table::Entry;
use skep_scheduler::{Change, Scheduler, SchedulerWorld, Subject};

use crate::cluster::*;
use crate::fitting::{named, tell};
use crate::oracle::*;

/// What each service of the random clusters asks for: memory, ports, placement. Tasks of `globe` belong to a node.
const SERVICES: [(&str, u64, &str, &str); 11] = [
    ("free", 0, "", ""),
    ("small", 20, "", ""),
    ("large", 60, "", ""),
    ("port", 10, ", hostPorts: [{target: 80, published: 80, mode: host}]", ""),
    ("zoned", 30, "", "constraints: [node.labels.zone == a]"),
    ("few", 5, "", "maxReplicasPerNode: 2"),
    ("globe", 5, "", "constraints: [node.labels.zone != b]"),
    (WITH_GPU, 5, "", ""),
    (WITH_VOLUME, 5, ", volumes: {v: {node: n2}}", ""),
    ("two", 5, "", "affinity: [{apart: large}]"),
    ("three", 5, "", "affinity: [{with: small, level: node.labels.zone}]"),
];
/// The service whose tasks take generic resources, and the one that mounts a volume of node 2.
const WITH_GPU: &str = "one";
const WITH_VOLUME: &str = "some";
/// What people make of a placement.
const PLACEMENTS: [&str; 5] = [
    "",
    "constraints: [node.labels.zone == a]",
    "constraints: [node.labels.zone != a, node.role == worker]",
    "maxReplicasPerNode: 1",
    "platforms: [{architecture: amd64}]",
];

#[derive(Debug, Clone)]
enum Step {
    AddNode { memory: u64, zone: bool },
    Availability { node: u64, is_active: bool },
    Ready { node: u64, is_ready: bool },
    Architecture { node: u64, is_arm: bool },
    RemoveNode { node: u64 },
    Placement { service: usize, placement: usize },
    AddTask { service: usize, node: u64 },
    Observe { task: usize, state: TaskState },
    Stop { task: usize },
    Stage { task: usize, service_revision: u64 },
    Delete { task: usize },
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..40_usize;
    let state = prop::sample::select(vec![
        TaskState::Preparing,
        TaskState::Running,
        TaskState::Shutdown,
        TaskState::Failed,
    ]);
    prop_oneof![
        2 => (prop::sample::select(vec![0, 40, 100, 160]), any::<bool>())
            .prop_map(|(memory, zone)| Step::AddNode { memory, zone }),
        1 => (1..5_u64, any::<bool>()).prop_map(|(node, is_active)| Step::Availability { node, is_active }),
        1 => (1..5_u64, any::<bool>()).prop_map(|(node, is_ready)| Step::Ready { node, is_ready }),
        1 => (1..5_u64, any::<bool>()).prop_map(|(node, is_arm)| Step::Architecture { node, is_arm }),
        1 => (1..9_u64).prop_map(|node| Step::RemoveNode { node }),
        2 => (0..SERVICES.len(), 0..PLACEMENTS.len())
            .prop_map(|(service, placement)| Step::Placement { service, placement }),
        8 => (0..SERVICES.len(), 1..5_u64).prop_map(|(service, node)| Step::AddTask { service, node }),
        4 => (task.clone(), state).prop_map(|(task, state)| Step::Observe { task, state }),
        2 => task.clone().prop_map(|task| Step::Stop { task }),
        3 => (task.clone(), 1..3_u64).prop_map(|(task, service_revision)| Step::Stage { task, service_revision }),
        2 => task.prop_map(|task| Step::Delete { task }),
        4 => Just(Step::Settle),
    ]
}

/// What a task of the service `name` takes, beside its ports.
fn wants(name: &str, memory: u64, gpus: u32) -> String {
    match name {
        WITH_GPU => {
            format!(", resources: {{reservations: {{memory: {memory}Mi, generic: {{GPU: {gpus}}}}}}}")
        }
        WITH_VOLUME => format!("{}, mounts: [{{source: v, target: /v}}]", reserving(memory)),
        _ => reserving(memory),
    }
}

/// Gives node `number` its generic resources: named ones if it is even.
fn equip(cluster: &mut Cluster, number: u64) {
    let gpus = if number.is_multiple_of(2) { named(&["u1", "u2", "u3"]) } else { Generic::Count(2) };
    tell(cluster, number, |report| report.generic = [("GPU".to_owned(), gpus)].into());
}

/// A cluster with what the steps need to know of it.
struct Run {
    cluster: Cluster,
    /// The same world, fed with what has changed, and what it says is to be planned for that.
    shadow: Shadow,
    nodes: u64,
    runs: i64,
}

struct Shadow {
    world: SchedulerWorld,
    entries: BTreeMap<Key, Entry>,
    touched: BTreeSet<Subject>,
}

impl Shadow {
    fn follow(&mut self, cluster: &Cluster) {
        let now: BTreeMap<Key, Entry> =
            cluster.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let keys: BTreeSet<&Key> = self.entries.keys().chain(now.keys()).collect();
        for key in keys.into_iter().filter(|key| self.entries.get(key) != now.get(key)) {
            self.touched.extend(self.world.apply(key, now.get(key)));
        }
        self.entries = now;
    }

    /// Whoever has something to place, to ask or to take back was named by what happened.
    fn assert_nobody_was_forgotten(&self, moment: Moment) {
        for subject in self.world.all() {
            let changes = Scheduler::plan(&self.world, &subject, moment).changes;
            let is_told = |change: &Change| matches!(change, Change::Explain { .. });
            let is_idle = changes.iter().all(is_told);
            assert!(is_idle || self.touched.contains(&subject), "{subject:?} was forgotten: {changes:?}");
        }
    }
}

impl Run {
    fn new() -> Self {
        let mut cluster = cluster();
        for (name, memory, ports, placement) in SERVICES {
            add_revision(&mut cluster, name, 1, &wants(name, memory, 1), ports);
            add_revision(&mut cluster, name, 2, &wants(name, memory * 2, 2), ports);
            set_placement(&mut cluster, name, placement);
        }
        let (entries, touched) = (BTreeMap::new(), BTreeSet::new());
        let shadow = Shadow { world: SchedulerWorld::new(CLUSTER), entries, touched };
        Self { cluster, shadow, nodes: 0, runs: 0 }
    }

    fn nth(&self, number: usize) -> Option<(TaskRef, Task)> {
        let tasks = tasks(&self.cluster);
        tasks.get(number % tasks.len().max(1)).cloned()
    }

    fn state(&self, key: &TaskRef) -> TaskState {
        status_of(&self.cluster, key).map_or(TaskState::Assigned, |status| status.state)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::AddNode { memory, zone } => {
                self.nodes += 1;
                let zone = if zone { "a" } else { "b" };
                add_node_with(&mut self.cluster, self.nodes, memory, labelled(self.nodes, "zone", zone));
                equip(&mut self.cluster, self.nodes);
            }
            Step::Availability { node, is_active } if self.has(node) => {
                let availability = if is_active { Availability::Active } else { Availability::Drain };
                let zone = if node % 2 == 0 { "a" } else { "b" };
                let spec = skep_api::node::NodeSpec { availability, ..labelled(node, "zone", zone) };
                self.cluster.put(Key::Node(node_id(node)), spec);
            }
            Step::Ready { node, is_ready } if self.has(node) => {
                let state = if is_ready { NodeState::Ready } else { NodeState::Down };
                set_state(&mut self.cluster, node, state);
            }
            Step::Architecture { node, is_arm } if self.has(node) => {
                set_report(&mut self.cluster, node, 160, if is_arm { "arm64" } else { "amd64" });
                equip(&mut self.cluster, node);
            }
            Step::RemoveNode { node } if self.has(node) => {
                self.cluster.delete(Key::Node(node_id(node)));
            }
            Step::Placement { service, placement } => {
                set_placement(&mut self.cluster, SERVICES[service].0, PLACEMENTS[placement]);
            }
            Step::AddTask { service, node } => {
                let name = SERVICES[service].0;
                self.runs += 1;
                let key = pending(name, 1, self.runs);
                let task = if name == "globe" { task_of_node(name, node) } else { task(name, 1) };
                wait_for_node(&mut self.cluster, &key, task);
            }
            Step::Settle => self.settle(),
            Step::Observe { task, state } => self.observe(task, state),
            Step::Stop { task } => self.stop(task),
            Step::Stage { task, service_revision } => self.stage(task, service_revision),
            Step::Delete { task } => self.delete(task),
            Step::Availability { .. }
            | Step::Ready { .. }
            | Step::Architecture { .. }
            | Step::RemoveNode { .. } => {}
        }
        self.shadow.follow(&self.cluster);
    }

    fn has(&self, node: u64) -> bool {
        self.cluster.object(&Key::Node(node_id(node))).is_some()
    }

    /// States only move forward, and a staged task goes no further than being prepared.
    fn observe(&mut self, number: usize, state: TaskState) {
        let Some((key, task)) = self.nth(number).filter(|(key, _)| key.place.node().is_some()) else {
            return;
        };
        let may_run = task.desired == DesiredState::Running || state != TaskState::Running;
        if state > self.state(&key) && may_run {
            observe(&mut self.cluster, &key, state);
        }
    }

    /// As the replica controller: what has no node is deleted, the rest is told to stop.
    fn stop(&mut self, number: usize) {
        let Some((key, task)) = self.nth(number) else { return };
        if key.place.node().is_none() {
            self.cluster.delete(Key::Task(key.clone()));
            self.cluster.delete(Key::TaskStatus(key));
        } else {
            self.cluster.put(Key::Task(key), Task { desired: DesiredState::Shutdown, ..task });
        }
    }

    /// As the replica controller: at most one staged task, and never beside one that is itself staged.
    fn stage(&mut self, number: usize, revision: u64) {
        let Some((key, old)) = self.nth(number) else { return };
        let all = tasks(&self.cluster);
        let is_free = all.iter().all(|(_, other)| other.replaces.as_ref() != Some(&key.name));
        if key.place.node().is_some() && old.replaces.is_none() && is_free && !self.state(&key).is_terminal()
        {
            let name = old.service.name.as_str();
            self.runs += 1;
            let new = pending(name, 1, self.runs);
            let new_task = Task { revision, slot: old.slot.clone(), ..staged(name, 1, &key) };
            wait_for_node(&mut self.cluster, &new, new_task);
        }
    }

    fn delete(&mut self, number: usize) {
        let Some((key, _)) = self.nth(number) else { return };
        if self.state(&key).is_terminal() {
            self.cluster.delete(Key::TaskStatus(key.clone()));
            self.cluster.delete(Key::Task(key));
        }
    }

    fn settle(&mut self) {
        let before = tasks(&self.cluster);
        self.shadow.follow(&self.cluster);
        self.shadow.assert_nobody_was_forgotten(self.moment());
        self.cluster.settle();
        self.shadow.follow(&self.cluster);
        self.shadow.touched.clear();
        assert_nothing_is_overcommitted(&self.cluster);
        for (key, task) in tasks(&self.cluster) {
            self.check(&before, &key, &task);
        }
        let rebuilt = self.rebuilt();
        for subject in rebuilt.all() {
            let changes = Scheduler::plan(&rebuilt, &subject, self.moment()).changes;
            assert_eq!(changes, [], "a world that is built anew has nothing to change");
        }
    }

    fn check(&self, before: &[(TaskRef, Task)], key: &TaskRef, task: &Task) {
        if key.place.node().is_some() {
            if !before.iter().any(|(old, _)| old == key) {
                assert_well_placed(&self.cluster, key, task);
            }
            let is_asked = eviction_of(&self.cluster, key).is_some();
            let must_leave = must_leave(&self.cluster, key, task);
            assert!(must_leave.is_none_or(|must| must == is_asked), "{key} was asked: {is_asked}");
            return;
        }
        assert!(!fits_somewhere(&self.cluster, key, task), "{key} fits and was not placed");
        let is_told = status_of(&self.cluster, key).is_some_and(|status| status.error.is_some());
        let is_lost =
            matches!(&task.slot, Slot::Node(node) if self.cluster.object(&Key::Node(node.clone())).is_none());
        assert!(is_told || is_lost, "nothing is said of {key}");
    }

    fn moment(&self) -> Moment {
        Moment { now: self.cluster.now, cut: self.cluster.revision() }
    }

    /// The same world, put together from nothing in the order of the keys.
    fn rebuilt(&self) -> SchedulerWorld {
        let mut world = SchedulerWorld::new(CLUSTER);
        for (key, entry) in self.cluster.entries() {
            world.apply(key, Some(entry));
        }
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_given_away_twice_and_nothing_that_fits_waits(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.settle();
    }

    #[test]
    fn on_equal_nodes_the_numbers_of_tasks_differ_by_one_at_most(
        nodes in 1..8_u64, first in 0..20_u32, second in 0..20_u32,
    ) {
        let mut cluster = cluster();
        (1..=nodes).for_each(|number| add_node(&mut cluster, number, 1000));
        for (name, count) in [("one", first), ("two", second)] {
            add_service(&mut cluster, name, 1);
            add_tasks(&mut cluster, name, count);
            cluster.settle();
            let spread = spread(&cluster, name, 1..=nodes);
            prop_assert!(spread.iter().max().unwrap() - spread.iter().min().unwrap() <= 1, "{spread:?}");
        }
        let all: Vec<usize> = (spread(&cluster, "one", 1..=nodes).iter())
            .zip(spread(&cluster, "two", 1..=nodes)).map(|(one, two)| one + two).collect();
        prop_assert!(all.iter().max().unwrap() - all.iter().min().unwrap() <= 1, "{all:?}");
    }

    #[test]
    fn the_plan_does_not_depend_on_the_order_in_which_the_world_was_built(
        order in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let build = |order: &[u64]| {
            let mut cluster = cluster();
            for number in order {
                if *number < 6 {
                    add_node(&mut cluster, *number, 50 * number);
                } else {
                    let slot = u32::try_from(*number).unwrap();
                    wait_for_node(&mut cluster, &pending("web", slot, 1), task("web", slot));
                }
            }
            add_service(&mut cluster, "web", 50);
            cluster.settle();
            tasks(&cluster).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let sorted = build(&(0..12).collect::<Vec<_>>());
        prop_assert_eq!(sorted.iter().filter(|key| key.place.node().is_some()).count(), 6);
        prop_assert_eq!(build(&order), sorted);
    }
}
