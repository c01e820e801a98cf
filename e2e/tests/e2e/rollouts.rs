//! What people do with updates: go back to a revision, read the history, hold, resume and give up, try on a few slots first.

use serde_json::Value;

use crate::rig::{Cluster, docker, eventually, text};

/// Replicas that are updated one at a time; `more` is further settings of the update, and of the container.
fn shelf(name: &str, version: &str, more: &str, container: &str) -> String {
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  replicas: 3\n  task:\n    image: \
         \"skep-demo:{version}\"\n    stopGracePeriod: 2s\n{container}  ports: [{{target: 8080, mode: host}}]\n  update: \
         {{monitor: 500ms{more}}}\n"
    )
}

/// The Service's status.
fn status(cluster: &Cluster) -> Value {
    cluster.get("services")[0]["status"].clone()
}

/// The history, oldest first.
fn history(cluster: &Cluster, name: &str) -> Vec<Value> {
    let rows: Value = serde_json::from_str(&cluster.ok(&["rollout", "history", name, "-o", "json"])).unwrap();
    rows.as_array().unwrap().clone()
}

/// The bytes of the template of the only service's revision `number`, as etcd holds them.
fn template(cluster: &Cluster, number: u64) -> String {
    let uid = cluster.get("services")[0]["metadata"]["uid"].as_str().unwrap().to_owned();
    let keys = text(
        &cluster
            .etcdctl(&["get", "--prefix", "--keys-only", &format!("/skep/revisions/{uid}/")])
            .output()
            .unwrap()
            .stdout,
    );
    let has_number = |key: &&str| {
        key.rsplit('/').next().and_then(|last| last.parse::<u64>().ok()).is_some_and(|last| last == number)
    };
    let key = keys.lines().find(has_number).unwrap_or_else(|| panic!("no revision {number} in {keys}"));
    let bytes = cluster.etcd_get(key);
    let from = bytes.find("\"task\":").unwrap_or_else(|| panic!("{bytes}"));
    let till = bytes.find(",\"version\":").unwrap_or_else(|| panic!("{bytes}"));
    bytes[from..till].to_owned()
}

/// How many tasks of `name` that run have each revision, as `(revision, tasks)`.
fn spread(cluster: &Cluster, name: &str) -> Vec<(u64, usize)> {
    let mut spread = std::collections::BTreeMap::new();
    for task in cluster.running(name) {
        *spread.entry(task["spec"]["revision"].as_u64().unwrap()).or_default() += 1;
    }
    spread.into_iter().collect()
}

/// Waits until the tasks of `name` are spread over revisions like this, and no other containers run.
fn spreads(cluster: &Cluster, name: &str, wanted: &[(u64, usize)]) {
    eventually(&format!("{name} is spread over revisions as {wanted:?}"), || {
        let (tasks, containers) = (spread(cluster, name), docker::running(cluster, name).len());
        let is_so = tasks == wanted && containers == wanted.iter().map(|(_, count)| count).sum::<usize>();
        is_so
            .then_some(())
            .ok_or_else(|| format!("{tasks:?}, {containers} containers, {}", status(cluster)["update"]))
    });
}

#[test]
fn undo_brings_a_revision_back_byte_for_byte_and_history_tells_who_when_and_why() {
    let cluster = Cluster::start();
    let odd = "    env: {Z: \"1\", A: \"two words\", EMPTY: \"\"}\n    hostname: \"{{.Task.Name}}\"\n    labels: {b: x, a: \"\"}\n";
    cluster.apply(&shelf("book-shelf", "v1", "", odd), &["-m", "the first"]);
    cluster.ok(&["set", "env", "book-shelf", "A=other", "Z-", "-m", "tidy up"]);
    cluster.ok(&["set", "image", "book-shelf", "skep-demo:v2", "--no-resolve", "-m", "the new one"]);
    spreads(&cluster, "book-shelf", &[(3, 3)]);
    cluster.ok(&["rollout", "undo", "book-shelf", "--to", "1", "-m", "v2 is slow"]);
    spreads(&cluster, "book-shelf", &[(4, 3)]);
    let (first, again) = (template(&cluster, 1), template(&cluster, 4));
    assert_eq!(first, again);
    assert_ne!(first, template(&cluster, 3));

    let rows = history(&cluster, "book-shelf");
    let why: Vec<&str> = rows.iter().map(|row| row["message"].as_str().unwrap()).collect();
    assert_eq!(why, ["the first", "tidy up", "the new one", "undo to revision 1: v2 is slow"]);
    let changes = cluster.get("changes");
    for row in &rows {
        let actor = row["actor"].as_str().unwrap();
        assert!(actor.contains('@'), "who: {row}");
        assert!(row["time"].as_str().is_some_and(|time| time.ends_with('Z')), "when: {row}");
        let is_in_changes =
            changes.iter().any(|change| change.to_string().contains(row["message"].as_str().unwrap()));
        assert!(is_in_changes, "{row} is not among the changes {changes:?}");
    }
    let table = cluster.ok(&["rollout", "history", "book-shelf"]);
    assert!(table.contains("undo to revision 1: v2 is slow") && table.contains("WHO"), "{table}");
}

/// Swarm 12.2: tasks of superseded revisions give way to the last one's.
#[test]
fn of_three_edits_within_a_second_one_rollout_ends_at_the_last() {
    let cluster = Cluster::start();
    let env = |value: &str| format!("    env: {{EDIT: \"{value}\"}}\n");
    cluster.apply(&shelf("hasty-shelf", "v1", "", &env("0")), &[]);
    let (since, first) = (docker::now(), docker::running(&cluster, "hasty-shelf"));
    for edit in ["1", "2", "3"] {
        cluster.apply(&shelf("hasty-shelf", "v1", "", &env(edit)), &["--detach"]);
    }
    cluster.ok(&["rollout", "status", "hasty-shelf"]);
    eventually("every container is of the last edit, and nothing else is under way", || {
        let containers = docker::running(&cluster, "hasty-shelf");
        let of = |id: &String| {
            let env = docker::docker(&cluster, &["inspect", "--format", "{{.Config.Env}}", id]);
            env.contains("EDIT=3")
        };
        let last = containers.iter().filter(|id| of(id)).count();
        let update = status(&cluster)["update"].clone();
        let is_so = containers.len() == 3 && last == 3 && update["state"] == "completed";
        is_so.then_some(()).ok_or_else(|| format!("{last} of {}; {update}", containers.len()))
    });
    let target = status(&cluster)["revision"].as_u64().unwrap();
    assert_eq!(spread(&cluster, "hasty-shelf"), [(target, 3)]);
    assert_eq!(history(&cluster, "hasty-shelf").last().unwrap()["revision"].as_u64(), Some(target));
    // One slot at a time: what was superseded came no further than the slot that was under way.
    let is_new = |event: &&(String, String, String)| event.0 == "start" && !first.contains(&event.1);
    let started = docker::events(&cluster, since).iter().filter(is_new).count();
    assert!(started <= 3 + 2, "{started} containers were started for three slots");
}

#[test]
fn people_pause_resume_and_abort_an_update() {
    let cluster = Cluster::start();
    cluster.apply(&shelf("held-shelf", "v1", ", delay: 2s", ""), &[]);
    cluster.apply(&shelf("held-shelf", "v2", ", delay: 2s", ""), &["--detach"]);
    eventually("one slot is updated", || {
        let spread = spread(&cluster, "held-shelf");
        spread.contains(&(2, 1)).then_some(()).ok_or_else(|| format!("{spread:?}"))
    });
    cluster.ok(&["rollout", "pause", "held-shelf", "-m", "lunch"]);
    eventually("it is paused", || {
        let update = status(&cluster)["update"].clone();
        (update["state"] == "paused" && update["waiting"]["reason"] == "Paused")
            .then_some(())
            .ok_or_else(|| update.to_string())
    });
    // The batch that was under way ends; beyond the delay nothing else moves.
    let held = spread(&cluster, "held-shelf");
    crate::rig::wait::let_pass(std::time::Duration::from_secs(5));
    assert_eq!(spread(&cluster, "held-shelf"), held, "it went on while it was paused");
    assert!(held.iter().any(|(revision, _)| *revision == 1), "nothing is left to update: {held:?}");
    cluster.ok(&["rollout", "resume", "held-shelf"]);
    spreads(&cluster, "held-shelf", &[(2, 3)]);

    cluster.ok(&["set", "env", "held-shelf", "A=1", "--detach"]);
    eventually("the next update is under way", || {
        let spread = spread(&cluster, "held-shelf");
        spread.iter().any(|(revision, _)| *revision == 3).then_some(()).ok_or_else(|| format!("{spread:?}"))
    });
    cluster.ok(&["rollout", "abort", "held-shelf"]);
    spreads(&cluster, "held-shelf", &[(2, 3)]);
    let update = status(&cluster)["update"].clone();
    assert_eq!(
        (&update["state"], &update["failure"]["reason"]),
        (&"rollback_completed".into(), &"Aborted".into())
    );
}

#[test]
fn a_partition_updates_so_many_slots_and_completes_when_it_is_raised() {
    let cluster = Cluster::start();
    cluster.apply(&shelf("canary-shelf", "v1", ", partition: 1", ""), &[]);
    cluster.apply(&shelf("canary-shelf", "v2", ", partition: 1", ""), &["--detach"]);
    eventually("it waits for the partition to be raised", || {
        let update = status(&cluster)["update"].clone();
        (update["waiting"]["reason"] == "Partition").then_some(()).ok_or_else(|| update.to_string())
    });
    spreads(&cluster, "canary-shelf", &[(1, 2), (2, 1)]);
    // Those that are lost meanwhile come back as what they were. (A canary that is lost while it is watched fails the update.)
    let is_old = |id: &String| {
        docker::docker(&cluster, &["inspect", "--format", "{{.Config.Image}}", id]).contains("skep-demo:v1")
    };
    for id in docker::running(&cluster, "canary-shelf").iter().filter(|id| is_old(id)) {
        docker::docker(&cluster, &["kill", id]);
    }
    spreads(&cluster, "canary-shelf", &[(1, 2), (2, 1)]);
    cluster.ok(&["set", "update", "canary-shelf", "partition=2", "--detach"]);
    spreads(&cluster, "canary-shelf", &[(1, 1), (2, 2)]);
    cluster.ok(&["set", "update", "canary-shelf", "partition-"]);
    spreads(&cluster, "canary-shelf", &[(2, 3)]);
    eventually("the update is complete", || {
        let update = status(&cluster)["update"].clone();
        (update["state"] == "completed").then_some(()).ok_or_else(|| update.to_string())
    });
}
