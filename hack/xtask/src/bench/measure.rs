//! Figures: several runs, the median to quote, the spread beside it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The figures of one run, printed as they come.
pub(crate) struct Report {
    figures: Vec<Value>,
}

/// The times of several runs of the same thing, in seconds, sorted.
pub(crate) struct Times(Vec<f64>);

impl Report {
    /// Begins with what the machine is, since figures mean nothing without it.
    pub(crate) fn begin() -> Self {
        let words = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        println!("machine    {} cores, {}", words("nproc", &[]), words("uname", &["-sr"]));
        println!("docker     {}", words("docker", &["version", "--format", "{{.Server.Version}}"]));
        println!("etcd       {}", words("etcd", &["--version"]).lines().next().unwrap_or_default());
        println!("load       {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
        Self { figures: Vec::new() }
    }

    /// Prints the median of `times`, and their spread.
    pub(crate) fn times(&mut self, name: &str, times: &Times) {
        let (low, middle, high) = (times.at(0), times.median(), times.at(times.0.len().saturating_sub(1)));
        println!("{name} {middle:.3} s   ({low:.3} to {high:.3}, {} runs)", times.0.len());
        self.figures.push(json!({"name": name, "value": middle, "unit": "s", "low": low, "high": high}));
    }

    /// Prints how `ours` compares with `theirs`: below 1 is faster.
    pub(crate) fn ratio(&mut self, name: &str, ours: &Times, theirs: &Times) {
        let ratio = ours.median() / theirs.median();
        println!("{name} {ratio:.2} x");
        self.figures.push(json!({"name": name, "value": ratio, "unit": "x"}));
    }

    /// Notes why something was not measured.
    pub(crate) fn skipped(&mut self, name: &str, why: &str) {
        self.figures.push(json!({"name": name, "skipped": why}));
        println!("{name} not measured: {why}");
    }

    pub(crate) fn to_json(&self) -> String {
        format!("{:#}\n", Value::from(self.figures.clone()))
    }
}

impl Times {
    /// Times `runs` runs of `work`, with `after` untimed behind each; the first run warms up and does not count.
    pub(crate) fn of(
        runs: usize,
        mut work: impl FnMut(usize) -> Result<(), String>,
        mut after: impl FnMut(usize) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut times = Vec::with_capacity(runs);
        for run in 0..=runs {
            let took = time(|| work(run))?;
            after(run)?;
            if run > 0 {
                times.push(took.as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(Self(times))
    }

    /// One run that takes so many milliseconds by its nature.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a bench")]
    pub(crate) fn known(millis: u64) -> Self {
        Self(vec![millis as f64 / 1000.0])
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(self.0.len() / 2)
    }

    fn at(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

#[allow(clippy::disallowed_methods)] // Measuring is reading the clock.
fn time(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed())
}

/// Runs a command that must succeed; returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
