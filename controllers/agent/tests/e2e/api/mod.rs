//! The node API on a real Docker.

mod rig;

use futures::{SinkExt, StreamExt};
use skep_agent::api::upgrade::Connection;
use skep_agent::api::{Frame, Frames, Place, REQUESTS_MAX, RESOLVE_PATH, Resolved};
use skep_agent::streams::{Command, PathInfo, Size};
use skep_store::scratch::Scratch;
use tokio_util::codec::Framed;

use crate::registry::Registry;
use crate::rig::output;
use crate::suite::hand::until;
use rig::{Bench, tar};

const NO_END: &str = "exec sleep 600";

fn command(args: &[&str]) -> Command {
    Command { args: args.iter().map(|&arg| arg.to_owned()).collect(), ..Command::default() }
}

/// Everything that a command writes, and its exit code.
async fn to_its_end(connection: Connection, input: &[Frame]) -> (String, String, i64) {
    let mut stream = Framed::new(connection, Frames);
    for frame in input {
        stream.send(frame.clone()).await.unwrap();
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(frame) = stream.next().await {
        match frame.unwrap() {
            Frame::Output { is_error: false, bytes } => out.extend_from_slice(&bytes),
            Frame::Output { bytes, .. } => err.extend_from_slice(&bytes),
            Frame::Exit(code) => {
                return (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), code);
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("no exit code; {:?}", String::from_utf8_lossy(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_task_that_has_ended_is_all_there_with_its_two_streams_apart() {
    let bench = Bench::start();
    bench.run(1, &[], "echo one; echo two; echo oh >&2; printf three; exit 3");
    bench.wait(1);
    let (out, err, end) = bench.logs(1, "").await;
    assert_eq!((out.as_str(), err.as_str()), ("one\ntwo\nthree", "oh\n"));
    assert_eq!(end, Frame::End { is_final: true });
    assert_eq!(bench.logs(1, "tail=1").await.0, "three");
    let (out, _, end) = bench.logs(1, "follow=true&afterNs=9000000000000000000").await;
    assert_eq!((out.as_str(), end), ("", Frame::End { is_final: true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_from_after_the_last_line_that_was_seen() {
    let bench = Bench::start();
    bench.run(1, &[], "echo one; echo two; echo three");
    let path = bench.path(1, Place::Logs);
    let mut answer = bench.get(&format!("{path}?follow=true")).await;
    let mut times = Vec::new();
    while let Some(Frame::Line { is_error: false, time_ns, .. }) = answer.news().await {
        times.push(time_ns);
    }
    assert!(times.len() == 3 && times.is_sorted(), "{times:?}");
    let (rest, ..) = bench.logs(1, &format!("afterNs={}", times[0])).await;
    assert_eq!(rest, "two\nthree\n", "a line is neither missed nor shown twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_task_writes_is_sent_as_it_is_written_and_silence_is_filled() {
    let bench = Bench::start();
    bench.run(1, &["-i"], "echo ready; while read line; do echo got $line; done");
    let mut answer = bench.get(&format!("{}?follow=true", bench.path(1, Place::Logs))).await;
    let Some(Frame::Line { bytes, .. }) = answer.news().await else { panic!("no line") };
    assert_eq!(bytes, "ready\n");
    assert_eq!(answer.frame().await, Some(Frame::Alive));
    output("docker", &["exec", &bench.task(1), "sh", "-c", "echo late >/proc/1/fd/1"]);
    let Some(Frame::Line { bytes, .. }) = answer.news().await else { panic!("no line") };
    assert_eq!(bytes, "late\n");
    output("docker", &["kill", &bench.task(1)]);
    assert_eq!(answer.news().await, Some(Frame::End { is_final: true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_terminal_is_read_as_it_was_written() {
    let bench = Bench::start();
    bench.run(1, &["-t"], r"printf '\001\002\000ctrl\n'; echo two; printf 'no end'");
    bench.wait(1);
    let (out, err, end) = bench.logs(1, "").await;
    assert_eq!((out.as_str(), err.as_str()), ("\u{1}\u{2}\0ctrl\r\ntwo\r\nno end", ""));
    assert_eq!(end, Frame::End { is_final: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tasks_of_this_node_and_cluster_can_be_reached() {
    let bench = Bench::start();
    bench.run_for("othernode000", 1, &[], NO_END);
    for path in [bench.path(1, Place::Logs), bench.path(2, Place::Logs), "/v1/tasks/x".to_owned()] {
        let (status, words) = bench.get(&path).await.text().await;
        assert_eq!(status, 404, "{path}: {words}");
    }
    let words = bench.exec(1, &command(&["id"])).await.err().unwrap();
    assert!(words.contains("has no container on this node"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_as_asked_and_its_exit_code_comes_back() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let script = "cat; echo $A; ls -d $PWD; id -u >&2; exit 7";
    let asked = Command {
        stdin: true,
        env: vec!["A=b c".to_owned()],
        user: Some("nobody".to_owned()),
        workdir: Some("/tmp".to_owned()),
        ..command(&["sh", "-c", script])
    };
    let connection = bench.exec(1, &asked).await.unwrap();
    let input = [Frame::Input("typed\n".into()), Frame::InputEnd];
    let (out, err, code) = to_its_end(connection, &input).await;
    assert_eq!((out.as_str(), err.as_str(), code), ("typed\nb c\n/tmp\n", "65534\n", 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn much_input_and_much_output_at_once_do_not_block_each_other() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let connection = bench.exec(1, &Command { stdin: true, ..command(&["cat"]) }).await.unwrap();
    let (mut to, from) = Framed::new(connection, Frames).split();
    let text: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
    let sent = text.clone();
    let sending = async move {
        for piece in sent.chunks(50_000) {
            to.send(Frame::Input(piece.to_vec().into())).await.unwrap();
        }
        to.send(Frame::InputEnd).await.unwrap();
        to
    };
    let receiving = from.fold(Vec::new(), |mut all, frame| async move {
        match frame.unwrap() {
            Frame::Output { bytes, .. } => all.extend_from_slice(&bytes),
            end => assert_eq!(end, Frame::Exit(0)),
        }
        all
    });
    let (_to, received) = tokio::join!(sending, receiving);
    assert!(received == text, "{} of {} bytes", received.len(), text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_the_size_that_it_is_given_first_and_later() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let size = Some(Size { rows: 11, columns: 77 });
    let script = "read line; stty size; read line; stty size";
    let asked = Command { tty: true, stdin: true, size, ..command(&["sh", "-c", script]) };
    let connection = bench.exec(1, &asked).await.unwrap();
    let enter = || Frame::Input("\r".into());
    let other = Frame::Resize(Size { rows: 22, columns: 99 });
    let mut stream = Framed::new(connection, Frames);
    stream.send(enter()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("77") {
        let Some(Ok(Frame::Output { bytes, .. })) = stream.next().await else { panic!("{seen}") };
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    assert!(seen.contains("11 77"), "{seen:?}");
    stream.send(other).await.unwrap();
    stream.send(enter()).await.unwrap();
    let (rest, _, code) = to_its_end(stream.into_inner(), &[]).await;
    assert!(rest.contains("22 99"), "{rest:?}");
    assert_eq!(code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_or_a_task_that_does_not_run_is_said() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let connection = bench.exec(1, &command(&["nonsense"])).await.unwrap();
    let (out, _, code) = to_its_end(connection, &[]).await;
    assert!(out.contains("nonsense") && code >= 126, "{code} {out}");
    bench.run(2, &[], "true");
    bench.wait(2);
    let words = bench.exec(2, &command(&["id"])).await.err().unwrap();
    assert!(words.contains("does not run"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_into_a_container_and_come_back() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let scratch = Scratch::new("files").unwrap();
    let folder = scratch.path();
    std::fs::create_dir_all(folder.join("site/css")).unwrap();
    std::fs::write(folder.join("site/css/a.css"), vec![b'x'; 3_000_000]).unwrap();
    let at = folder.display().to_string();
    let sent = tar(&["--create", "--directory", &at, "site"], b"");
    let archive = bench.path(1, Place::Archive);
    let (status, words) = bench.put(&format!("{archive}?path=/tmp"), sent).await.text().await;
    assert_eq!(status, 200, "{words}");
    let body = bench.get(&format!("{archive}?path=/tmp/site/css")).await.body().await;
    let found = tar(&["--extract", "--to-stdout", "css/a.css"], &body);
    assert!(found == vec![b'x'; 3_000_000]);
    let stat = bench.path(1, Place::Stat);
    let (_, text) = bench.get(&format!("{stat}?path=/tmp/site")).await.text().await;
    let info: PathInfo = serde_json::from_str(&text).unwrap();
    assert_eq!(info, PathInfo { name: "site".to_owned(), is_directory: true, link_target: None });
    assert_eq!(bench.get(&format!("{stat}?path=/nowhere")).await.text().await, (200, "null".to_owned()));
    let (status, words) = bench.get(&format!("{archive}?path=/nowhere")).await.text().await;
    assert!(status == 404 && words.contains("/nowhere"), "{status} {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_a_tag_is_what_its_registry_says_now() {
    let bench = Bench::start();
    let registry = Registry::start().await;
    let path = format!("{RESOLVE_PATH}?image={}/app:1", registry.address);
    let (status, text) = bench.get(&path).await.text().await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(serde_json::from_str::<Resolved>(&text).unwrap().digest, registry.digest);
    let (status, words) = bench.get(&format!("{RESOLVE_PATH}?image=127.0.0.1:1/app:1")).await.text().await;
    assert!(status == 422 && words.contains("127.0.0.1:1"), "{status} {words}");
    let (status, words) = bench.get(&format!("{RESOLVE_PATH}?image=A:1")).await.text().await;
    assert!(status == 400 && words.contains("upper-case"), "{status} {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_is_refused_and_there_is_room_again_when_another_ends() {
    let bench = Bench::start();
    bench.run(1, &[], NO_END);
    let path = format!("{}?follow=true", bench.path(1, Place::Logs));
    let mut held = Vec::new();
    for _ in 0..REQUESTS_MAX {
        held.push(bench.get(&path).await);
    }
    let (status, words) = bench.get(&path).await.text().await;
    assert!(status == 503 && words.contains("256"), "{status} {words}");
    held.pop();
    until("there is room", async || bench.get(&path).await.response.status() == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_is_dropped_every_stream_ends() {
    let bench = Bench::start();
    bench.run(1, &[], "echo one; exec sleep 600");
    let mut log = bench.get(&format!("{}?follow=true", bench.path(1, Place::Logs))).await;
    assert!(matches!(log.news().await, Some(Frame::Line { .. })));
    let connection = bench.exec(1, &Command { stdin: true, ..command(&["cat"]) }).await.unwrap();
    let mut command = Framed::new(connection, Frames);
    bench.server.abort();
    assert_eq!(log.news().await, None, "and it does not say that this is the end of the log");
    assert!(command.next().await.is_none_or(|frame| frame.is_err()));
}
