//! Skep's one binary: every verb, every controller, the agent, and the supervisor that runs them all on one machine.

mod apply;
mod cli;
#[allow(dead_code)]
mod client;
mod cluster;
mod cut;
mod failure;
mod host;
mod output;
mod progress;
#[cfg(test)]
mod testing;
mod up;
mod verb;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
