//! A cluster in memory on which everybody works.

use std::fmt::Write as _;

use skep_api::manifest::{Manifest, Source};
use skep_api::node::NodeReport;

use super::*;
use crate::sandbox::picture::Picture;
use crate::testing::NOW;
use crate::verb::whatif::join;

/// A cluster at rest: nodes as `NAME ZONE CPUS MEMORY`, and services as `NAME: {spec}`.
pub(crate) fn cluster(nodes: &[&str], services: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::empty("test", NOW);
    for (number, node) in (1_u64..).zip(nodes) {
        let [name, zone, cpus, memory] = node.split(' ').collect::<Vec<_>>()[..] else { panic!("{node}") };
        let mut report = NodeReport { hostname: name.to_owned(), ..NodeReport::default() };
        report.capacity.cpus = cpus.parse().unwrap();
        report.capacity.memory = memory.parse().unwrap();
        report.platform.os = "linux".to_owned();
        report.platform.architecture = "x86_64".to_owned();
        let text = format!("{{name: {name}, labels: {{zone: {zone}}}}}");
        let spec = skep_api::yaml::from_str(&text).unwrap();
        join(&mut sandbox, &skep_api::ident::NodeId::from_random(number), spec, report);
    }
    for service in services {
        write(&mut sandbox, service);
    }
    let rest = sandbox.run().unwrap();
    assert!(rest.is_at_rest, "{rest:?}");
    sandbox
}

/// Writes a service, as people would.
pub(crate) fn write(sandbox: &mut Sandbox, service: &str) {
    let (name, spec) = service.split_once(": ").unwrap();
    let text = format!("{{apiVersion: skep/v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}");
    let reading = skep_api::manifest::read(&[Source::new("test", text)]);
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    for document in reading.documents {
        let Manifest::Service(_) = &document.value else { panic!("no service") };
        sandbox.put(&document.value.key(), document.value.object());
    }
}

/// The same cluster, as it would be read from etcd.
pub(crate) fn cut(sandbox: &Sandbox) -> Cut {
    Cut::of_entries("test", sandbox.keys.revision(), sandbox.entries())
}

/// Where the tasks are, and who waits.
fn places(sandbox: &Sandbox) -> String {
    let picture = Picture::of(sandbox);
    let mut text = String::new();
    for ((service, slot), place) in &picture.slots {
        let node = place.node().map_or("-", |node| &picture.nodes[node].name);
        let _ = write!(text, "{}.{slot}@{node} ", service.name);
    }
    text.trim_end().to_owned()
}

#[test]
fn what_is_wanted_runs_and_a_copy_of_a_cluster_at_rest_is_at_rest() {
    let first = cluster(&["n1 a 4 4Gi", "n2 b 4 4Gi"], &["web: {replicas: 3, task: {image: nginx}}"]);
    assert_eq!(Picture::of(&first).tasks(), 3);
    let mut copy = Sandbox::of(&cut(&first), first.now());
    let rest = copy.run().unwrap();
    assert_eq!((rest.is_at_rest, rest.took), (true, Span::default()));
    assert_eq!(copy.keys.revision(), first.keys.revision(), "nothing was written");
    assert_eq!(places(&copy), places(&first));
}

#[test]
fn an_update_with_delays_is_complete_at_once_by_a_clock_that_jumps() {
    let spec = |image: &str| {
        format!("web: {{replicas: 4, task: {{image: {image}}}, update: {{delay: 1m, monitor: 30s}}}}")
    };
    let mut sandbox = cluster(&["n1 a 4 4Gi"], &[&spec("one")]);
    write(&mut sandbox, &spec("two"));
    let rest = sandbox.run().unwrap();
    assert!(rest.is_at_rest && rest.took >= Span::from_secs(3 * 60), "{rest:?}");
    let Picture { unready, .. } = Picture::of(&sandbox);
    assert!(unready.is_empty(), "{unready:?}");
    let images = sandbox.entries().filter(|(key, _)| matches!(key, Key::Revision(..))).count();
    assert_eq!(images, 2);
}

#[test]
fn runs_of_jobs_go_on_until_they_are_let_end_and_then_who_waits_for_them_begins() {
    let mut sandbox = cluster(
        &["n1 a 4 4Gi"],
        &[
            "migrate: {mode: replicated-job, job: {completions: 3, maxConcurrent: 2}, task: {image: demo}}",
            "web: {task: {image: nginx}, dependsOn: [{service: migrate, condition: completed}]}",
        ],
    );
    assert_eq!(places(&sandbox), "migrate.0@n1 migrate.1@n1");
    sandbox.let_jobs_end();
    assert!(sandbox.run().unwrap().is_at_rest);
    assert_eq!(places(&sandbox), "web.1@n1");
}

#[test]
fn a_write_that_stands_on_what_is_not_so_ends_the_run() {
    let mut sandbox = cluster(&["n1 a 4 4Gi"], &["web: {task: {image: nginx}}"]);
    let key =
        Key::Service(skep_api::key::ServiceRef::new("default".parse().unwrap(), "web".parse().unwrap()));
    let broken = sandbox.commit("planner", Transaction::new().absent(key)).unwrap_err();
    let words = broken.to_string();
    assert_eq!(
        words,
        "the planner planned on something that is not so (/skep/spec/services/default/web): please report this"
    );
}

#[test]
fn who_waits_for_an_instant_that_is_too_far_away_is_told_not_to_be_at_rest() {
    let mut sandbox = cluster(
        &["n1 a 4 4Gi"],
        &["migrate: {mode: replicated-job, job: {completions: 2000, maxConcurrent: 1}, task: {image: demo}}"],
    );
    sandbox.let_jobs_end();
    let rest = sandbox.run().unwrap();
    assert!(!rest.is_at_rest && rest.took <= HORIZON, "{rest:?}");
}
