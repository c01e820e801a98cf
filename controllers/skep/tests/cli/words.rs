//! Help, version, mistakes on the command line, and a cluster that is not there.

use crate::{LIMIT, skep};

#[test]
fn without_a_verb_the_first_words_are_short_and_have_four_examples() {
    let run = skep(&[]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    assert!(run.out.lines().count() <= 12, "{}", run.out);
    assert_eq!(run.out.lines().filter(|line| line.starts_with("  skep ")).count(), 4);
}

#[test]
fn the_version_goes_to_standard_output() {
    for args in [&["version"], &["--version"]] {
        let run = skep(args);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        assert_eq!(run.out, concat!("skep ", env!("CARGO_PKG_VERSION"), "\n"));
        assert!(run.took < LIMIT, "{:?}", run.took);
    }
}

/// The verbs, as the full help lists them.
fn verbs() -> Vec<String> {
    let help = skep(&["--help"]).out;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_verb_explains_itself_and_is_in_the_first_words_and_in_the_documentation() {
    let verbs = verbs();
    assert!(verbs.len() > 20, "{verbs:?}");
    let first = skep(&[]).out;
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md")).unwrap();
    for verb in verbs {
        let run = skep(&[&verb, "--help"]);
        assert_eq!(run.code, 0, "{verb}: {}", run.err);
        assert!(run.out.contains("Usage: skep "), "{verb}: {}", run.out);
        assert!(first.contains(&format!(" {verb}")), "the first words do not name {verb}");
        assert!(
            documentation.contains(&format!("`skep {verb}")),
            "docs/command-line.md does not name {verb}"
        );
    }
}

#[test]
fn every_part_of_set_and_rollout_explains_itself_and_is_documented() {
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md")).unwrap();
    for (verb, parts) in [
        (
            "set",
            &[
                "image",
                "env",
                "args",
                "command",
                "replicas",
                "label",
                "container-label",
                "constraint",
                "limit",
                "reserve",
                "restart",
                "update",
                "rollback",
            ][..],
        ),
        ("rollout", &["status", "history", "diff", "undo", "pause", "resume", "abort", "restart"]),
        ("create", &["service"]),
    ] {
        for part in parts {
            let run = skep(&[verb, part, "--help"]);
            assert!(
                run.code == 0 && run.out.contains("Usage: skep "),
                "{verb} {part}: {}{}",
                run.out,
                run.err
            );
            assert!(
                documentation.contains(&format!("`{part}"))
                    || documentation.contains(&format!("{verb} {part}")),
                "docs/command-line.md does not tell of {verb} {part}"
            );
        }
    }
}

#[test]
fn mistakes_in_what_is_to_be_set_are_told_before_a_cluster_is_looked_for() {
    for (args, word) in [
        (&["set", "image", "web", "Nginx"][..], "upper-case"),
        (&["set", "image", "web=a", "db"], "SERVICE=IMAGE"),
        (&["set", "env", "web", "LEVEL"], "KEY-"),
        (&["set", "env", "web"], "KEY=VALUE"),
        (&["set", "colour", "web", "red"], "colour"),
        (&["wait", "service/web", "--for", "redy"], "condition=NAME"),
        (&["label", "web", "a=b"], "KIND/NAME"),
        (&["create", "service", "web", "--image", "a", "-p", "1.2.3.4:80:80"], "hostip"),
        (&["create", "service", "web", "--image", "a", "--endpoint-mode", "round"], "round"),
    ] {
        let run = skep(args);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{args:?}: {}", run.err);
        assert!(run.err.contains(word), "{args:?}: {}", run.err);
    }
}

#[test]
fn a_service_on_the_command_line_is_printed_as_a_manifest_that_is_valid() {
    let made = skep(&[
        "create",
        "service",
        "web",
        "--image",
        "nginx:1.27",
        "-p",
        "8080:80",
        "--replicas",
        "2",
        "-e",
        "A=b",
        "--dry-run",
        "-o",
        "yaml",
        "--",
        "nginx-debug",
        "-g",
        "daemon off;",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("mode: host"), "what -p means for now is said: {}", made.err);
    let checked = crate::run(&["validate", "-f", "-"], made.out.as_bytes());
    assert_eq!(checked.code, 0, "{}{}", made.out, checked.err);
}

#[test]
fn shells_complete_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let run = skep(&["completion", shell]);
        assert_eq!(run.code, 0, "{}", run.err);
        for verb in ["rollout", "drain", "history"] {
            assert!(run.out.contains(verb), "{shell} does not complete {verb}");
        }
    }
    assert_eq!(skep(&["completion", "cmd"]).code, 2);
}

#[test]
fn the_help_of_up_shows_every_default() {
    let help = skep(&["up", "--help"]).out;
    for word in
        ["/var/lib/skep", "60s", "72h", "8 GiB", "127.0.0.1", "16 MiB", "lease", "SIGTERM", "DOCKER_HOST"]
    {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    assert!(!help.contains("background <"), "what is not for people is not shown");
}

#[test]
fn a_verb_or_a_kind_that_is_nearly_right_is_suggested_with_exit_code_2() {
    let run = skep(&["aply"]);
    assert_eq!((run.code, run.out.as_str()), (2, ""));
    assert!(run.err.contains("'apply'"), "{}", run.err);
    let run = skep(&["get", "servces"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("did you mean services?"), "{}", run.err);
    let run = skep(&["scale", "web"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("SERVICE=N"), "{}", run.err);
    let run = skep(&["apply", "-f", "x.yaml", "--timeout", "5"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("did you mean 5s?"), "{}", run.err);
}

#[test]
fn a_cluster_that_is_not_there_is_said_with_what_to_do() {
    for args in [&["get", "services"][..], &["status", "--system"], &["logs", "web"]] {
        let run = skep(args);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{args:?}");
        assert!(run.err.contains("/nowhere/skep") && run.err.contains("skep up --detach"), "{}", run.err);
    }
    let run = skep(&["down"]);
    assert_eq!(run.code, 0, "there is nothing to stop: {}", run.err);
}

#[test]
fn an_etcd_that_does_not_answer_is_said_and_not_waited_for_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let run = skep(&["get", "services", "--etcd", &url]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("etcd does not answer"), "{}", run.err);
}

#[test]
fn certificates_are_named_together() {
    let run = skep(&["get", "services", "--etcd", "https://127.0.0.1:1", "--etcd-ca", "ca.pem"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("--etcd-ca, --etcd-cert and --etcd-key together"), "{}", run.err);
}

#[test]
fn a_directory_with_something_else_in_it_is_not_taken_and_not_purged() {
    let dir = crate::Dir::new("foreign");
    dir.write("thesis.txt", "ten years of work");
    let path = dir.path().display().to_string();
    let run = skep(&["up", "--state-dir", &path]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("thesis.txt"), "{}", run.err);
    dir.write("cluster.json", r#"{"endpoints": ["http://127.0.0.1:1"]}"#);
    let run = skep(&["down", "--purge", "--state-dir", &path]);
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(dir.path().join("thesis.txt").exists());
}
