//! Every manifest that people are given is right.

use std::fs;
use std::path::{Path, PathBuf};

use skep_api::manifest::{self, Source};

fn yaml_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    entries
        .flat_map(|path| if path.is_dir() { yaml_below(&path) } else { vec![path] })
        .filter(is_yaml)
        .collect()
}

#[test]
fn every_example_is_read_without_a_problem() {
    let files = yaml_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests"));
    assert!(!files.is_empty(), "there are examples");
    for file in files {
        let source = Source::new(file.display().to_string(), fs::read(&file).unwrap());
        // For `skep simulate` a node's status says what the machine has.
        let is_simulated = file.parent().is_some_and(|folder| folder.ends_with("simulate"));
        let read = if is_simulated { manifest::read_with_machines } else { manifest::read };
        let reading = read(&[source]);
        let problems: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{}", problems.concat());
        assert!(!reading.documents.is_empty(), "{} holds objects", file.display());
    }
}
