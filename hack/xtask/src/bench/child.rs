//! Parts of a bench that run in a process of their own: release code, and memory that is theirs alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::measure::{Samples, run as run_command};
use super::{place, scheduler};

/// What this program is called with as a child.
pub(super) const CHILD: &str = "child";

/// The figures of one child, by name.
pub(super) type Figures = BTreeMap<String, f64>;

/// The figures of several runs of the same.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<String, Vec<f64>>);

/// Builds this program in the release profile.
pub(super) fn build() -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--quiet", "--package", "xtask"]).current_dir(crate::root());
    run_command(&mut command).map(drop)
}

/// Runs a part `runs` times, each time in a process of its own.
pub(super) fn run(args: &[&str], runs: usize) -> Result<Runs, String> {
    let program: PathBuf = crate::root().join("target/release/xtask");
    let mut all = Runs::default();
    for _ in 0..runs {
        let mut command = Command::new(&program);
        let output = run_command(command.args(["bench", CHILD]).args(args))?;
        for line in output.lines() {
            let Some((name, value)) = line.split_once(' ') else { continue };
            let value = value.parse().map_err(|_| format!("not a figure: {line}"))?;
            all.0.entry(name.to_owned()).or_default().push(value);
        }
    }
    Ok(all)
}

/// Runs one part in this process and prints its figures.
pub(super) fn main(args: &[&str]) -> ExitCode {
    let figures = match args.split_first() {
        Some((&"scheduler", rest)) => scheduler::child(rest),
        Some((&"place", rest)) => place::child(rest),
        _ => Err(format!("not a part of a bench: {args:?}")),
    };
    let peak = |mut figures: Figures| {
        figures.insert("peak".to_owned(), memory("VmHWM")?);
        Ok(figures)
    };
    match figures.and_then(peak) {
        Ok(figures) => {
            for (name, value) in figures {
                println!("{name} {value}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A size out of `/proc/self/status`, in MiB.
pub(super) fn memory(field: &str) -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.map(|kibibytes| kibibytes / 1024.0).ok_or_else(|| format!("no {field}"))
}

impl Runs {
    /// The names of the figures.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The values of one figure.
    pub(super) fn of(&self, name: &str) -> Samples {
        Samples::new(self.0.get(name).cloned().unwrap_or_default())
    }
}
