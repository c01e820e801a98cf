//! What documents say must hold: YAML blocks and example files are valid manifests, and files that they name exist.

use std::path::{Path, PathBuf};

use skep_api::manifest::{self, Source};

use super::Fault;

/// Checks every document and every example among `files`.
pub(super) fn check(root: &Path, files: &[PathBuf]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in files {
        let is_document = name.extension().is_some_and(|ending| ending == "md");
        let is_example = name.starts_with("manifests/examples");
        if !is_document && !is_example {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root.join(name)) else { continue };
        let place = name.display().to_string();
        if is_example {
            faults.extend(manifest(&place, &text));
        } else {
            faults.extend(manifests(&place, &text));
            faults.extend(links(root, name, &text));
        }
    }
    faults
}

/// The YAML blocks that are manifests must be valid ones.
fn manifests(place: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        if !block.contains("apiVersion:") {
            continue;
        }
        faults.extend(manifest(place, block));
    }
    faults
}

fn manifest(place: &str, text: &str) -> Vec<Fault> {
    // For `skep simulate` a node's status says what the machine has.
    let problems = manifest::read_with_machines(&[Source::new(place, text)]).problems;
    problems
        .iter()
        .map(|problem| Fault::new(place, format!("an example is wrong: {}", problem.message)))
        .collect()
}

/// Links to files must lead somewhere.
fn links(root: &Path, name: &Path, text: &str) -> Vec<Fault> {
    let folder = root.join(name);
    let folder = folder.parent().unwrap_or(root);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://") && !folder.join(target).exists())
        .map(|target| {
            Fault::new(name.display().to_string(), format!("links to {target}, which is not there"))
        })
        .collect()
}
