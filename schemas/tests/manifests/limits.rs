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
    assert_refused("---\na: b\n".repeat(600), code::TOO_LARGE);
    assert_refused("- a\n".repeat(200_000), code::TOO_LARGE);
    let env = lines(25_000, |i| format!("      VARIABLE_{i}: a value"));
    assert_refused(service(&format!("  task:\n    image: nginx\n    env:\n{env}")), code::TOO_LARGE);
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
