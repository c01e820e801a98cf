//! Figures: several runs, the median to quote, the spread beside it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The figures of one run, printed as they come.
pub(crate) struct Report {
    figures: Vec<Value>,
    /// One run of the smaller things: to see that a bench works, not to quote.
    pub(crate) is_quick: bool,
    /// Only figures whose name contains this.
    only: Option<String>,
}

/// What several runs of the same gave, sorted.
#[derive(Debug)]
pub(crate) struct Samples(Vec<f64>);

/// The times of several runs of the same thing, in seconds, sorted.
pub(crate) struct Times(Vec<f64>);

impl Report {
    /// Begins with what the machine is, since figures mean nothing without it.
    pub(crate) fn begin(is_quick: bool, only: Option<&str>) -> Self {
        let words = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        println!("machine    {} cores, {}", words("nproc", &[]), words("uname", &["-sr"]));
        println!("docker     {}", words("docker", &["version", "--format", "{{.Server.Version}}"]));
        println!("etcd       {}", words("etcd", &["--version"]).lines().next().unwrap_or_default());
        println!("load       {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
        Self { figures: Vec::new(), is_quick, only: only.map(str::to_owned) }
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

    /// Whether a figure whose name begins so was asked for; those whose name is longer are under it.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// Prints the median of `samples`, and their spread.
    pub(crate) fn samples(&mut self, name: &str, unit: &str, samples: &Samples) {
        let (low, middle, high) = (samples.low(), samples.median(), samples.high());
        println!(
            "{name} {} {unit}   ({} to {}, {} runs)",
            plain(middle),
            plain(low),
            plain(high),
            samples.0.len()
        );
        self.figures.push(json!({"name": name, "value": middle, "unit": unit, "low": low, "high": high}));
    }

    /// Prints how a figure compares with what was not measured in this run: above 1 is faster. `note` says with what.
    pub(crate) fn against(&mut self, name: &str, ratio: f64, note: &str) {
        println!("{name} {ratio:.2} x   ({note})");
        self.figures.push(json!({"name": name, "value": ratio, "unit": "x", "note": note}));
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

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(self.0.len() / 2)
    }

    fn low(&self) -> f64 {
        self.at(0)
    }

    fn high(&self) -> f64 {
        self.at(self.0.len().saturating_sub(1))
    }

    fn at(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// Large numbers without a fraction, small ones with a few digits.
fn plain(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// How many things a second, if `count` of them took so long.
#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The instant at which it is called.
#[allow(clippy::disallowed_methods)] // Measuring is reading the clock.
pub(crate) fn clock() -> Instant {
    Instant::now()
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

fn time(work: impl FnOnce() -> Result<(), String>) -> Result<Duration, String> {
    let begin = clock();
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
