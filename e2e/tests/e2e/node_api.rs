//! What people ask of running tasks, wherever they are: logs, commands, files. Nothing of it listens on the network.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

use crate::rig::{Cluster, eventually, signal, text};

static IMAGE: Once = Once::new();

/// A service of the shell image, whose tasks run `script`.
fn shell(name: &str, replicas: u32, script: &str) -> String {
    IMAGE.call_once(|| {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("hack/demo/shell-image");
        assert!(Command::new(build).output().unwrap().status.success());
    });
    format!(
        "apiVersion: skep/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         task: {{image: \"skep-shell:v1\", command: [sh, -c, '{script}'], init: true, stopGracePeriod: 1s}}\n  \
         restart: {{delay: 0s}}\n"
    )
}

/// A script that says who it is, and then runs on.
const TALK: &str = "echo I am $SKEP_SLOT; echo oh >&2; exec sleep 600";

/// A further agent on the same machine, whose socket the cluster's commands do not know unless they are told.
struct FurtherNode {
    folder: PathBuf,
    agent: Child,
}

impl FurtherNode {
    fn start(cluster: &Cluster, socket: Option<&Path>) -> Self {
        let folder = cluster.state_dir().parent().unwrap().join("further");
        fs::create_dir_all(&folder).unwrap();
        let found: serde_json::Value =
            serde_json::from_slice(&fs::read(cluster.state_dir().join("cluster.json")).unwrap()).unwrap();
        let tls = |name: &str| found["tls"][name].as_str().unwrap().to_owned();
        let mut command = cluster.command(&["agent", "--name", "further"]);
        command.env("SKEP_STATE_DIR", &folder).args(["--etcd", found["endpoints"][0].as_str().unwrap()]);
        command.args(["--etcd-ca", &tls("ca"), "--etcd-cert", &tls("cert"), "--etcd-key", &tls("key")]);
        if let Some(socket) = socket {
            command.arg("--api-socket").arg(socket);
        }
        let agent = command.stderr(Stdio::null()).spawn().unwrap();
        eventually("the further node is ready", || {
            let nodes = cluster.ok(&["get", "nodes"]);
            let is_ready = nodes.lines().any(|line| line.contains("further") && line.contains("ready"));
            if is_ready { Ok(()) } else { Err(nodes) }
        });
        Self { folder, agent }
    }
}

impl Drop for FurtherNode {
    fn drop(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        // `skep down` takes away what the machine's own node has run, and knows nothing of this one.
        let node: serde_json::Value =
            serde_json::from_slice(&fs::read(self.folder.join("node.json")).unwrap()).unwrap();
        let filter = format!("label=skep.node={}", node["id"].as_str().unwrap());
        let listed = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
        let ids = text(&listed.stdout);
        if !ids.is_empty() {
            Command::new("docker").args(["rm", "-f"]).args(ids.split_whitespace()).output().unwrap();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn node_name(cluster: &Cluster) -> String {
    cluster.get("nodes")[0]["spec"]["name"].as_str().unwrap().to_owned()
}

/// `skep` with this on its standard input.
fn with_input(cluster: &Cluster, args: &[&str], input: &[u8]) -> Output {
    let mut command = cluster.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    output
}

#[test]
fn the_logs_of_a_service_are_those_of_all_its_tasks_ended_ones_included() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 2, TALK), &[]);
    let node = node_name(&cluster);
    let lines = |slots: &[u32]| {
        slots.iter().map(|slot| format!("talk.{slot}@{node} | I am {slot}")).collect::<Vec<String>>()
    };
    let seen = eventually("both have spoken", || {
        let seen = cluster.run(&["logs", "talk"]);
        if text(&seen.stdout).lines().count() == 2 { Ok(seen) } else { Err(text(&seen.stdout)) }
    });
    assert_eq!(sorted(&text(&seen.stdout)), lines(&[1, 2]));
    assert_eq!(text(&seen.stderr).matches("| oh").count(), 2, "standard error stays standard error");
    assert_eq!(cluster.ok(&["logs", "talk.2", "--no-prefix"]), "I am 2\n");
    let stamped = cluster.ok(&["logs", "talk.2", "--no-prefix", "-t", "--since", "10m"]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z I am 2\n"), "{stamped}");
    assert_eq!(cluster.ok(&["logs", "talk", "--since", "2099-01-01T00:00:00Z"]), "");
    assert_eq!(cluster.ok(&["logs", "talk", "--grep", "am 1"]).lines().count(), 1);
    cluster.ok(&["exec", "talk.1", "--", "sh", "-c", "kill 1; kill -9 -1; true"]);
    eventually("the successor has spoken, too", || {
        let seen = cluster.ok(&["logs", "talk"]);
        if sorted(&seen) == lines(&[1, 1, 2]) { Ok(()) } else { Err(seen) }
    });
    let run = cluster.run(&["logs", "tlak"]);
    assert_eq!(run.status.code(), Some(8));
    assert!(text(&run.stderr).contains("did you mean `talk`?"), "{}", text(&run.stderr));
}

#[test]
fn following_a_service_shows_tasks_that_start_later_and_ends_when_it_is_deleted() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 1, TALK), &[]);
    let mut command = cluster.command(&["logs", "talk", "-f", "--no-prefix"]);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "I am 1");
    cluster.ok(&["scale", "talk=2"]);
    assert_eq!(lines.next().unwrap().unwrap(), "I am 2");
    let agent = cluster.process("agent").pid;
    cluster.kill("agent");
    assert_ne!(cluster.process("agent").pid, agent);
    cluster.ok(&["scale", "talk=3"]);
    assert_eq!(lines.next().unwrap().unwrap(), "I am 3", "and shows no line again that was shown before");
    cluster.ok(&["delete", "service/talk"]);
    assert!(lines.next().is_none());
    assert!(following.wait().unwrap().success());
}

/// Swarm 7.4: what is missing is said at the end, and the rest is shown.
#[test]
fn when_a_node_is_away_the_rest_is_shown_and_what_is_missing_is_said() {
    let cluster = Cluster::start();
    let further = FurtherNode::start(&cluster, None);
    cluster.apply(&shell("talk", 2, TALK), &[]);
    let run = eventually("the task of this node has spoken", || {
        let run = cluster.run(&["logs", "talk"]);
        if text(&run.stdout).lines().count() == 1 { Ok(run) } else { Err(text(&run.stderr)) }
    });
    let words = text(&run.stderr);
    assert!(run.status.success(), "{words}");
    assert!(
        words.contains("incomplete: node further (talk.") && words.contains("is not available"),
        "{words}"
    );
    drop(further);
    let agent = cluster.process("agent").pid;
    signal(agent, "STOP");
    let run = cluster.run(&["logs", "talk"]);
    signal(agent, "CONT");
    assert_eq!(run.status.code(), Some(1), "nothing could be read");
    let words = text(&run.stderr);
    assert!(words.contains("does not answer within"), "{words}");
}

#[test]
fn a_node_with_its_socket_elsewhere_is_reached_when_it_is_put_where_it_is_looked_for() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 1, TALK), &[]);
    let further = FurtherNode::start(&cluster, None);
    cluster.ok(&["scale", "talk=2"]);
    let socket = fs::read_dir(further.folder.join("run/nodes")).unwrap().next().unwrap().unwrap();
    let place = cluster.state_dir().join("run/nodes").join(socket.file_name());
    std::os::unix::fs::symlink(socket.path(), &place).unwrap();
    let seen = eventually("both nodes are heard", || {
        let seen = cluster.ok(&["logs", "talk"]);
        if seen.lines().count() == 2 { Ok(seen) } else { Err(seen) }
    });
    assert!(seen.contains("@further | I am "), "{seen}");
    let there = cluster.running("talk");
    let there = there.iter().map(|task| task["metadata"]["name"].as_str().unwrap());
    for task in there {
        assert!(cluster.ok(&["exec", task, "--", "id"]).contains("uid=0"));
    }
}

#[test]
fn a_command_has_input_output_and_an_exit_code() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 2, TALK), &[]);
    let script = "cat; echo $A >&2; id -u; pwd; exit 7";
    let args = [
        "exec", "-i", "talk", "--slot", "2", "-u", "nobody", "-w", "/tmp", "-e", "A=b c", "--", "sh", "-c",
        script,
    ];
    let run = with_input(&cluster, &args, b"typed\n");
    assert_eq!(run.status.code(), Some(7));
    assert_eq!(
        (text(&run.stdout), text(&run.stderr)),
        ("typed\n65534\n/tmp\n".to_owned(), "b c\n".to_owned())
    );
    let much = vec![b'x'; 5_000_000];
    let run = with_input(&cluster, &["exec", "-i", "talk.1", "cat"], &much);
    assert!(run.status.success() && run.stdout == much, "{} bytes", run.stdout.len());
    let run = cluster.run(&["exec", "talk", "--", "id"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("2 tasks run, choose one with --slot"), "{}", text(&run.stderr));
    cluster.ok(&["scale", "talk=0"]);
    let run = cluster.run(&["exec", "talk", "--", "id"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("no task of talk runs"), "{}", text(&run.stderr));
}

#[test]
fn a_terminal_is_passed_through_and_given_back() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 1, TALK), &[]);
    let skep = crate::rig::binary();
    // `script` gives the shell a terminal, in which `skep exec -it` gives the container one of the same size.
    let inner = format!(
        "stty rows 33 cols 101; stty -g >before; {} exec -it talk -- sh -c 'while [ \"$(stty size)\" = \"0 0\" ]; do :; done; stty size; exit 5'; echo code $?; \
         stty -g >after; cmp before after && echo same",
        skep.display()
    );
    let folder = cluster.state_dir().parent().unwrap().join("terminal");
    fs::create_dir_all(&folder).unwrap();
    let run = Command::new("script")
        .args(["--quiet", "--command", &inner, "/dev/null"])
        .current_dir(&folder)
        .env("SKEP_STATE_DIR", cluster.state_dir())
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = text(&run.stdout);
    assert!(seen.contains("33 101") && seen.contains("code 5") && seen.contains("same"), "{seen}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn files_and_directories_go_into_a_task_and_come_back() {
    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 1, TALK), &[]);
    let folder = cluster.state_dir().parent().unwrap().join("files");
    fs::create_dir_all(folder.join("site/css")).unwrap();
    fs::write(folder.join("site/css/a.css"), "a {}").unwrap();
    let local = |name: &str| folder.join(name).display().to_string();
    cluster.ok(&["cp", &local("site"), "talk:/tmp"]);
    assert_eq!(cluster.ok(&["exec", "talk", "cat", "/tmp/site/css/a.css"]), "a {}");
    cluster.ok(&["cp", &local("site/css/a.css"), "talk:/tmp/b.css"]);
    cluster.ok(&["cp", "talk:/tmp/b.css", &local("c.css")]);
    assert_eq!(fs::read_to_string(local("c.css")).unwrap(), "a {}");
    cluster.ok(&["cp", "talk.1:/tmp/site", &local("copy")]);
    assert_eq!(fs::read_to_string(local("copy/css/a.css")).unwrap(), "a {}");
    let archive = cluster.run(&["cp", "talk:/tmp/site", "-"]).stdout;
    let run = with_input(&cluster, &["cp", "-", "talk:/etc"], &archive);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(cluster.ok(&["exec", "talk", "--", "ls", "/etc/site/css"]), "a.css\n");
    let run = cluster.run(&["cp", "talk:/nowhere", &local("x")]);
    assert_eq!(run.status.code(), Some(8));
    assert!(text(&run.stderr).contains("has no /nowhere"), "{}", text(&run.stderr));
    let task = cluster.running("talk")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.ok(&["exec", "talk", "--", "sh", "-c", "kill 1; kill -9 -1; true"]);
    eventually("another task runs in its place", || {
        let seen = cluster.running("talk");
        if seen.len() == 1 && seen[0]["metadata"]["name"] != *task {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    });
    cluster.ok(&["cp", &format!("{task}:/tmp/b.css"), &local("late.css")]);
    assert_eq!(
        fs::read_to_string(local("late.css")).unwrap(),
        "a {}",
        "a task that has ended keeps its files"
    );
    fs::remove_dir_all(folder).unwrap();
}

/// The TCP ports, of whichever address, on which the process listens.
fn listening(pid: u32) -> Vec<String> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?.display().to_string();
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_own = fields[3] == "0A" && sockets.contains(&fields[9].to_owned());
        is_own.then(|| fields[1].to_owned())
    };
    rows.filter_map(row).collect()
}

#[test]
fn the_node_api_listens_on_a_unix_socket_of_its_owner_and_on_no_port() {
    use std::os::unix::fs::PermissionsExt;

    let cluster = Cluster::start();
    cluster.apply(&shell("talk", 1, TALK), &[]);
    assert!(cluster.ok(&["exec", "talk", "id"]).contains("uid=0"), "the API is served");
    let agent = cluster.process("agent").pid;
    assert_eq!(listening(agent), Vec::<String>::new());
    assert!(!listening(cluster.process("etcd").pid).is_empty(), "a port would be seen");
    let nodes = cluster.state_dir().join("run/nodes");
    assert_eq!(fs::metadata(&nodes).unwrap().permissions().mode() & 0o777, 0o700);
    let sockets: Vec<String> = fs::read_dir(&nodes)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let node = cluster.get("nodes")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(sockets, [format!("{node}.sock")]);
}
