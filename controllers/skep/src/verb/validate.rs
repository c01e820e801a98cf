//! `skep validate`: checks files without a cluster.

use clap::Args;

use crate::failure::{Failure, count};
use crate::output;
use crate::verb::files::Files;

/// Check files without a cluster: everything that is wrong, with file, line and column
#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    files: Files,
}

impl Validate {
    /// Checks the files.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let documents = self.files.read()?;
        Ok(output::print(&format!("{}: valid\n", count(documents.len(), "object")))?)
    }
}
