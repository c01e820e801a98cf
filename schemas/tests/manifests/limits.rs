//! Input that is made to hurt: refused soon, with few words.

use std::time::{Duration, Instant};

use skep_api::code;
use skep_api::manifest::{self, Reading, SOURCE_MAX_BYTES, Source};
use skep_api::problem::{Code, PROBLEMS_MAX};

/// Far more than it takes, so that a busy machine does not fail the test; what is quadratic takes much longer.
const PATIENCE: Duration = Duration::from_secs(2);

#[allow(clippy::disallowed_methods, reason = "the time that reading takes is what is tested")]
fn read(content: impl Into<Vec<u8>>) -> Reading {
    let sources = [Source::new("bad.yaml", content)];
    let start = Instant::now();
    let reading = manifest::read(&sources);
    let taken = start.elapsed();
    assert!(taken < PATIENCE, "it took {taken:?}");
    reading
}

fn assert_refused(content: impl Into<Vec<u8>>, code: Code) {
    let reading = read(content);
    let codes: Vec<&str> = reading.problems.iter().map(|problem| problem.code.id).collect();
    assert!(codes.contains(&code.id), "{codes:?} has no {}", code.id);
    assert!(reading.documents.is_empty());
    assert!(reading.problems.len() <= PROBLEMS_MAX + 1);
}

fn service(spec: &str) -> String {
    format!("apiVersion: skep/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n{spec}")
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn deep_nesting_is_refused_at_once() {
    assert_refused("[".repeat(200_000), code::TOO_DEEP);
    assert_refused("{a: ".repeat(50_000), code::TOO_DEEP);
    assert_refused("- ".repeat(100_000), code::TOO_DEEP);
    assert_refused(lines(400, |depth| format!("{}a:", " ".repeat(depth))), code::TOO_DEEP);
}

#[test]
fn an_alias_bomb_is_never_expanded() {
    let bomb = lines(10, |n| format!("b{}: &b{} [{}]", n + 1, n + 1, vec![format!("*b{n}"); 10].join(",")));
    assert_refused(format!("b0: &b0 lol\n{bomb}"), code::YAML_FEATURE);
    let long = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 20_000].join(","), vec!["*a"; 20_000].join(","));
    assert_refused(long, code::YAML_FEATURE);
}

#[test]
fn what_is_not_text_is_refused() {
    assert_refused(vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0], code::NOT_TEXT);
    assert_refused(vec![0xff, 0xfe, b'a', 0], code::NOT_TEXT);
    assert_refused(b"a: b\0c".to_vec(), code::NOT_TEXT);
    assert_refused(service("  task: {image: nginx, env: {A: \"a\\0b\"}}\n"), code::NOT_TEXT);
}

#[test]
fn size_and_number_are_bounded() {
    assert_refused(vec![b' '; SOURCE_MAX_BYTES + 1], code::TOO_LARGE);
    assert_refused("---\na: b\n".repeat(10_001), code::TOO_LARGE);
    assert_refused("- a\n".repeat(500_001), code::TOO_LARGE);
    let env = lines(25_000, |i| format!("      VARIABLE_{i}: a value"));
    assert_refused(service(&format!("  task:\n    image: nginx\n    env:\n{env}")), code::TOO_LARGE);
}

#[test]
fn what_is_above_a_limit_says_where_and_what_to_do() {
    let cases = [
        (" ".repeat(SOURCE_MAX_BYTES + 1), 0, "the file is larger than 8 MiB"),
        ("---\na: b\n".repeat(10_001), 20_001, "a file holds at most 10000 documents"),
        ("- a\n".repeat(500_001), 500_001, "a file holds at most 500000 values"),
    ];
    for (content, line, message) in cases {
        let reading = read(content);
        let told = reading.problems.iter().find(|problem| problem.message == message);
        let problem = told.unwrap_or_else(|| panic!("no {message:?} in {:?}", reading.problems.last()));
        assert_eq!(problem.line, line);
        assert_eq!(problem.hint, "split it into several files: -f takes more than one, and directories");
    }
}

/// As `skep get -o yaml` writes them: one list, each with its status.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    format!("apiVersion: skep/v1\nkind: List\nitems:\n{}", lines(count, item))
}

fn node(number: usize) -> String {
    let metadata = format!("{{name: {number:012}, version: 5, uid: {number:025}}}");
    let values = vec!["{type: Ready, status: \"True\", reason: AgentAlive}"; 25].join(", ");
    format!(
        "- apiVersion: skep/v1\n  kind: Node\n  metadata: {metadata}\n  spec: {{name: n{number}}}\n  status: {{conditions: [{values}]}}"
    )
}

#[test]
fn a_thousand_objects_that_are_read_back_are_taken_with_one_warning() {
    let web = |number: usize| {
        let node = node(number).replace("Node", "Service");
        node.replace(&format!("name: {number:012}"), &format!("name: s{number}"))
            .replace(&format!("name: n{number}"), "task: {image: nginx}")
    };
    for content in [
        list(1000, node),
        list(1000, web),
        lines(1000, |n| {
            format!("---\n{}", service("  task: {image: a}\nstatus: {}").replace("web", &format!("s{n}")))
        }),
    ] {
        let reading = read(content);
        assert_eq!((reading.documents.len(), reading.errors()), (1000, 0), "{:?}", reading.problems);
        let told: Vec<(&str, &str)> =
            reading.problems.iter().map(|problem| (problem.code.id, problem.hint.as_str())).collect();
        assert_eq!(told, [(code::STATUS_IGNORED.id, "the same in 999 other places of this file")]);
    }
}

#[test]
fn an_error_is_told_however_many_warnings_come_before_it() {
    let doubtful = |number: usize| {
        let spec = format!("  task: {{image: a}}\n  placement: {{constraints: [node.role == x{number}]}}");
        format!("---\n{}", service(&spec).replace("web", &format!("s{number}")))
    };
    let warned = lines(150, doubtful);
    let reading = read(warned.clone());
    assert_eq!((reading.documents.len(), reading.errors()), (150, 0));
    assert_eq!(reading.problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(reading.problems.last().unwrap().code, code::MORE_WARNINGS);
    let reading = read(format!("{warned}\n---\n{}", service("  task: {imgae: a}\n")));
    assert!(reading.problems.iter().any(|problem| problem.code == code::UNKNOWN_FIELD));
}

#[test]
fn many_problems_are_neither_slow_nor_told_without_end() {
    let reading = read("a: b\n".repeat(50_000));
    assert_eq!(reading.problems.len(), PROBLEMS_MAX + 1);
    assert_eq!(reading.problems.last().unwrap().code, code::TOO_LARGE);
    assert_refused(service(&lines(20_000, |i| format!("  field{i}: 1"))), code::UNKNOWN_FIELD);
    let env = lines(20_000, |i| format!("      \"A={i}\": a"));
    assert_refused(service(&format!("  task:\n    image: nginx\n    env:\n{env}")), code::MALFORMED);
    assert_refused("a: b: c\n---\n".repeat(500), code::SYNTAX);
}

#[test]
fn a_long_line_is_cut_around_the_problem() {
    let reading =
        read(service(&format!("  task: {{image: nginx, user: \"{}\", imgae: x}}\n", "x".repeat(5000))));
    let problem = &reading.problems[0];
    assert!(problem.source_line.chars().count() <= 160);
    let under: String = problem.source_line.chars().skip(problem.indent).take(problem.width).collect();
    assert_eq!(under, "imgae");
}
