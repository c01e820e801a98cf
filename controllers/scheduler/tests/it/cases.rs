//! Every case in `tests/cases`: its file name is what must hold.

use std::path::Path;

use skep_runtime::case;
use skep_scheduler::Scheduler;

#[test]
fn every_case_in_yaml_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        count += 1;
        if let Err(failure) = case::check::<Scheduler>(&std::fs::read_to_string(&path).unwrap()) {
            failures.push(format!("{}:\n{failure}", path.display()));
        }
    }
    assert!(count >= 10 && failures.is_empty(), "{}", failures.join("\n\n"));
}
