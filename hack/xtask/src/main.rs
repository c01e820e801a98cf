//! The project's own tools: `cargo xtask NAME`. Everything that checks, generates or measures lives here.

mod bench;
mod schemas;
mod sim;
mod tidy;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const HELP: &str = "\
cargo xtask NAME

  tidy      checks the rules of the house: sizes, dependency direction, one crate one file, generated files
  schemas   writes the JSON Schemas of every kind to schemas/json/
  sim       runs the simulator (see cargo xtask sim --help)
  bench     measures (see cargo xtask bench)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = args.split_first().map_or(("", [].as_slice()), |(name, rest)| (name.as_str(), rest));
    match name {
        "tidy" => tidy::run(),
        "schemas" => schemas::run(),
        "sim" => sim::run(rest),
        "bench" => bench::run(rest),
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

/// The root of the workspace.
fn root() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
