//! What people do every day: apply, look, scale, change, delete.

use crate::rig::{Cluster, demo, docker, eventually, http};

#[test]
fn a_service_runs_and_answers_and_is_gone_when_it_is_deleted() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 3), &[]);
    let ports = cluster.ports("web");
    assert_eq!(ports.len(), 3);
    for port in ports {
        eventually("the task answers", || {
            http::get(port).map(|body| assert!(body.contains("web."), "{body}"))
        });
    }
    let names = docker::docker(&cluster, &["ps", "--format", "{{.Names}}", "--filter", "name=web.1."]);
    assert!(names.starts_with("web.1."), "{names}");
    cluster.ok(&["delete", "service/web"]);
    assert!(docker::running(&cluster, "web").is_empty());
    assert!(cluster.get("tasks").is_empty());
    assert_eq!(
        cluster.etcdctl(&["get", "--prefix", "--keys-only", "/skep/revisions/"]).output().unwrap().stdout,
        b""
    );
}

#[test]
fn applying_the_same_file_twice_writes_nothing() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 1), &[]);
    let before = cluster.get("services")[0]["metadata"]["version"].clone();
    let changes = cluster.get("changes").len();
    let said = cluster.apply(&demo("web", 1), &[]);
    assert!(said.contains("unchanged"), "{said}");
    assert_eq!(cluster.get("services")[0]["metadata"]["version"], before);
    assert_eq!(cluster.get("changes").len(), changes);
}

#[test]
fn a_changed_template_replaces_slot_after_slot() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 2), &[]);
    cluster.apply(&demo("web", 2).replace("skep-demo:v1", "skep-demo:v2"), &[]);
    cluster.comes_to("web", 2);
    for port in cluster.ports("web") {
        let body = eventually("the new task answers", || http::get(port));
        assert!(body.contains("v2"), "{body}");
    }
    let rollout = &cluster.get("rollouts")[0];
    assert_eq!(
        rollout["state"].as_str().or(rollout["spec"]["state"].as_str()),
        Some("completed"),
        "{rollout}"
    );
}

#[test]
fn a_container_that_is_removed_by_hand_is_replaced_and_stays_in_the_history() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 1), &[]);
    let old = docker::running(&cluster, "web").remove(0);
    docker::docker(&cluster, &["rm", "-f", &old]);
    eventually("another container runs", || {
        let running = docker::running(&cluster, "web");
        (running.len() == 1 && running[0] != old).then_some(()).ok_or_else(|| format!("{running:?}"))
    });
    cluster.comes_to("web", 1);
    let states: Vec<String> =
        cluster.get("tasks").iter().map(|task| task["status"]["state"].to_string()).collect();
    assert!(states.len() == 2 && states.iter().any(|state| state.contains("FAILED")), "{states:?}");
    let table = cluster.ok(&["get", "tasks"]);
    assert!(table.contains("FAILED") && table.contains("\\_"), "{table}");
}

#[test]
fn a_service_that_is_deleted_and_applied_again_at_once_gets_its_fixed_port() {
    let cluster = Cluster::start();
    let port = free_port();
    let manifest = demo("web", 1).replace("target: 8080,", &format!("target: 8080, published: {port},"));
    cluster.apply(&manifest, &[]);
    let old = docker::running(&cluster, "web").remove(0);
    cluster.ok(&["delete", "service/web", "--detach"]);
    cluster.apply(&manifest, &[]);
    cluster.comes_to("web", 1);
    assert_ne!(docker::running(&cluster, "web"), [old]);
    eventually("the new task answers on the same port", || http::get(port));
}

/// A port that nothing listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
