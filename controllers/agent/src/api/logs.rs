//! The log of one task, as frames: they end with [`Frame::End`], or with the reason why there are no more.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper::Response;
use tokio::time::timeout;

use super::frame::Frame;
use super::reply::{self, Body, BodyError};
use super::route::{ENGINE_LIMIT, Permit, SILENCE, within};
use crate::engine::{Container, EngineError, Phase};
use crate::streams::{Lines, LogRange, Streams};

/// A log on its way.
struct Log {
    engine: Arc<dyn Streams>,
    container: String,
    /// `None` once it is over.
    lines: Option<Lines>,
    _permit: Permit,
}

pub(super) fn logs(
    engine: Arc<dyn Streams>,
    container: Container,
    wanted: &LogRange,
    permit: Permit,
) -> Response<Body> {
    let lines = Some(engine.logs(&container.id, wanted));
    let log = Log { engine, container: container.id, lines, _permit: permit };
    let frames = stream::unfold(log, |mut log| async move {
        let frame = log.next().await?;
        Some((Ok::<Bytes, BodyError>(frame.to_bytes()), log))
    });
    reply::stream("application/octet-stream", frames)
}

impl Log {
    async fn next(&mut self) -> Option<Frame> {
        let lines = self.lines.as_mut()?;
        let frame = match timeout(SILENCE, lines.next()).await {
            Err(_) => return Some(Frame::Alive),
            Ok(Some(Ok(line))) => {
                return Some(Frame::Line {
                    is_error: line.is_error,
                    time_ns: line.time_ns,
                    bytes: line.bytes,
                });
            }
            Ok(Some(Err(EngineError::NotFound(_)))) => Frame::End { is_final: true },
            Ok(Some(Err(error))) => Frame::Failed(error.to_string()),
            Ok(None) => Frame::End { is_final: has_ended(&*self.engine, &self.container).await },
        };
        self.lines = None;
        Some(frame)
    }
}

/// Whether a container writes no more. Docker ends the log of one that was never started at once, too.
async fn has_ended(engine: &dyn Streams, container: &str) -> bool {
    match within(ENGINE_LIMIT, engine.inspect(container)).await {
        Ok(found) => matches!(found.phase, Phase::Exited { .. }),
        Err(error) => matches!(error, EngineError::NotFound(_)),
    }
}
