//! etcd is open to those who may read it, and to nobody else: what people put there by hand is as good as applied.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::rig::{Cluster, demo, docker, eventually, text};

const WEB: &str = "/skep/spec/services/default/web";

#[test]
fn a_service_put_by_hand_runs_and_garbage_in_its_place_leaves_its_tasks_alone() {
    let cluster = Cluster::start();
    cluster.etcd_put(WEB, &demo("web", 2));
    cluster.comes_to("web", 2);
    let containers = docker::running(&cluster, "web");
    cluster.etcd_put(WEB, "spec: [this is no service");
    eventually("a condition says what is wrong", || {
        let status = cluster.etcd_get("/skep/status/services/default/web");
        (status.contains("Accepted") && status.contains("InvalidSpec")).then_some(()).ok_or(status)
    });
    assert_eq!(docker::running(&cluster, "web"), containers, "the tasks were not left alone");
    cluster.etcd_put(WEB, &demo("web", 1));
    cluster.comes_to("web", 1);
}

#[test]
fn what_skep_writes_is_yaml_that_people_can_read() {
    let cluster = Cluster::start();
    cluster.apply(&demo("web", 1), &[]);
    let spec = cluster.etcd_get(WEB);
    assert!(spec.contains("kind: Service\n") && spec.contains("\nspec:\n"), "{spec}");
    let status = cluster.etcd_get("/skep/status/services/default/web");
    assert!(status.contains("conditions:\n"), "{status}");
}

#[test]
fn etcdctl_watch_and_get_w_show_the_same_changes() {
    let cluster = Cluster::start();
    let mut watch = cluster.etcdctl(&["watch", "--prefix", "/skep/status/services/"]);
    let mut etcd = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut get = cluster.command(&["get", "services", "-w", "-o", "jsonl"]);
    let mut skep = get.stdout(Stdio::piped()).spawn().unwrap();
    let from_etcd = lines(&mut etcd);
    let from_skep = lines(&mut skep);
    cluster.apply(&demo("web", 1), &[]);
    let has_running = |lines: &std::sync::mpsc::Receiver<String>, word: &str| {
        let word = word.to_owned();
        let seen: Vec<String> = lines.try_iter().collect();
        seen.iter().any(|line| line.contains(&word)).then_some(()).ok_or_else(|| seen.join("\n"))
    };
    eventually("etcdctl shows one running task", || has_running(&from_etcd, "running: 1"));
    eventually("skep get -w shows one running task", || has_running(&from_skep, "\"running\":1"));
    for process in [&mut etcd, &mut skep] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// The lines of a process, as they come; its thread ends with the process.
fn lines(process: &mut std::process::Child) -> std::sync::mpsc::Receiver<String> {
    let output = process.stdout.take().unwrap();
    let (send, receive) = std::sync::mpsc::sync_channel(10_000);
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    receive
}

#[test]
fn another_user_of_the_machine_cannot_read_etcd() {
    let cluster = Cluster::start();
    let endpoint = {
        let found: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(cluster.state_dir().join("cluster.json")).unwrap())
                .unwrap();
        found["endpoints"][0].as_str().unwrap().to_owned()
    };
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args([
        "--endpoints",
        &endpoint,
        "--insecure-skip-tls-verify",
        "--command-timeout",
        "3s",
    ]);
    let output = command.args(["get", "--prefix", "/skep/"]).output().unwrap();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "read without a certificate: {}",
        text(&output.stdout)
    );
    let as_nobody = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat"])
        .arg(cluster.state_dir().join("pki/client-key.pem"))
        .output()
        .unwrap();
    assert!(!as_nobody.status.success(), "another user can read the client's key");
}
