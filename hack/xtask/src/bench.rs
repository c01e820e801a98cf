//! Measures Skep and what it is compared with in the same run, on this machine. A figure in a document names its bench.

mod child;
mod cluster;
mod fleet;
mod measure;
mod observe;
mod place;
mod recover;
mod rolling;
mod scheduler;
mod start;

use std::process::ExitCode;

use measure::Report;

/// Measures, and reports what it measured.
type Bench = fn(&mut Report) -> Result<(), String>;

/// Every bench: its name, what it measures, and how.
const BENCHES: [(&str, &str, Bench); 5] = [
    ("start", "apply → running on real Docker, against docker run and docker service create", start::bench),
    (
        "recover",
        "container killed → replaced, also with kill -9 of the controller, against docker run",
        recover::bench,
    ),
    (
        "rolling",
        "a rolling update, against stopping and starting by hand and docker service update",
        rolling::bench,
    ),
    (
        "scheduler",
        "planning and committing at SwarmKit's shapes; from a change to the plan",
        scheduler::bench,
    ),
    (
        "place",
        "a service of 10,000 tasks on real etcd and 1,000 simulated nodes: until assigned, until running",
        place::bench,
    ),
];

/// Runs the named benches; without a name, lists them. `--json FILE` writes the figures for a machine, `--only TEXT` measures
/// only what has that in its name, `--quick` is one run of what is small: both are heeded by the benches that have many figures.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let mut names: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Some((&child::CHILD, part)) = names.split_first() {
        return child::main(part);
    }
    let json = take(&mut names, "--json");
    let only = take(&mut names, "--only");
    let before = names.len();
    names.retain(|name| *name != "--quick");
    let is_quick = names.len() < before;
    if names.is_empty() {
        println!("cargo xtask bench NAME… [--json FILE] [--only TEXT] [--quick]\n");
        for (name, what, _) in BENCHES {
            println!("  {name:10} {what}");
        }
        return ExitCode::SUCCESS;
    }
    let mut report = Report::begin(is_quick, only);
    for name in names {
        let Some((_, _, bench)) = BENCHES.iter().find(|(known, ..)| *known == name) else {
            eprintln!("no bench {name}: cargo xtask bench lists them");
            return ExitCode::from(2);
        };
        if let Err(error) = bench(&mut report) {
            eprintln!("bench {name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    match json.map(|file| std::fs::write(file, report.to_json())) {
        Some(Err(error)) => {
            eprintln!("--json: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Takes the option `name` and its value out of `names`.
fn take<'a>(names: &mut Vec<&'a str>, name: &str) -> Option<&'a str> {
    let at = names.iter().position(|other| *other == name)?;
    names.remove(at);
    (at < names.len()).then(|| names.remove(at))
}
