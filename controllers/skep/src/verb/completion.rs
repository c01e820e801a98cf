//! `skep completion`: scripts by which shells complete verbs and options.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

/// Print a script by which a shell completes verbs and options
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skep completion bash > /etc/bash_completion.d/skep
  skep completion zsh > \"${fpath[1]}/_skep\"
  skep completion fish > ~/.config/fish/completions/skep.fish")]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completion {
    /// Prints it.
    pub(crate) fn run(&self, mut command: Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "skep", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(())
    }
}
