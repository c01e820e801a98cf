//! The rules of the house that no compiler checks.

mod compatibility;
mod dependencies;
mod sources;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A rule that is broken: where, and how.
pub(crate) struct Fault {
    place: String,
    what: String,
}

impl Fault {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// Checks every rule, and prints all that are broken.
pub(crate) fn run() -> ExitCode {
    let root = crate::root();
    let mut faults = Vec::new();
    match tracked(&root) {
        Ok(files) => {
            let sources = sources::read(&root, &files);
            faults.extend(sources::check(&sources));
            faults.extend(words::check(&root, &files));
            faults.extend(compatibility::check(&root, &files));
        }
        Err(error) => faults.push(Fault::new("git ls-files", error.to_string())),
    }
    faults.extend(dependencies::check(&root));
    let stale = crate::schemas::stale().into_iter();
    faults.extend(
        stale.map(|name| Fault::new(format!("schemas/json/{name}"), "is stale: run cargo xtask schemas")),
    );
    for Fault { place, what } in &faults {
        println!("{place}: {what}");
    }
    if faults.is_empty() {
        println!("tidy");
        ExitCode::SUCCESS
    } else {
        println!("{} rules are broken", faults.len());
        ExitCode::FAILURE
    }
}

/// The files that git knows, relative to the root.
fn tracked(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let output = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|name| root.join(name).is_file())
        .collect())
}
