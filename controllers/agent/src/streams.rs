//! What people want of a container that runs, or has run: its log, a command in it, its files. Never needed to run tasks.

use std::pin::Pin;

use bytes::Bytes;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

use crate::engine::{Call, Engine, EngineError};
use crate::simulated::SimulatedEngine;

/// The lines of a log, in the order in which they were written.
pub type Lines = BoxStream<'static, Result<Line, EngineError>>;
/// A tar archive, in pieces.
pub type Archive = BoxStream<'static, Result<Bytes, EngineError>>;
/// A tar archive that comes from elsewhere, in pieces.
pub type Upload = BoxStream<'static, std::io::Result<Bytes>>;

/// An engine that lets people look into its containers. What it does not know to do it refuses.
pub trait Streams: Engine {
    /// What the container `id` has written.
    fn logs(&self, id: &str, wanted: &LogRange) -> Lines {
        let (_, _) = (id, wanted);
        stream::once(future::ready(Err(unsupported()))).boxed()
    }

    /// Begins a command in the container `id`. The container must run.
    fn exec<'a>(&'a self, id: &'a str, command: &'a Command) -> Call<'a, Execution> {
        let (_, _) = (id, command);
        Box::pin(future::ready(Err(unsupported())))
    }

    /// Sets the size of the terminal of the command `execution`.
    fn resize<'a>(&'a self, execution: &'a str, size: Size) -> Call<'a, ()> {
        let (_, _) = (execution, size);
        Box::pin(future::ready(Err(unsupported())))
    }

    /// The exit code of the command `execution`; `None` while it runs.
    fn exit_code<'a>(&'a self, execution: &'a str) -> Call<'a, Option<i64>> {
        let _ = execution;
        Box::pin(future::ready(Err(unsupported())))
    }

    /// What lies at `path` in the container `id`. Errors: [`EngineError::NotFound`].
    fn stat<'a>(&'a self, id: &'a str, path: &'a str) -> Call<'a, PathInfo> {
        let (_, _) = (id, path);
        Box::pin(future::ready(Err(unsupported())))
    }

    /// The file or directory at `path` in the container `id`, as an archive whose first entry is that.
    fn read_archive(&self, id: &str, path: &str) -> Archive {
        let (_, _) = (id, path);
        stream::once(future::ready(Err(unsupported()))).boxed()
    }

    /// Unpacks `archive` in the directory `path` of the container `id`.
    fn write_archive<'a>(&'a self, id: &'a str, path: &'a str, archive: Upload) -> Call<'a, ()> {
        let (_, _, _) = (id, path, archive);
        Box::pin(future::ready(Err(unsupported())))
    }

    /// The digest that the image's registry has for it now. Errors: [`EngineError::Refused`], in the registry's words.
    fn registry_digest<'a>(&'a self, image: &'a str) -> Call<'a, String> {
        let _ = image;
        Box::pin(future::ready(Err(unsupported())))
    }
}

impl Streams for SimulatedEngine {}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRange {
    /// Also what is written from now on, until the container ends.
    #[serde(default)]
    pub follow: bool,
    /// Only lines that were written after this instant: nanoseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ns: Option<i64>,
    /// Only so many of the last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
}

/// A line of a log, or a piece of a long one: only the last piece ends with a line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it was written to standard error. What is written to a terminal never is.
    pub is_error: bool,
    /// When it was written, by the engine's clock: nanoseconds of Unix time.
    pub time_ns: i64,
    /// What was written.
    pub bytes: Bytes,
}

/// A command to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Command {
    /// The program, and its arguments.
    pub args: Vec<String>,
    /// Whether it gets a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether it reads what people type.
    #[serde(default)]
    pub stdin: bool,
    /// More of its environment, as `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// As whom it runs, `user[:group]`; by default as the container does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it runs; by default where the container does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The size of its terminal at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A command that runs in a container.
pub struct Execution {
    /// The engine's id of it.
    pub id: String,
    /// What it writes; it ends with the command.
    pub output: BoxStream<'static, Result<Output, EngineError>>,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// A piece of what a command has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether it was written to standard error. What is written to a terminal never is.
    pub is_error: bool,
    /// What was written.
    pub bytes: Bytes,
}

/// What lies at a path in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInfo {
    /// Its own name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Where it leads, if it is a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<String>,
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution").field("id", &self.id).finish_non_exhaustive()
    }
}

fn unsupported() -> EngineError {
    EngineError::Refused("this engine does not know how to do that".to_owned())
}
