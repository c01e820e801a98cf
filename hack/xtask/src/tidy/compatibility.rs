//! `docs/swarm-compatibility.md` says only what a test proves: each row names its tests, and they exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Fault;

const DOCUMENT: &str = "docs/swarm-compatibility.md";
/// How a row may begin in its second column, and whether it must name a test then.
const VERDICTS: [(&str, bool); 3] = [("same", true), ("better: ", true), ("not yet", false)];

/// Checks every row of every table of the document.
pub(super) fn check(root: &Path, files: &[PathBuf]) -> Vec<Fault> {
    match std::fs::read_to_string(root.join(DOCUMENT)) {
        Ok(text) => judge(&text, &tests(root, files)),
        Err(error) => vec![Fault::new(DOCUMENT, error.to_string())],
    }
}

fn judge(text: &str, tests: &BTreeSet<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut rows: usize = 0;
    for (line, row) in text.lines().enumerate().filter(|(_, line)| is_row(line)) {
        rows = rows.saturating_add(1);
        let place = format!("{DOCUMENT}:{}", line + 1);
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, verdict, named] = cells.as_slice() else {
            faults.push(Fault::new(place, "a row has three columns: Swarm, Skep, tests"));
            continue;
        };
        let Some((_, needs_test)) = VERDICTS.iter().find(|(word, _)| verdict.starts_with(word)) else {
            faults.push(Fault::new(place, "the second column begins with `same`, `better: ` or `not yet`"));
            continue;
        };
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if *needs_test && named.is_empty() {
            faults.push(Fault::new(&place, "names no test"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        faults.extend(missing.map(|name| Fault::new(&place, format!("there is no test `{name}`"))));
    }
    if rows == 0 {
        faults.push(Fault::new(DOCUMENT, "has no rows"));
    }
    faults
}

/// A row of a table, but for its head and the line under it.
fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| Swarm |")
}

/// The names of all tests: functions under a test attribute, and cases in files of their own.
fn tests(root: &Path, files: &[PathBuf]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files {
        let is_case = file.parent().is_some_and(|folder| folder.ends_with("cases"));
        if is_case && let Some(name) = file.file_stem() {
            names.insert(name.to_string_lossy().into_owned());
        }
        if file.extension().is_some_and(|extension| extension == "rs")
            && let Ok(text) = std::fs::read_to_string(root.join(file))
        {
            names.extend(test_functions(&text));
        }
    }
    names
}

fn test_functions(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if let Some(attribute) = line.strip_prefix("#[") {
            is_test |= attribute.starts_with("test]") || attribute.starts_with("tokio::test");
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let tests = test_functions("#[test]\nfn a_task_never_returns() {}\nfn not_a_test() {}\n");
        judge(text, &tests).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn a_row_must_name_a_test_that_exists() {
        let head = "| Swarm | Skep | tests |\n|---|---|---|\n";
        assert!(faults(&format!("{head}| a | same | `a_task_never_returns` |")).is_empty());
        assert!(faults(&format!("{head}| a | not yet: networks | |")).is_empty());
        assert_eq!(faults(&format!("{head}| a | same | |")), ["names no test"]);
        assert_eq!(
            faults(&format!("{head}| a | better: so | `not_a_test` |")),
            ["there is no test `not_a_test`"]
        );
        assert_eq!(faults(&format!("{head}| a | perhaps | |")).len(), 1);
        assert_eq!(faults(head), ["has no rows"]);
    }
}
