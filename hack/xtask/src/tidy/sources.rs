//! Sizes of files, and which crate may be named where.

use std::path::{Path, PathBuf};

use super::Fault;

/// The longest source file, in lines.
const LINES_MAX: usize = 500;
/// The longest that half of the files are, in lines.
const LINES_MEDIAN: usize = 200;
/// Crates that have one place, so that replacing one is a change of one place.
const PLACES: [(&str, &str, &str); 6] = [
    ("etcd_client", "controllers/store/", "nothing above the store knows which client speaks to etcd"),
    ("tonic", "controllers/store/", "nothing above the store sees a gRPC code"),
    ("backon", "controllers/store/src/backoff.rs", "one file draws retry delays of the store"),
    ("serde_saphyr", "schemas/src/yaml.rs", "one file knows which crate reads YAML"),
    ("granit_parser", "schemas/src/yaml.rs", "one file knows which crate reads YAML"),
    ("bollard", "controllers/agent/src/docker", "only the agent's Docker engine speaks to Docker"),
];
/// What is never committed.
const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "#[ignore"];

/// A source file.
pub(super) struct Source {
    name: String,
    text: String,
}

/// Reads the Rust files among `files`.
pub(super) fn read(root: &Path, files: &[PathBuf]) -> Vec<Source> {
    let is_rust = |name: &&PathBuf| name.extension().is_some_and(|ending| ending == "rs");
    let read = |name: &PathBuf| {
        let text = std::fs::read_to_string(root.join(name)).ok()?;
        Some(Source { name: name.display().to_string(), text })
    };
    files.iter().filter(is_rust).filter_map(read).collect()
}

/// Checks sizes, places and unfinished work.
pub(super) fn check(sources: &[Source]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = sources.iter().filter_map(too_long).collect();
    faults.extend(median(sources));
    faults.extend(sources.iter().flat_map(out_of_place));
    faults.extend(sources.iter().flat_map(unfinished));
    faults
}

fn too_long(source: &Source) -> Option<Fault> {
    let lines = source.text.lines().count();
    (lines > LINES_MAX)
        .then(|| Fault::new(&source.name, format!("has {lines} lines; the limit is {LINES_MAX}")))
}

fn median(sources: &[Source]) -> Option<Fault> {
    let mut lines: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    lines.sort_unstable();
    let median = lines.get(lines.len() / 2).copied().unwrap_or_default();
    let what = format!("half of the files have more than {median} lines; the limit is {LINES_MEDIAN}");
    (median > LINES_MEDIAN).then(|| Fault::new("sources", what))
}

fn out_of_place(source: &Source) -> Vec<Fault> {
    let names = |word: &str| {
        source.text.lines().any(|line| {
            let code = line.trim_start();
            !code.starts_with("//") && code.contains(&format!("{word}::"))
        })
    };
    let is_ours = source.name.starts_with("hack/xtask/");
    PLACES
        .iter()
        .filter(|(word, place, _)| !is_ours && !source.name.starts_with(place) && names(word))
        .map(|(word, place, why)| {
            Fault::new(&source.name, format!("names {word}, which belongs in {place}: {why}"))
        })
        .collect()
}

fn unfinished(source: &Source) -> Vec<Fault> {
    if source.name.starts_with("hack/xtask/src/tidy/") {
        return Vec::new();
    }
    UNFINISHED
        .iter()
        .filter(|word| source.text.contains(**word))
        .map(|word| Fault::new(&source.name, format!("holds unfinished work: {word}")))
        .collect()
}
