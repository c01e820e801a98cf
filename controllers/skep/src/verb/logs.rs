//! `skep logs`: what the tasks of a service have written, on all nodes. It is there as long as their containers are.

use std::io::{stderr, stdout};
use std::str::FromStr;

use clap::Args;
use skep_agent::streams::LogRange;
use skep_api::time::{Span, Timestamp};

use crate::cli::Context;
use crate::failure::Failure;
use crate::logs::{Look, Missing, Printer, follow, read};
use crate::output::{say, warn};
use crate::tasks::{self, Asked, Found};
use crate::verb::target::StackArgs;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Show what the tasks of a service have written, on all nodes
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A service, one of its slots (web.2), or one task
    #[arg(value_name = "SERVICE|TASK")]
    name: String,
    #[command(flatten)]
    stack: StackArgs,
    /// Go on and show what is written, also by tasks that start later, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only what was written since then: so long ago (10m), or at this time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only the last lines of each task
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<u64>,
    /// When each line was written, by the clock of its node
    #[arg(short, long)]
    timestamps: bool,
    /// Leave out which task wrote a line
    #[arg(long)]
    no_prefix: bool,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

/// An instant, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(Span),
    At(Timestamp),
}

impl Logs {
    /// Shows them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        let store = context.cluster.connect(&context.env).await?;
        let asked = Asked::parse(&self.name, &self.stack.stack()?)?;
        let wanted = self.range(context.env.now());
        let mut printer = Printer::new(
            self.look(&asked),
            Box::new(stdout()) as Box<dyn std::io::Write>,
            Box::new(stderr()),
        );
        if self.follow {
            return follow(&store, &state, &asked, &wanted, &mut printer).await;
        }
        let cut = tasks::read(&store).await?;
        let found = tasks::find(&cut, &asked);
        if found.is_empty() && !asked.has_service(&cut) {
            return Err(asked.not_found(&cut));
        }
        let ran: Vec<Found> = found.into_iter().filter(Found::may_have_run).collect();
        if ran.is_empty() {
            say(&format!("no task of {asked} has run yet"));
        }
        let (count, missing) = read(&state, &ran, &wanted, &mut printer).await?;
        tell(count, &missing)
    }

    fn range(&self, now: Timestamp) -> LogRange {
        let since = self.since.map(|since| match since {
            Since::Ago(span) => now.as_millis().saturating_sub_unsigned(span.as_millis()),
            Since::At(at) => at.as_millis(),
        });
        LogRange {
            follow: self.follow,
            after_ns: since.map(|millis| millis.saturating_mul(NANOS_PER_MILLI).saturating_sub(1)),
            tail: self.tail,
        }
    }

    fn look(&self, asked: &Asked) -> Look {
        let has_colour = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
        Look {
            has_prefix: !self.no_prefix && !asked.is_task(),
            has_colour,
            has_time: self.timestamps,
            grep: self.grep.clone(),
        }
    }
}

/// Says what is missing. That is a failure only if nothing else was there.
fn tell(count: usize, missing: &Missing) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let lines = missing.lines().collect::<Vec<_>>().join("\n");
    if count == 0 {
        return Err(Failure::Unreadable(lines));
    }
    warn(&format!("incomplete: {lines}"));
    Ok(())
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::Ago(span));
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "write how long ago (10m), or a time (2026-01-31T12:00:00Z)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago_it_was() {
        assert_eq!("10m".parse(), Ok(Since::Ago(Span::from_millis(600_000))));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Since::At(Timestamp::from_millis(1000))));
        assert!("yesterday".parse::<Since>().is_err());
    }
}
