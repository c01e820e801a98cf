//! Measures Skep and what it is compared with in the same run, on this machine. A figure in a document names its bench.

mod cluster;
mod fleet;
mod measure;
mod observe;
mod recover;
mod rolling;
mod start;

use std::process::ExitCode;

use measure::Report;

/// Measures, and reports what it measured.
type Bench = fn(&mut Report) -> Result<(), String>;

/// Every bench: its name, what it measures, and how.
const BENCHES: [(&str, &str, Bench); 3] = [
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
];

/// Runs the named benches; without a name, lists them. `--json FILE` writes the figures for a machine.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let mut names: Vec<&str> = args.iter().map(String::as_str).collect();
    let json = names.iter().position(|name| *name == "--json").and_then(|at| {
        names.remove(at);
        (at < names.len()).then(|| names.remove(at))
    });
    if names.is_empty() {
        println!("cargo xtask bench NAME… [--json FILE]\n");
        for (name, what, _) in BENCHES {
            println!("  {name:10} {what}");
        }
        return ExitCode::SUCCESS;
    }
    let mut report = Report::begin();
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
