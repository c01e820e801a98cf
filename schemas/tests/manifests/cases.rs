//! Manifests that are wrong, and what is said of them: `cases/<name>.yaml` (or a folder of files) and `cases/<name>.txt`.
//!
//! `SKEP_BLESS=1 cargo test -p skep-api --test manifests` writes the expected texts anew; read the difference before you commit it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use skep_api::manifest::{self, Reading, Source};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/cases")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn sources(case: &Path) -> Vec<Source> {
    let files = if case.is_dir() { sorted(case) } else { vec![case.to_owned()] };
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|file| Source::new(name(file), fs::read(file).unwrap())).collect()
}

/// What `skep validate` shows: every problem, then every object that is right.
fn shown(reading: &Reading) -> String {
    let mut text: String = reading.problems.iter().map(ToString::to_string).collect();
    for document in &reading.documents {
        writeln!(text, "{} at {}:{}", document.value, document.source, document.line).unwrap();
    }
    text
}

#[test]
fn every_bad_manifest_is_explained_as_expected() {
    let mut wrong = Vec::new();
    let paths = sorted(&cases());
    let inputs = paths.iter().filter(|path| path.extension().is_none_or(|extension| extension == "yaml"));
    for case in inputs.clone() {
        let expected = case.with_extension("txt");
        let found = shown(&manifest::read(&sources(case)));
        if std::env::var_os("SKEP_BLESS").is_some() {
            fs::write(&expected, &found).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(inputs.count() > 20, "the cases are there");
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}
