//! `skep apply`: makes the cluster hold what files describe, and waits until it runs.

use clap::Args;
use skep_api::manifest::Manifest;
use skep_api::time::Span;

use crate::apply::commit::{Report, Writer};
use crate::apply::show;
use crate::cli::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::{self, Goal};
use crate::verb::files::Files;

/// Create or change what files describe, and wait until it runs
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Return as soon as it is written
    #[arg(long)]
    detach: bool,
    /// How long to wait until it runs
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
}

impl Apply {
    /// Applies the files.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let documents = self.files.read()?;
        let store = context.cluster.connect(&context.env).await?;
        let report = Writer::new(&store, &context.env).apply(&documents).await?;
        output::print(&show::report(&report))?;
        if self.detach {
            return Ok(());
        }
        progress::ready(&store, goals(&report), self.timeout).await
    }
}

/// The services of a report, as versions to wait for.
fn goals(report: &Report) -> Vec<Goal> {
    let goals = report.objects.iter().filter_map(|object| match &object.planned.object {
        Manifest::Service(service) => Some(Goal::new(service.reference(), object.version)),
        Manifest::Volume(_) | Manifest::Node { .. } => None,
    });
    goals.collect()
}
