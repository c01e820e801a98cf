//! The command line: `skep VERB …`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use skep_runtime::clock::Env;

use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::output::{self, message};
use crate::verb;

/// What is shown when nothing is asked for.
const FIRST_WORDS: &str = "\
Skep keeps containers running on a fleet of machines: you write what you want, it makes it so.

  skep up --detach                 start a cluster on this machine
  skep apply -f hello.yaml         create or change what a file describes
  skep get services,tasks          see what runs, and why something does not
  skep logs web -f                 follow what it prints

Verbs: up, down, apply, create, delete, get, describe, set, scale, rollout, wait,
       events, logs, exec, cp, status, label, drain, pause, activate, rebalance, why, why-not,
       whatif, simulate, validate, schema, completion, controller, agent, version. Of one:
       skep VERB --help
";

/// Keeps containers running on a fleet of machines.
#[derive(Debug, Parser)]
#[command(name = "skep", version, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(verb::up::Up),
    Down(verb::down::Down),
    Apply(verb::apply::Apply),
    Create(verb::create::Create),
    Delete(verb::delete::Delete),
    Describe(verb::describe::Describe),
    Get(verb::get::Get),
    Set(verb::set::Set),
    Scale(verb::scale::Scale),
    Rollout(verb::rollout::RolloutVerb),
    Label(verb::label::Label),
    Drain(verb::node::Drain),
    Pause(verb::node::Pause),
    Activate(verb::node::Activate),
    Why(verb::why::Why),
    WhyNot(verb::why::WhyNot),
    #[command(name = "whatif")]
    WhatIf(verb::whatif::WhatIf),
    Simulate(verb::simulate::Simulate),
    Rebalance(verb::rebalance::Rebalance),
    Wait(verb::wait::Wait),
    Events(verb::events::Events),
    Logs(verb::logs::Logs),
    Exec(verb::exec::Exec),
    Cp(verb::cp::Cp),
    Status(verb::status::Status),
    Validate(verb::validate::Validate),
    Schema(verb::schema::Schema),
    Completion(verb::completion::Completion),
    Controller(verb::controller::Controller),
    Agent(verb::agent::Agent),
    /// Shows the version
    Version,
}

/// What every verb works with.
pub(crate) struct Context {
    /// Which cluster is meant.
    pub(crate) cluster: ClusterArgs,
    /// The clock and the randomness.
    pub(crate) env: Env,
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context { cluster: cli.cluster, env: Env::system() };
    match run(cli.verb, &context) {
        Ok(code) => code,
        Err(failure) => {
            message::fail(&failure);
            failure.exit_code()
        }
    }
}

/// Verbs that need no cluster run without a runtime.
fn run(verb: Option<Verb>, context: &Context) -> Result<ExitCode, Failure> {
    match verb {
        None => output::print(FIRST_WORDS)?,
        Some(Verb::Version) => output::print(concat!("skep ", env!("CARGO_PKG_VERSION"), "\n"))?,
        Some(Verb::Validate(verb)) => verb.run()?,
        Some(Verb::Schema(verb)) => verb.run()?,
        Some(Verb::Simulate(verb)) => verb.run(context)?,
        Some(Verb::Completion(verb)) => verb.run(Cli::command())?,
        Some(verb) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Box::pin(run_async(verb, context)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_async(verb: Verb, context: &Context) -> Result<(), Failure> {
    match verb {
        Verb::Up(verb) => Box::pin(verb.run(context)).await,
        Verb::Down(verb) => verb.run(context).await,
        Verb::Apply(verb) => verb.run(context).await,
        Verb::Create(verb) => Box::pin(verb.run(context)).await,
        Verb::Delete(verb) => verb.run(context).await,
        Verb::Describe(verb) => verb.run(context).await,
        Verb::Get(verb) => verb.run(context).await,
        Verb::Set(verb) => Box::pin(verb.run(context)).await,
        Verb::Scale(verb) => Box::pin(verb.run(context)).await,
        Verb::Rollout(verb) => Box::pin(verb.run(context)).await,
        Verb::Label(verb) => verb.run(context).await,
        Verb::Drain(verb) => Box::pin(verb.run(context)).await,
        Verb::Pause(verb) => verb.run(context).await,
        Verb::Activate(verb) => verb.run(context).await,
        Verb::Why(verb) => verb.run(context).await,
        Verb::WhyNot(verb) => verb.run(context).await,
        Verb::WhatIf(verb) => verb.run(context).await,
        Verb::Rebalance(verb) => Box::pin(verb.run(context)).await,
        Verb::Wait(verb) => Box::pin(verb.run(context)).await,
        Verb::Events(verb) => Box::pin(verb.run(context)).await,
        Verb::Logs(verb) => Box::pin(verb.run(context)).await,
        Verb::Exec(verb) => Box::pin(verb.run(context)).await,
        Verb::Cp(verb) => Box::pin(verb.run(context)).await,
        Verb::Status(verb) => verb.run(context).await,
        Verb::Controller(verb) => verb.run(context).await,
        Verb::Agent(verb) => verb.run(context).await,
        Verb::Version | Verb::Validate(_) | Verb::Schema(_) | Verb::Simulate(_) | Verb::Completion(_) => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
