//! What a container has written, for people on the same machine.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::{Docker, error};
use crate::engine::EngineError;

/// A piece of what a container has written; it need not end with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Whether it was written to standard error.
    pub is_error: bool,
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Docker {
    /// What the container `id` has written: its last `tail` lines, or all; with `follow`, also what it writes from now
    /// on, until it ends.
    pub fn logs(
        &self,
        id: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> BoxStream<'static, Result<LogPiece, EngineError>> {
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            tail: tail.map_or("all".to_owned(), |lines| lines.to_string()),
            ..Default::default()
        };
        let (docker, id) = (self.clone(), id.to_owned());
        let pieces = async move {
            let client = docker.client().await?;
            Ok(client.logs(&id, Some(options)).map_ok(piece).map_err(error::classify))
        };
        futures::stream::once(pieces).try_flatten().boxed()
    }
}

impl Docker {
    /// The last `lines` lines that the container `id` has written.
    pub(super) async fn last_lines(&self, id: &str, lines: usize) -> Result<Vec<String>, EngineError> {
        let pieces = self.logs(id, Some(lines), false);
        let written: Vec<u8> = pieces.map_ok(|piece| piece.bytes).try_concat().await?;
        let written: Vec<String> = String::from_utf8_lossy(&written).lines().map(str::to_owned).collect();
        // A logging driver counts what was written at once as one line.
        let first = written.len().saturating_sub(lines);
        Ok(written.into_iter().skip(first).collect())
    }
}

fn piece(output: LogOutput) -> LogPiece {
    let is_error = matches!(output, LogOutput::StdErr { .. });
    LogPiece { is_error, bytes: output.into_bytes().to_vec() }
}
