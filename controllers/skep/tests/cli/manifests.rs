//! Manifests, good and bad: `validate`, `apply` and `schema`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::{Dir, LIMIT, run, skep};

const GOOD: &str =
    "apiVersion: skep/v1\nkind: Service\nmetadata: {name: web}\nspec: {task: {image: nginx}}\n";

#[test]
fn a_good_manifest_is_valid_from_a_file_a_directory_and_standard_input() {
    let dir = Dir::new("good");
    let file = dir.write("a.yaml", GOOD);
    dir.write("b.yml", GOOD.replace("web", "db"));
    dir.write("notes.txt", "not a manifest");
    dir.write(".hidden.yaml", "garbage: [");
    let path = dir.path().display().to_string();
    for (args, objects) in
        [(["-f", file.as_str()], "1 object: valid\n"), (["-f", path.as_str()], "2 objects: valid\n")]
    {
        let run = skep(&["validate", args[0], args[1]]);
        assert_eq!((run.code, run.out.as_str()), (0, objects), "{}", run.err);
    }
    let run = run(&["validate", "-f", "-"], GOOD.as_bytes());
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn every_bad_manifest_is_refused_at_once_with_exit_code_2_and_nothing_on_standard_output() {
    let bomb = |width: usize| {
        let mut text = "a: &a [x]\n".to_owned();
        for level in 0..20 {
            let _ = writeln!(text, "b{level}: &b{level} [{}]", "*a, ".repeat(width));
        }
        text
    };
    let spec = |field: &str| GOOD.replace("nginx}", &format!("nginx}}, {field}"));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("unknown field", spec("replicaz: 3").into(), "replicas"),
        ("wrong type", spec("replicas: many").into(), "replicas"),
        ("wrong unit", spec("restart: {delay: 5}").into(), "5s"),
        ("duplicate key", spec("replicas: 1, replicas: 2").into(), "replicas"),
        ("tab", GOOD.replace("spec: {task: {image: nginx}}", "spec:\n\ttask: {image: nginx}").into(), "tab"),
        ("brackets", "[".repeat(200_000).into(), ""),
        ("aliases", bomb(100).into(), ""),
        ("binary", vec![0, 159, 146, 150, 255], "UTF-8"),
        ("another kind", GOOD.replace("Service", "Deployment").into(), "kind: Service"),
        ("nothing", b"- 1\n".to_vec(), ""),
    ];
    let dir = Dir::new("bad");
    for (name, content, word) in cases {
        let file = dir.write("bad.yaml", &content);
        for verb in ["validate", "apply"] {
            let run = skep(&[verb, "-f", &file]);
            assert_eq!((run.code, run.out.as_str()), (2, ""), "{name}: {}", run.err);
            assert!(run.err.contains("bad.yaml") && run.err.contains(word), "{name}: {}", run.err);
            assert!(run.err.contains("nothing was changed"), "{name}: {}", run.err);
            assert!(run.took < LIMIT, "{name} took {:?}", run.took);
        }
    }
}

#[test]
fn all_problems_of_all_documents_and_files_come_in_one_answer() {
    let dir = Dir::new("many");
    let one = GOOD.replace("nginx}", "nginx}, replicaz: 3");
    let two = GOOD.replace("web", "db").replace("nginx}", "nginx}, update: {order: start_last}");
    let first = dir.write("one.yaml", format!("{one}---\n{two}"));
    let second = dir.write("two.yaml", GOOD.replace("Service", "Servce"));
    let run = skep(&["validate", "-f", &first, "-f", &second]);
    assert_eq!(run.code, 2);
    for word in ["replicaz", "start_last", "Servce", "one.yaml:4:", "two.yaml:2:"] {
        assert!(run.err.contains(word), "{word} is missing: {}", run.err);
    }
    assert!(run.err.contains("3 errors, nothing was changed"), "{}", run.err);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let run = skep(&["validate", "-f", "/nowhere/x.yaml"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("/nowhere/x.yaml"), "{}", run.err);
    let dir = Dir::new("empty");
    let run = skep(&["validate", "-f", &dir.path().display().to_string()]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("no *.yaml"), "{}", run.err);
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let run = run(&["validate", "-f", "-"], GOOD.replace("web", "\"\\e[31mweb\"").as_bytes());
    assert_eq!(run.code, 2);
    assert!(!run.err.contains('\u{1b}'), "{:?}", run.err);
}

#[test]
fn checking_is_fast_enough_to_do_it_on_every_key() {
    let file = "manifests/examples/hello.yaml";
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let fastest = (0..5).map(|_| skep(&["validate", "-f", &format!("{root}{file}")]).took).min();
    assert!(fastest.is_some_and(|took| took < Duration::from_millis(100)), "{fastest:?}");
}

#[test]
fn the_schema_is_json_for_editors() {
    let run = skep(&["schema"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let schema: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(skep(&["schema", "service"]).code, 0);
    let run = skep(&["schema", "servce"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("service"), "{}", run.err);
}
