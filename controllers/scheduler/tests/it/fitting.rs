//! What nodes must have beside room: generic resources, drivers, volumes, and the right neighbours.

use skep_api::ident::{NodeId, TaskName};
use skep_api::key::{Key, Place};
use skep_api::node::{Availability, Generic, NodeReport, NodeSpec, Plugins};
use skep_api::object::Object;
use skep_api::task::{DesiredState, Task, TaskState};
use skep_runtime::controller::World;
use skep_runtime::table::{Entry, Stamp};
use skep_scheduler::{Group, Subject};

use crate::cluster::*;

/// Changes what the agent of node `number` says.
pub(crate) fn tell(cluster: &mut Cluster, number: u64, edit: impl FnOnce(&mut NodeReport)) {
    let key = Key::NodeReport(node_id(number));
    let Some(Object::NodeReport(report)) = cluster.object(&key) else { panic!("node {number} is there") };
    let mut report = (**report).clone();
    edit(&mut report);
    cluster.put(key, report);
}

pub(crate) fn named(values: &[&str]) -> Generic {
    Generic::Named(values.iter().map(|&value| value.to_owned()).collect())
}

fn has_generic(cluster: &mut Cluster, number: u64, kind: &str, generic: Generic) {
    tell(cluster, number, |report| drop(report.generic.insert(kind.to_owned(), generic)));
}

fn error_of(cluster: &Cluster, name: &str, slot: u32) -> String {
    status_of(cluster, &pending(name, slot, 1)).unwrap().error.unwrap()
}

fn detail_of(cluster: &Cluster, name: &str, slot: u32) -> String {
    status_of(cluster, &pending(name, slot, 1)).unwrap().obstacles[0].detail.clone()
}

/// A cluster of `nodes` nodes, node 1 to 3 in the zone a, the others in b, and one task of `web` with this placement.
fn zoned(nodes: u64, placement: &str) -> Cluster {
    let mut cluster = cluster();
    for number in 1..=nodes {
        add_node_with(
            &mut cluster,
            number,
            100,
            labelled(number, "zone", if number <= 3 { "a" } else { "b" }),
        );
    }
    add_service(&mut cluster, "web", 1);
    add_service(&mut cluster, "db", 1);
    set_placement(&mut cluster, "web", placement);
    cluster
}

/// Swarm 4.6: a discrete count is asked for, and named values are claimed and recorded.
#[test]
fn generic_resources_are_counted_and_named_ones_given_away_each_once() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    add_node(&mut cluster, 2, 100);
    has_generic(&mut cluster, 1, "GPU", named(&["u1", "u2", "u3"]));
    has_generic(&mut cluster, 2, "GPU", Generic::Count(2));
    let gpus = ", resources: {reservations: {generic: {GPU: 2}}}";
    add_revision(&mut cluster, "web", 1, gpus, "");
    add_tasks(&mut cluster, "web", 3);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None, Some(1), Some(2)]);
    let claims: Vec<_> = tasks(&cluster).into_iter().map(|(_, task)| task.generic).collect();
    let both = [("GPU".to_owned(), ["u1".to_owned(), "u2".to_owned()].into())].into();
    assert!(claims.contains(&both), "{claims:?}");
    assert_eq!(claims.iter().filter(|claims| claims.is_empty()).count(), 2, "what is counted has no names");
    let waits = tasks(&cluster).into_iter().find(|(key, _)| key.place.node().is_none()).unwrap().0;
    let status = status_of(&cluster, &waits).unwrap();
    assert_eq!(status.error.as_deref(), Some("no suitable node (insufficient resources on 2 nodes)"));
    assert_eq!(
        (status.obstacles[0].filter.as_str(), status.obstacles[0].detail.as_str()),
        ("generic", "n1 needs 1 more GPU")
    );
}

#[test]
fn a_staged_task_takes_over_the_named_resources_of_the_one_that_it_replaces() {
    let mut cluster = cluster();
    add_node(&mut cluster, 1, 100);
    has_generic(&mut cluster, 1, "GPU", named(&["u1", "u2"]));
    add_revision(&mut cluster, "web", 1, ", resources: {reservations: {generic: {GPU: 1}}}", "");
    add_tasks(&mut cluster, "web", 2);
    cluster.settle();
    let second = tasks(&cluster).into_iter().find(|(_, task)| task.generic["GPU"].contains("u2")).unwrap().0;
    let next = pending("web", 9, 2);
    wait_for_node(&mut cluster, &next, staged("web", 9, &second));
    cluster.settle();
    let staged = tasks(&cluster).into_iter().find(|(key, _)| key.name == next.name).unwrap();
    assert_eq!(staged.0.place.node(), Some(&node_id(1)));
    assert_eq!(staged.1.generic["GPU"], ["u2".to_owned()].into());
    observe(&mut cluster, &second, TaskState::Shutdown);
    wait_for_node(&mut cluster, &pending("web", 3, 3), task("web", 3));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web").iter().filter(|node| node.is_none()).count(), 1, "u2 is not free");
}

/// Task, rest of the revision, the node's volume drivers, its log drivers, whether it fits.
type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], bool);

/// Swarm 4.2, row 3.
#[test]
fn a_node_needs_the_drivers_that_a_task_names() {
    let nfs = ", mounts: [{source: v, target: /v, driver: nfs}]";
    let volume = [", mounts: [{source: v, target: /v}]", ", volumes: {v: {driver: nfs}}"];
    let fluentd = ", logging: {driver: fluentd}";
    let cases: [Case; 12] = [
        (nfs, "", &["local"], &["json-file"], false),
        (nfs, "", &["local", "nfs"], &["json-file"], true),
        (nfs, "", &["local", "nfs:latest"], &["json-file"], true),
        (nfs, "", &["local", "nfs:1"], &["json-file"], false),
        (nfs, "", &[], &[], true),
        (volume[0], volume[1], &["local"], &["json-file"], false),
        (volume[0], volume[1], &["nfs"], &["json-file"], true),
        (", mounts: [{source: v, target: /v, driver: local}]", "", &["nfs"], &[], true),
        (fluentd, "", &["local"], &["json-file"], false),
        (fluentd, "", &["local"], &["json-file", "fluentd"], true),
        (fluentd, "", &["local"], &[], true),
        (", logging: {driver: none}", "", &["local"], &["json-file"], true),
    ];
    for (task, rest, volumes, logs, fits) in cases {
        let mut cluster = cluster();
        add_node(&mut cluster, 1, 100);
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let plugins = Plugins { volume: set(volumes), log: set(logs), ..Plugins::default() };
        tell(&mut cluster, 1, |report| report.plugins = plugins);
        add_revision(&mut cluster, "web", 1, task, rest);
        add_tasks(&mut cluster, "web", 1);
        cluster.settle();
        let place = nodes_of(&cluster, "web")[0];
        assert_eq!(place.is_some(), fits, "{task} {rest} with {volumes:?} and {logs:?}");
        if !fits {
            assert_eq!(error_of(&cluster, "web", 1), "no suitable node (missing plugin on 1 node)");
            assert!(detail_of(&cluster, "web", 1).starts_with("n1 lacks the "));
        }
    }
}

/// Swarm 4.2, row 8: all volumes count, where SwarmKit is content with one.
#[test]
fn tasks_go_to_the_node_that_has_all_of_their_volumes() {
    let mounts = ", mounts: [{source: a, target: /a}, {source: b, target: /b}]";
    let id = node_id(2);
    for (first, second, place) in
        [("n2", "n2", Some(2)), (id.as_str(), "n2", Some(2)), ("n1", "n2", None), ("n9", "n9", None)]
    {
        let mut cluster = cluster();
        (1..=3).for_each(|number| add_node(&mut cluster, number, 100));
        let volumes = format!(", volumes: {{a: {{node: \"{first}\"}}, b: {{node: \"{second}\"}}}}");
        add_revision(&mut cluster, "web", 1, mounts, &volumes);
        add_tasks(&mut cluster, "web", 1);
        cluster.settle();
        assert_eq!(nodes_of(&cluster, "web"), [place], "{first} {second}");
        if place.is_none() {
            let error = error_of(&cluster, "web", 1);
            assert_eq!(error, "no suitable node (cannot fulfill requested volume mounts on 3 nodes)");
        }
    }
}

#[test]
fn tasks_wait_for_the_service_that_they_must_be_with_and_go_where_it_is() {
    let mut cluster = zoned(4, "affinity: [{with: db}]");
    add_tasks(&mut cluster, "web", 2);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None, None]);
    assert_eq!(error_of(&cluster, "web", 1), "no suitable node (affinity not satisfied on 4 nodes)");
    assert_eq!(detail_of(&cluster, "web", 1), "n1 has no task of shop/db");
    on_node(&mut cluster, &pending("db", 1, 1), 3, task("db", 1));
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(3), Some(3)]);
}

/// Only a node that has changed itself is asked whether it fits now.
#[test]
fn neighbours_that_come_and_go_touch_those_who_wait_for_them() {
    let mut cluster = zoned(2, "affinity: [{with: db}]");
    set_placement(&mut cluster, "one", "affinity: [{apart: two}]");
    add_tasks(&mut cluster, "web", 1);
    add_tasks(&mut cluster, "two", 1);
    let waiting = |name: &str| Subject::Waiting(Group::of(&task(name, 1)));
    let set = |cluster: &mut Cluster, name: &str, value: Option<Task>| {
        let key = Key::Task(pending(name, 7, 1).at(Place::Node(node_id(2))));
        let stamp = Stamp { created: 500, modified: 500 };
        let entry = value.map(|task| Entry { value: Ok(Object::from(task)), stamp });
        cluster.world.apply(&key, entry.as_ref())
    };
    assert!(set(&mut cluster, "db", Some(task("db", 7))).contains(&waiting("web")));
    assert!(!set(&mut cluster, "other", Some(task("other", 7))).contains(&waiting("web")));
    set(&mut cluster, "one", Some(task("one", 7)));
    assert!(set(&mut cluster, "one", None).contains(&waiting("two")));
}

#[test]
fn a_level_makes_nodes_with_the_same_value_one_place() {
    let mut cluster = zoned(5, "affinity: [{with: db, level: node.labels.zone}]");
    on_node(&mut cluster, &pending("db", 1, 1), 4, task("db", 1));
    add_tasks(&mut cluster, "web", 2);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 4..=5), [1, 1]);
    let mut cluster = zoned(5, "affinity: [{apart: db, level: node.labels.zone}]");
    on_node(&mut cluster, &pending("db", 1, 1), 4, task("db", 1));
    add_tasks(&mut cluster, "web", 3);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=5), [1, 1, 1, 0, 0]);
}

#[test]
fn what_keeps_apart_is_kept_apart_from_as_well() {
    let mut cluster = zoned(2, "affinity: [{apart: db}]");
    on_node(&mut cluster, &pending("web", 1, 1), 1, task("web", 1));
    add_tasks(&mut cluster, "db", 2);
    cluster.settle();
    assert_eq!(spread(&cluster, "db", 1..=2), [0, 2]);
    wait_for_node(&mut cluster, &pending("web", 2, 2), task("web", 2));
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=2), [2, 0], "and it keeps apart itself");
}

#[test]
fn services_that_must_be_with_each_other_begin_with_the_first_by_name() {
    let mut cluster = zoned(3, "affinity: [{with: db}]");
    set_placement(&mut cluster, "db", "affinity: [{with: web}]");
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None], "db goes first");
    add_tasks(&mut cluster, "db", 1);
    cluster.settle();
    let place = nodes_of(&cluster, "db")[0];
    assert!(place.is_some() && nodes_of(&cluster, "web") == [place], "{place:?}");
}

#[test]
fn a_service_may_be_with_itself_or_apart_from_itself() {
    let mut cluster = zoned(5, "affinity: [{with: web}]");
    add_tasks(&mut cluster, "web", 4);
    cluster.settle();
    let nodes = nodes_of(&cluster, "web");
    assert!(nodes[0].is_some() && nodes.iter().all(|node| *node == nodes[0]), "{nodes:?}");
    let mut cluster = zoned(5, "affinity: [{apart: web, level: node.labels.zone}]");
    add_tasks(&mut cluster, "web", 3);
    cluster.settle();
    assert_eq!(spread(&cluster, "web", 1..=3).iter().sum::<usize>(), 1);
    assert_eq!(spread(&cluster, "web", 4..=5).iter().sum::<usize>(), 1);
    let first = tasks(&cluster).into_iter().find(|(key, _)| key.place.node().is_some()).unwrap().0;
    let next = pending("web", 9, 2);
    wait_for_node(&mut cluster, &next, staged("web", 9, &first));
    cluster.settle();
    let place = tasks(&cluster).into_iter().find(|(key, _)| key.name == next.name).unwrap().0.place;
    assert_eq!(place, first.place, "one that is staged takes the place of the other");
}

/// A drain of a service that keeps apart from itself over a level: the old task holds the place of both.
#[test]
fn a_successor_is_told_if_only_the_task_that_it_replaces_keeps_it_away() {
    let mut cluster = zoned(4, "affinity: [{apart: web, level: node.labels.zone}]");
    add_tasks(&mut cluster, "web", 2);
    cluster.settle();
    for (zone, is_freed) in [("a", true), ("b", false)] {
        let placed =
            tasks(&cluster).into_iter().filter_map(|(key, _)| Some((key.place.node().cloned()?, key)));
        let number_of = |node: &NodeId| (1..=4).find(|number| node_id(*number) == *node).unwrap();
        let (number, old) = placed
            .map(|(node, key)| (number_of(&node), key))
            .find(|(number, _)| (*number <= 3) == (zone == "a"))
            .unwrap();
        let spec = NodeSpec { availability: Availability::Drain, ..labelled(number, "zone", zone) };
        add_node_with(&mut cluster, number, 100, spec);
        let next = pending("web", 9 + u32::try_from(number).unwrap(), 2);
        let successor = Task { desired: DesiredState::Running, ..staged("web", 9, &old) };
        wait_for_node(&mut cluster, &next, successor);
        cluster.settle();
        let status = status_of(&cluster, &next).unwrap();
        let freed_by: Vec<&TaskName> =
            status.obstacles.iter().filter_map(|it| it.freed_by.as_ref()).collect();
        let expected = if is_freed { vec![&old.name] } else { vec![] };
        assert_eq!(freed_by, expected, "zone {zone}: {:?}", status.obstacles);
    }
}

#[test]
fn a_label_that_changes_brings_neighbours() {
    let mut cluster =
        zoned(4, "affinity: [{with: db, level: node.labels.zone}], constraints: [node.labels.zone == b]");
    on_node(&mut cluster, &pending("db", 1, 1), 1, task("db", 1));
    add_tasks(&mut cluster, "web", 1);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [None]);
    let spec = NodeSpec { availability: skep_api::node::Availability::Pause, ..labelled(1, "zone", "b") };
    cluster.put(Key::Node(node_id(1)), spec);
    cluster.settle();
    assert_eq!(nodes_of(&cluster, "web"), [Some(4)], "although nothing fits the node that has changed");
}
