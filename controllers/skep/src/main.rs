//! Skep's one binary: every verb, every controller, the agent, and the supervisor that runs them all on one machine.

mod apply;
mod archive;
mod cli;
mod client;
mod cluster;
mod cut;
mod failure;
mod host;
mod logs;
mod output;
mod progress;
mod sandbox;
mod tasks;
mod terminal;
#[cfg(test)]
mod testing;
mod up;
mod verb;
mod view;

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
