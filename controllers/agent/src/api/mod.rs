//! The node API: what people ask of one node's containers – logs, commands, files – and of registries, as that node reaches them.
//!
//! HTTP/1.1 on a unix socket that only its owner can open; it reaches the containers of this agent's own node and cluster, and no others. What is
//! served lives in the future that serves: dropping it ends every stream.

mod archive;
mod exec;
mod frame;
mod logs;
mod reply;
mod route;
mod socket;
pub mod upgrade;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engine::Owner;
use crate::streams::Streams;

pub use frame::{Frame, Frames, PAYLOAD_MAX_BYTES};
pub use route::{EXEC_PROTOCOL, Place, RESOLVE_PATH, Resolved};
pub use socket::{ApiError, PATH_MAX_BYTES, Socket};

/// Requests that are served at the same time; a log that is followed is one.
pub const REQUESTS_MAX: usize = 256;
/// Connections beyond that, so that there is somebody to say that there are too many.
const CONNECTIONS_BEYOND: usize = 32;
/// How long a client may take to say what it wants.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The longest request line with all headers, in bytes.
const HEAD_MAX_BYTES: usize = 1 << 14;
/// The most headers.
const HEADERS_MAX: usize = 32;

/// What the node API answers from. Cheap to clone.
#[derive(Clone)]
pub struct NodeApi {
    engine: Arc<dyn Streams>,
    owner: Owner,
    requests: Arc<Semaphore>,
}

/// What goes on with a connection that is no longer HTTP.
type Sequel = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

impl NodeApi {
    /// The API of the node and cluster of `owner`.
    pub fn new(engine: Arc<dyn Streams>, owner: Owner) -> Self {
        Self { engine, owner, requests: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Serves on `socket` for as long as it is polled.
    ///
    /// # Errors
    /// [`ApiError::Accept`] if the system lets nobody connect any more.
    pub async fn serve(self, socket: Socket) -> Result<(), ApiError> {
        let mut connections = JoinSet::new();
        loop {
            let is_full = connections.len() >= REQUESTS_MAX + CONNECTIONS_BEYOND;
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                stream = socket.accept(), if !is_full => {
                    connections.spawn(self.clone().connection(stream?));
                }
            }
        }
    }

    /// One request, and what it may lead to. A client that goes away, or sends nonsense, harms nobody else.
    async fn connection(self, stream: UnixStream) {
        let sequel = Sequel::default();
        let next = Arc::clone(&sequel);
        let service = service_fn(move |request| {
            let (api, next) = (self.clone(), Arc::clone(&next));
            async move { Ok::<_, std::convert::Infallible>(api.answer(request, &next).await) }
        });
        let served = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection to the node API broke");
            return;
        }
        let sequel = sequel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sequel) = sequel {
            sequel.await;
        }
    }
}

impl std::fmt::Debug for NodeApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeApi").field("owner", &self.owner).finish_non_exhaustive()
    }
}
