//! The node API from the other side: what the agents of this machine answer on their sockets.

mod connection;

use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Empty, Full, StreamBody};
use hyper::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skep_agent::api::upgrade::{self, Connection, UpgradeError};
use skep_agent::api::{EXEC_PROTOCOL, Frame, Frames, Place, RESOLVE_PATH, Resolved};
use skep_agent::streams::{Command, LogRange, PathInfo, Upload};
use skep_api::ident::NodeId;
use skep_api::key::TaskRef;
use tokio::time::timeout;
use tokio_util::codec::Decoder;

use crate::up::state::StateDir;
use connection::{Answer, bad_request};

/// How long a node may take to begin with an answer that it need not ask anybody else for.
const ANSWER_LIMIT: Duration = Duration::from_secs(12);
/// How long a registry may take, and the node that asks it.
const REGISTRY_LIMIT: Duration = Duration::from_secs(35);
/// How long a stream may be silent: a node says every few seconds that it lives.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// Why a node did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Its agent does not answer.
    #[error("is not available: {0}")]
    Away(String),
    /// It answers, and has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It answers, and will not.
    #[error("{0}")]
    Refused(String),
}

/// The API of one node.
#[derive(Debug, Clone)]
pub(crate) struct NodeClient {
    socket: PathBuf,
}

/// The socket on which the agent of `node` answers.
pub(crate) fn socket_of(state: &StateDir, node: &NodeId) -> PathBuf {
    sockets(state).join(format!("{node}.sock"))
}

fn sockets(state: &StateDir) -> PathBuf {
    state.path().join("run").join("nodes")
}

/// The digest that the registry of `image` has for it now, asked through the first node of this machine that answers. `None` if none
/// does.
///
/// # Errors
/// The registry's words, as the node's Docker passes them on: there is no such image, it wants a password, it does not answer.
pub(crate) async fn resolve_image(state: &StateDir, image: &str) -> Result<Option<String>, ClientError> {
    let entries = std::fs::read_dir(sockets(state)).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    for socket in found {
        match (NodeClient { socket }).resolve(image).await {
            Ok(digest) => return Ok(Some(digest)),
            Err(ClientError::Away(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl NodeClient {
    /// The API of `node`.
    pub(crate) fn new(state: &StateDir, node: &NodeId) -> Self {
        Self { socket: socket_of(state, node) }
    }

    async fn resolve(&self, image: &str) -> Result<String, ClientError> {
        let resolved: Resolved = self.get(RESOLVE_PATH, &[("image", image)], REGISTRY_LIMIT).await?;
        Ok(resolved.digest)
    }

    /// The log of a task: lines, and an end or the reason why there are no more.
    pub(crate) async fn logs(
        &self,
        task: &TaskRef,
        wanted: &LogRange,
    ) -> Result<BoxStream<'static, Result<Frame, ClientError>>, ClientError> {
        let request = request(Method::GET, &Place::Logs.path(&task.stack, &task.name), wanted)?;
        let answer = self.send(request.body(Empty::<Bytes>::new()), ANSWER_LIMIT).await?;
        Ok(frames(answer))
    }

    /// Begins a command in the container of a task.
    pub(crate) async fn exec(&self, task: &TaskRef, command: &Command) -> Result<Connection, ClientError> {
        let body = serde_json::to_vec(command).map_err(bad_request)?;
        let path = Place::Exec.path(&task.stack, &task.name);
        let request = Request::post(path).body(Full::new(Bytes::from(body))).map_err(bad_request)?;
        let ask = async {
            let stream = connection::connect(&self.socket).await?;
            upgrade::request(stream, request, EXEC_PROTOCOL).await.map_err(|error| match error {
                UpgradeError::Refused { status, words } => connection::refused(status, words),
                UpgradeError::Broken(error) => ClientError::Away(error.to_string()),
            })
        };
        timeout(ANSWER_LIMIT, ask).await.unwrap_or_else(|_| Err(connection::late(ANSWER_LIMIT)))
    }

    /// What lies at `path` in the container of a task, if anything does.
    pub(crate) async fn stat(&self, task: &TaskRef, path: &str) -> Result<Option<PathInfo>, ClientError> {
        self.get(&Place::Stat.path(&task.stack, &task.name), &[("path", path)], ANSWER_LIMIT).await
    }

    /// What lies at `path` in the container of a task, as a tar archive in pieces.
    pub(crate) async fn read_archive(&self, task: &TaskRef, path: &str) -> Result<Upload, ClientError> {
        let request = request(Method::GET, &Place::Archive.path(&task.stack, &task.name), &[("path", path)])?;
        let answer = self.send(request.body(Empty::<Bytes>::new()), ANSWER_LIMIT).await?;
        let pieces = stream::unfold(answer, |mut answer| async move {
            Some((answer.data().await?.map_err(std::io::Error::other), answer))
        });
        Ok(pieces.boxed())
    }

    /// Unpacks a tar archive in the directory `path` in the container of a task.
    pub(crate) async fn write_archive(
        &self,
        task: &TaskRef,
        path: &str,
        archive: Upload,
    ) -> Result<(), ClientError> {
        let request = request(Method::PUT, &Place::Archive.path(&task.stack, &task.name), &[("path", path)])?;
        let body = UnsyncBoxBody::new(StreamBody::new(archive.map_ok(http_body::Frame::data)));
        connection::send(&self.socket, request.body(body).map_err(bad_request)?).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        limit: Duration,
    ) -> Result<T, ClientError> {
        let request = request(Method::GET, path, &query)?;
        let answer = self.send(request.body(Empty::<Bytes>::new()), limit).await?;
        let read = timeout(limit, answer.bytes()).await;
        let body = read.map_err(|_| connection::late(limit))?.map_err(connection::broken)?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Refused(error.to_string()))
    }

    async fn send<B: connection::Request>(
        &self,
        request: hyper::http::Result<Request<B>>,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let ask = connection::send(&self.socket, request.map_err(bad_request)?);
        timeout(limit, ask).await.unwrap_or_else(|_| Err(connection::late(limit)))
    }
}

fn request(
    method: Method,
    path: &str,
    query: &impl Serialize,
) -> Result<hyper::http::request::Builder, ClientError> {
    let query = serde_urlencoded::to_string(query).map_err(bad_request)?;
    Ok(Request::builder().method(method).uri(format!("{path}?{query}")))
}

/// The frames of a body. It ends with an error if the node falls silent.
fn frames(answer: Answer) -> BoxStream<'static, Result<Frame, ClientError>> {
    let begin = (Some(answer), BytesMut::new());
    stream::unfold(begin, |(answer, mut buffer)| async move {
        let mut answer = answer?;
        loop {
            match Frames.decode(&mut buffer) {
                Ok(Some(frame)) => return Some((Ok(frame), (Some(answer), buffer))),
                Ok(None) => {}
                Err(error) => return Some((Err(connection::broken(error)), (None, buffer))),
            }
            let error = match timeout(SILENCE_LIMIT, answer.data()).await {
                Ok(None) => return None,
                Ok(Some(Ok(bytes))) => {
                    buffer.extend_from_slice(&bytes);
                    continue;
                }
                Ok(Some(Err(error))) => connection::broken(error),
                Err(_) => connection::late(SILENCE_LIMIT),
            };
            return Some((Err(error), (None, buffer)));
        }
    })
    .boxed()
}
