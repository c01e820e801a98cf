//! What must survive: every process killed, Docker restarted, etcd away.

use std::time::Duration;

use serde_json::Value;

use crate::rig::http::{self, Asking};
use crate::rig::wait::let_pass;
use crate::rig::{Cluster, demo, docker, eventually, signal, within};

#[test]
fn every_process_may_be_killed_while_a_service_is_scaled() {
    let cluster = Cluster::start();
    let since = docker::now();
    cluster.apply(&demo("web", 1), &[]);
    let first = docker::running(&cluster, "web").remove(0);
    let asking = Asking::start(cluster.ports("web")[0]);
    for process in ["replica", "updater", "scheduler", "node", "agent", "etcd"] {
        cluster.ok(&["scale", "web=5", "--detach"]);
        cluster.kill(process);
        cluster.comes_to("web", 5);
        cluster.ok(&["scale", "web=2", "--detach"]);
        cluster.kill(process);
        cluster.comes_to("web", 2);
    }
    assert!(
        docker::running(&cluster, "web").contains(&first),
        "a running container was stopped without reason"
    );
    asking.was_always_answered();
    cluster.ok(&["scale", "web=0", "--detach"]);
    cluster.kill("replica");
    cluster.comes_to("web", 0);
    cluster.ok(&["scale", "web=3", "--detach"]);
    cluster.kill("agent");
    cluster.comes_to("web", 3);
    docker::none_started_twice(&cluster, since);
}

#[test]
fn containers_answer_while_etcd_is_away_for_a_minute_and_all_converges_when_it_is_back() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 2), &[]);
    let container = |task: &Value| task["status"]["container"]["id"].as_str().unwrap().to_owned();
    let tasks = cluster.running("web");
    let (stays, goes) = (container(&tasks[0]), container(&tasks[1]));
    let pids =
        |cluster: &Cluster| cluster.processes().into_iter().map(|process| process.pid).collect::<Vec<_>>();
    let before = pids(&cluster);
    let asking = Asking::start(cluster.ports("web")[0]);
    let etcd = cluster.process("etcd").pid;
    signal(etcd, "STOP");
    docker::docker(&cluster, &["rm", "-f", &goes]);
    let_pass(Duration::from_secs(60));
    signal(etcd, "CONT");
    cluster.comes_to("web", 2);
    asking.was_always_answered();
    let running = docker::running(&cluster, "web");
    assert!(running.contains(&stays), "a container was stopped without reason");
    assert!(!running.contains(&goes), "Docker brought a container back that was removed");
    assert_eq!(pids(&cluster), before, "nothing had to be started again");
}

#[test]
fn after_dockers_restart_tasks_are_adopted_or_replaced_and_none_is_doubled() {
    let own = docker::OwnDocker::start();
    let cluster = Cluster::start_on(Some(own.host()));
    cluster.apply(&demo("web", 2), &[]);
    own.restart();
    within(Duration::from_secs(90), "two tasks run again", || {
        let running = cluster.running("web").len();
        let containers = docker::running(&cluster, "web").len();
        (running == 2 && containers == 2)
            .then_some(())
            .ok_or_else(|| format!("{running} tasks, {containers} containers"))
    });
    for port in cluster.ports("web") {
        eventually("the task answers", || http::get(port));
    }
}
