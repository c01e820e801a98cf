//! A command in the container of a task: its input, its output, its terminal's size and its exit code, as frames.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::frame::{Frame, Frames};
use super::reply::{Body, Refusal};
use super::route::{ENGINE_LIMIT, EXEC_PROTOCOL, Permit, SILENCE, within};
use crate::engine::{Container, EngineError, Phase};
use crate::streams::{Command, Execution, Streams};

/// The longest request: the arguments and the environment of a command (execve(2) allows 2 MiB).
const COMMAND_MAX_BYTES: usize = 1 << 21;
/// How often Docker is asked for the exit code of a command whose output has ended, and for how long.
const EXIT_PAUSE: Duration = Duration::from_millis(20);
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// Begins the command, then says so; the rest goes on when the connection has become a stream.
pub(super) async fn exec(
    engine: Arc<dyn Streams>,
    container: &Container,
    mut request: Request<Incoming>,
    permit: Permit,
) -> Result<(Response<Body>, BoxFuture<'static, ()>), Refusal> {
    if request.headers().get(UPGRADE).is_none_or(|protocol| protocol != EXEC_PROTOCOL) {
        return Err(Refusal::Bad(format!("ask for the protocol {EXEC_PROTOCOL}")));
    }
    if container.phase != Phase::Running {
        return Err(Refusal::Conflict("its container does not run".to_owned()));
    }
    let connection = hyper::upgrade::on(&mut request);
    let command = read(request).await?;
    let execution = within(ENGINE_LIMIT, engine.exec(&container.id, &command)).await?;
    let rest = async move {
        let _held = permit;
        converse(&*engine, execution, connection).await;
    };
    Ok((switching(), Box::pin(rest)))
}

async fn read(request: Request<Incoming>) -> Result<Command, Refusal> {
    let body = Limited::new(request.into_body(), COMMAND_MAX_BYTES).collect().await;
    let body = body.map_err(|error| Refusal::Bad(error.to_string()))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| Refusal::Bad(error.to_string()))
}

fn switching() -> Response<Body> {
    let mut response = Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(EXEC_PROTOCOL));
    response
}

/// Carries input and output until the command ends or the client goes away.
///
/// Docker has no way to end a command: one whose client went away gets no more input, and may go on.
async fn converse(engine: &dyn Streams, execution: Execution, connection: OnUpgrade) {
    let Ok(connection) = connection.await else { return };
    let (from, to) = tokio::io::split(TokioIo::new(connection));
    let Execution { id, mut output, input } = execution;
    let mut to = FramedWrite::new(to, Frames);
    let outbound = async {
        loop {
            let frame = match timeout(SILENCE, output.next()).await {
                Err(_) => Frame::Alive,
                Ok(Some(Ok(piece))) => Frame::Output { is_error: piece.is_error, bytes: piece.bytes },
                Ok(Some(Err(error))) => Frame::Failed(error.to_string()),
                Ok(None) => break,
            };
            to.send(frame).await?;
        }
        let end = match exit_code(engine, &id).await {
            Ok(code) => Frame::Exit(code),
            Err(error) => Frame::Failed(error.to_string()),
        };
        to.send(end).await?;
        to.close().await
    };
    tokio::select! {
        biased;
        _ = outbound => {}
        () = inbound(engine, &id, input, from) => {}
    }
}

/// Takes what the client sends, until it goes away. A client that has no more input stays.
async fn inbound(
    engine: &dyn Streams,
    id: &str,
    input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    from: impl AsyncRead + Unpin,
) {
    let mut input = Some(input);
    let mut frames = FramedRead::new(from, Frames);
    while let Some(Ok(frame)) = frames.next().await {
        match frame {
            Frame::Input(bytes) => {
                if let Some(open) = input.as_mut() {
                    // The command may have closed its input; its output goes on.
                    if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
                        input = None;
                    }
                }
            }
            Frame::InputEnd => {
                if let Some(mut open) = input.take() {
                    open.shutdown().await.ok();
                }
            }
            Frame::Resize(size) => {
                // A command that has just ended has no terminal any more.
                within(ENGINE_LIMIT, engine.resize(id, size)).await.ok();
            }
            Frame::Alive => {}
            Frame::Line { .. }
            | Frame::Output { .. }
            | Frame::Exit(_)
            | Frame::End { .. }
            | Frame::Failed(_) => return,
        }
    }
}

/// The exit code of a command whose output has ended; Docker knows it a moment later.
async fn exit_code(engine: &dyn Streams, id: &str) -> Result<i64, EngineError> {
    let ask = async {
        loop {
            if let Some(code) = engine.exit_code(id).await? {
                return Ok(code);
            }
            tokio::time::sleep(EXIT_PAUSE).await;
        }
    };
    within(EXIT_LIMIT, Box::pin(ask)).await
}
