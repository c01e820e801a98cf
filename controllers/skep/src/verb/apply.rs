//! `skep apply`: makes the cluster hold what files describe, and waits until it runs.

use clap::Args;

use crate::cli::Context;
use crate::failure::Failure;
use crate::verb::edit::{MessageArgs, WaitArgs};
use crate::verb::files::Files;

/// Create or change what files describe, and wait until it runs
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Apply {
    /// Applies the files.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let documents = self.files.read()?;
        let store = context.cluster.connect(&context.env).await?;
        let report = self.message.writer(&store, context).apply(&documents).await?;
        self.wait.finish(&store, &report).await
    }
}
