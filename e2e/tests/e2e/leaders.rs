//! Two of a controller: one leads, the other takes over.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::rig::{Cluster, demo, eventually, signal, within};

/// The lease of a leader, in whole seconds, as `skep up --help` says, with what etcd adds to it.
const LEASE: Duration = Duration::from_secs(6 + 2);

/// A second scheduler beside the one that `skep up` keeps.
fn second_scheduler(cluster: &Cluster) -> Child {
    cluster.command(&["controller", "scheduler"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn leader_pid(cluster: &Cluster) -> Option<u32> {
    let session: serde_json::Value =
        serde_json::from_str(&cluster.etcd_get("/skep/sessions/controllers/scheduler")).ok()?;
    session["holder"].as_str()?.rsplit(':').next()?.parse().ok()
}

#[test]
#[allow(clippy::disallowed_methods)] // How fast it is, is what is asked here.
fn the_other_scheduler_takes_over_after_a_kill_and_at_once_after_a_clean_stop() {
    let cluster = Cluster::start();
    let mut second = second_scheduler(&cluster);
    let first = eventually("one leads", || leader_pid(&cluster).ok_or_else(String::new));
    assert_ne!(first, second.id());
    // The standby must have read everything before it can take over at once.
    eventually("both are there", || {
        let held = cluster.etcdctl(&["lease", "list"]).output().unwrap();
        let leases = String::from_utf8_lossy(&held.stdout).lines().count();
        (leases >= 7).then_some(()).ok_or_else(|| format!("{leases} leases"))
    });
    signal(first, "KILL");
    let takes_over = |from: u32, limit| {
        within(limit, "the other one leads", || match leader_pid(&cluster) {
            Some(pid) if pid != from => Ok(pid),
            other => Err(format!("{other:?}")),
        })
    };
    let next = takes_over(first, LEASE + Duration::from_secs(2));
    let begin = Instant::now();
    signal(next, "TERM");
    takes_over(next, Duration::from_secs(3));
    assert!(begin.elapsed() < Duration::from_secs(3), "a clean stop was waited for as long as a kill");
    cluster.apply(&demo("web", 2), &[]);
    second.kill().ok();
    second.wait().unwrap();
}

#[test]
fn a_leader_that_was_paused_past_its_lease_writes_nothing_when_it_wakes_up() {
    let cluster = Cluster::start();
    let mut second = second_scheduler(&cluster);
    let first = eventually("one leads", || leader_pid(&cluster).ok_or_else(String::new));
    signal(first, "STOP");
    within(LEASE + Duration::from_secs(5), "the other one leads", || match leader_pid(&cluster) {
        Some(pid) if pid == second.id() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    cluster.apply(&demo("web", 3), &["--detach"]);
    signal(first, "CONT");
    cluster.comes_to("web", 3);
    assert_eq!(leader_pid(&cluster), Some(second.id()), "the one that was paused leads again");
    let names = cluster.running("web").len();
    assert_eq!(names, 3);
    second.kill().unwrap();
    second.wait().unwrap();
}
