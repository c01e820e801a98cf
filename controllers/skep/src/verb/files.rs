//! Manifests as they are named on the command line: files, directories, standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use skep_api::manifest::{self, Located, Manifest, Reading, SOURCE_MAX_BYTES, Source};

use crate::failure::Failure;
use crate::output::message;

/// What files of a directory are read.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Files with manifests.
#[derive(Debug, Clone, Args)]
pub(crate) struct Files {
    /// A file, a directory (its *.yaml, *.yml and *.json), or - for standard input; may be given several times
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
}

/// Files with manifests, where something else may be named instead.
#[derive(Debug, Clone, Args)]
pub(crate) struct OptionalFiles {
    /// What a file, a directory (its *.yaml, *.yml and *.json), or - for standard input describes
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
}

impl Files {
    /// Reads and checks all of them; everything that is wrong is printed, not only the first.
    ///
    /// # Errors
    /// [`Failure::Manifests`] if anything is an error, [`Failure::File`].
    pub(crate) fn read(&self) -> Result<Vec<Located<Manifest>>, Failure> {
        read(&self.files)
    }

    /// Only what they contain.
    ///
    /// # Errors
    /// [`Failure::File`], and [`Failure::Argument`] for a directory without manifests.
    pub(crate) fn sources(&self) -> Result<Vec<Source>, Failure> {
        sources(&self.files)
    }
}

impl OptionalFiles {
    /// As [`Files::read`].
    pub(crate) fn read(&self) -> Result<Vec<Located<Manifest>>, Failure> {
        read(&self.files)
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Located<Manifest>>, Failure> {
    let reading: Reading = manifest::read(&sources(paths)?);
    for problem in &reading.problems {
        message::problem(problem);
    }
    match reading.errors() {
        0 => Ok(reading.documents),
        errors => Err(Failure::Manifests { errors }),
    }
}

fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let content = limited(io::stdin()).map_err(Failure::file("standard input"))?;
            sources.push(Source::new("<stdin>", content));
            continue;
        }
        for file in expand(path)? {
            let content = fs::File::open(&file).and_then(limited).map_err(Failure::file(&file))?;
            sources.push(Source::new(file.display().to_string(), content));
        }
    }
    Ok(sources)
}

/// A file, or the files of a directory in the order of their names.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(Failure::file(path))?;
    let mut files: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|file| is_manifest(file)).collect();
    files.sort();
    if files.is_empty() {
        let argument = path.display().to_string();
        return Err(Failure::Argument {
            argument,
            rule: "the directory has no *.yaml, *.yml or *.json".to_owned(),
        });
    }
    Ok(files)
}

fn is_manifest(file: &Path) -> bool {
    let is_hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let extension = file.extension().and_then(|extension| extension.to_str());
    !is_hidden && file.is_file() && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// No more than shows that the file is too large: the reader of manifests then says so.
fn limited(file: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(SOURCE_MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}
