//! One request on one connection, which ends with its answer.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use skep_agent::api::upgrade;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::ClientError;

/// The body of a request.
pub(super) trait Request:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static
{
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static> Request for B {}

/// An answer, and the connection that it comes on.
pub(super) struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// The next piece of its body.
    pub(super) async fn data(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.response.body_mut().frame().await? {
                Ok(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// All of its body.
    pub(super) async fn bytes(mut self) -> hyper::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.data().await {
            all.extend_from_slice(&bytes?);
        }
        Ok(all)
    }
}

/// Connects to the socket of a node.
pub(super) async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    UnixStream::connect(socket).await.map_err(|error| {
        let socket = socket.display();
        ClientError::Away(format!("its agent does not listen on {socket} ({error})"))
    })
}

/// Sends a request, and returns with the head of its answer.
pub(super) async fn send<B: Request>(
    socket: &Path,
    mut request: hyper::Request<B>,
) -> Result<Answer, ClientError> {
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let stream = connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // What breaks it is said where its answer is read.
        connection.await.ok();
    }));
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if status.is_success() {
        return Ok(Answer { response, _connection: connection });
    }
    let words = upgrade::words(response.into_body()).await.map_err(broken)?;
    drop(connection);
    Err(refused(status, words))
}

/// What an answer means that is no success.
pub(super) fn refused(status: StatusCode, words: String) -> ClientError {
    match status {
        StatusCode::NOT_FOUND => ClientError::NotFound(words),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => ClientError::Away(words),
        _ => ClientError::Refused(words),
    }
}

/// A connection that broke: the agent has ended, or ends just now. How it broke tells people nothing.
pub(super) fn broken(error: impl Error) -> ClientError {
    tracing::debug!(%error, "the connection to a node broke");
    ClientError::Away("its agent has ended".to_owned())
}

/// A node that does not answer in time.
pub(super) fn late(limit: Duration) -> ClientError {
    ClientError::Away(format!("its agent does not answer within {} s", limit.as_secs()))
}

/// A request that cannot be sent as it is.
pub(super) fn bad_request(error: impl Error) -> ClientError {
    ClientError::Refused(error.to_string())
}
