//! Writes the JSON Schemas that editors use; `tidy` checks that they are fresh.

use std::process::ExitCode;

/// Writes every schema to `schemas/json/`.
pub(crate) fn run() -> ExitCode {
    let folder = crate::root().join("schemas/json");
    for (name, schema) in skep_api::schema::all() {
        if let Err(error) = std::fs::write(folder.join(&name), skep_api::schema::render(&schema)) {
            eprintln!("schemas/json/{name}: {error}");
            return ExitCode::FAILURE;
        }
        println!("schemas/json/{name}");
    }
    ExitCode::SUCCESS
}

/// The files in `schemas/json/` that are not what the types say.
pub(crate) fn stale() -> Vec<String> {
    let folder = crate::root().join("schemas/json");
    let is_stale = |name: &String, schema: &serde_json::Value| {
        std::fs::read_to_string(folder.join(name)).ok() != Some(skep_api::schema::render(schema))
    };
    skep_api::schema::all()
        .into_iter()
        .filter(|(name, schema)| is_stale(name, schema))
        .map(|(name, _)| name)
        .collect()
}
