//! `cargo xtask sim`: many seeds of the simulator, or one.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::sim::{Campaign, Options, Outcome, Plant, Totals};
use tracing_subscriber::EnvFilter;

const HELP: &str = "\
cargo xtask sim [--seeds N] [--seed S] [--plant guard|fence|claim|labels] [--lines N] [--log FILTER]

  --seeds N   runs so many seeds (default: 1000; 1 if --seed is given)
  --seed S    begins with this seed (default: 1)
  --plant B   plants a bug: controllers without guards, controllers without a fence, agents without a claim,
              an updater that forgets edits of labels
  --lines N   shows so many of the last lines of the history of a seed that breaks an invariant (default: 40); of a single
              seed in any case
  --log F     writes what the processes log to stderr, as a filter of tracing selects it: skep_runtime=trace shows every plan

The first seeds run twice, to see that a seed always runs alike. A violation prints the seed, the invariant and the end of
the history.
";
/// How many seeds run when nothing is said.
const SEEDS: u64 = 1000;
/// One seed in so many runs twice.
const TWICE_ONE_IN: u64 = 50;
/// How much of a history is shown when nothing is said.
const LINES: usize = 40;
/// How many violations are shown with their history.
const SHOWN: usize = 3;

/// Runs the command; the exit code is 0 if every seed holds, and 2 for arguments that it does not know.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let campaign = match parse(args) {
        Ok(Some(campaign)) => campaign,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprint!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let started = now();
    match campaign.run(|outcome| tell(&campaign, outcome)) {
        Ok(totals) => conclude(&campaign, &totals, started.elapsed()),
        Err(error) => {
            eprintln!("the simulator could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The campaign that the arguments ask for; none if they ask for help.
fn parse(args: &[String]) -> Result<Option<Campaign>, String> {
    let (mut first, mut seeds, mut plant, mut lines) = (None, None, None, None);
    let mut args = args.iter();
    while let Some(name) = args.next() {
        if name == "--help" {
            return Ok(None);
        }
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--seeds" => seeds = Some(number()?),
            "--seed" => first = Some(number()?),
            "--lines" => lines = Some(number()?),
            "--log" => log(value)?,
            "--plant" => plant = Some(value.parse::<Plant>()?),
            _ => return Err(format!("there is no option {name}")),
        }
    }
    let seeds = seeds.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let twice = seeds.div_ceil(TWICE_ONE_IN);
    let lines = lines.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let options = Options { plant, lines };
    Ok(Some(Campaign { first: first.unwrap_or(1), seeds, twice, options }))
}

/// Writes logs to stderr. They bear no time: that of the machine says nothing about that of the simulation.
fn log(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let writer = std::io::stderr;
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).with_writer(writer);
    logs.try_init().map_err(|error| error.to_string())
}

/// One line for a seed that broke an invariant, as soon as it is known.
fn tell(campaign: &Campaign, outcome: &Outcome) {
    if campaign.seeds == 1 && outcome.violation.is_none() {
        outcome.last_lines.iter().for_each(|line| println!("{line}"));
    }
    if let Some(violation) = &outcome.violation {
        let plant = campaign.options.plant.map(|plant| format!(" --plant {plant}")).unwrap_or_default();
        println!(
            "seed {}: {violation}\n  again: cargo xtask sim --seed {}{plant}",
            outcome.seed, outcome.seed
        );
    }
}

fn conclude(campaign: &Campaign, totals: &Totals, took: Duration) -> ExitCode {
    for outcome in totals.failures.iter().take(SHOWN) {
        println!("\nseed {}: the end of the history", outcome.seed);
        outcome.last_lines.iter().for_each(|line| println!("{line}"));
        if let Some(violation) = &outcome.violation {
            println!("seed {}: {violation}", outcome.seed);
        }
    }
    for seed in &totals.unlike {
        println!("seed {seed} did not run alike twice");
    }
    let seconds = took.as_secs_f64().max(f64::EPSILON);
    #[allow(clippy::cast_precision_loss)] // It is a rate for people.
    let rate = totals.seeds as f64 / seconds;
    println!("\n{} seeds from {} on in {seconds:.1} s ({rate:.1}/s)", totals.seeds, campaign.first);
    println!("{} commits in {} simulated hours", totals.commits, totals.elapsed.as_secs() / 3600);
    println!("faults: {}", totals.faults);
    println!(
        "{} of {} seeds ran alike twice",
        campaign.twice.min(totals.seeds) - count(&totals.unlike),
        campaign.twice
    );
    let failed = count(&totals.failures) + count(&totals.unlike);
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored",
        totals.seeds.saturating_sub(failed)
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods)] // How long it takes is measured by the machine's clock.
fn now() -> Instant {
    Instant::now()
}
