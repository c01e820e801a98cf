//! `skep schema`: JSON Schemas for editors.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use skep_api::schema;

use crate::failure::Failure;
use crate::output::text::nearest;
use crate::output::{self, say};

/// Print the JSON Schema of manifests (draft 07), for editors
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The schema of one kind only: service or node
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Schema {
    /// Prints the schema.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let all = schema::all();
        let name = self.kind.as_ref().map_or("skep".to_owned(), |kind| kind.to_lowercase());
        let Some(schema) = all.get(&format!("{name}.json")) else {
            let known: Vec<&str> = all.keys().filter_map(|file| file.strip_suffix(".json")).collect();
            let near = nearest(&name, known.iter().copied()).unwrap_or("service");
            return Err(Failure::Argument {
                argument: name,
                rule: format!("there is no such schema; did you mean {near}?"),
            });
        };
        let text = schema::render(schema);
        let Some(out) = &self.out else { return Ok(output::print(&text)?) };
        fs::write(out, text).map_err(Failure::file(out))?;
        say(&format!(
            "wrote {0}; a manifest that begins with this line is checked while it is written:\n# yaml-language-server: $schema={0}",
            out.display()
        ));
        Ok(())
    }
}
