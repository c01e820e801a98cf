//! The network between a client and the fake: a channel whose every request, reply and stream somebody decides about.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use etcd_client::Channel;
use etcd_client::proto::{PbKvServer, PbLeaseServer, PbMaintenanceServer, PbWatchServer};
use futures::future::{self, BoxFuture};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

use super::state::{FakeEtcd, WeakEtcd};
use crate::txn::Guard;

/// How a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection was never made: the client knows that nothing was sent.
    Refused,
    /// The connection broke: the client does not know what arrived.
    Reset,
}

/// Decides what happens between one client and etcd. Every default is a network without fault.
///
/// A future that is never ready is a request or a reply that is lost without a word. What has been sent goes on even
/// if the client gives up meanwhile: that is how late writes come about. `method` is gRPC's path, such as
/// `/etcdserverpb.KV/Txn`.
pub trait Network: Send + Sync + 'static {
    /// Who this client is, for the observer of commits.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation answers with a field")]
    fn client(&self) -> &str {
        ""
    }

    /// Whether etcd looks at a guard of this client's transactions. To say no is to plant a bug: the client believes
    /// that it is protected.
    fn heeds(&self, guard: &Guard) -> bool {
        let _ = guard;
        true
    }

    /// Ready when a request reaches etcd; a fault tells the client, and etcd sees nothing.
    fn request(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let _ = method;
        Box::pin(future::ready(Ok(())))
    }

    /// Ready when the reply reaches the client; a fault tells the client, but etcd has applied the request.
    fn reply(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let _ = method;
        Box::pin(future::ready(Ok(())))
    }

    /// Ready when the next message of an open stream reaches the client; a fault breaks the stream.
    fn message(&self, method: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let _ = method;
        Box::pin(future::ready(Ok(())))
    }

    /// Ready when a stream that was opened now breaks, even if it is silent.
    fn broken(&self, method: &str) -> BoxFuture<'static, ()> {
        let _ = method;
        Box::pin(future::pending())
    }
}

/// The client of a request, which travels with it.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<dyn Network>);

/// A network without fault.
#[derive(Debug, Clone, Copy, Default)]
pub struct PerfectNetwork;

impl Network for PerfectNetwork {}

pub(crate) fn channel(etcd: FakeEtcd, network: Arc<dyn Network>) -> Channel {
    Channel::Custom(BoxCloneSyncService::new(Link { etcd, network }))
}

/// The client's side of a connection.
#[derive(Clone)]
struct Link {
    etcd: FakeEtcd,
    network: Arc<dyn Network>,
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (reply, answer) = oneshot::channel();
        let exchange = exchange(self.etcd.downgrade(), self.network.clone(), request);
        // A request on its way needs no client: it arrives even if nobody waits for the answer any more.
        self.etcd.spawn(async move { drop(reply.send(exchange.await)) });
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(Fault::Reset.into())) })
    }
}

async fn exchange(
    etcd: WeakEtcd,
    network: Arc<dyn Network>,
    mut request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let method = request.uri().path().to_owned();
    network.request(&method).await?;
    let etcd = etcd.upgrade().ok_or(Fault::Refused)?;
    request.extensions_mut().insert(Client(network.clone()));
    let Ok(response) = serve(etcd, request).await;
    network.reply(&method).await?;
    let is_stream = method.ends_with("/Watch") || method.ends_with("/LeaseKeepAlive");
    Ok(if is_stream {
        response.map(|inner| Body::new(OpenStream::new(inner, network, method)))
    } else {
        response
    })
}

/// The generated servers, chosen by the service in the path.
async fn serve(etcd: FakeEtcd, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let service = request.uri().path().split('/').nth(1).unwrap_or_default().to_owned();
    match service.as_str() {
        "etcdserverpb.KV" => {
            PbKvServer::new(etcd).max_decoding_message_size(usize::MAX).oneshot(request).await
        }
        "etcdserverpb.Watch" => PbWatchServer::new(etcd).oneshot(request).await,
        "etcdserverpb.Lease" => PbLeaseServer::new(etcd).oneshot(request).await,
        "etcdserverpb.Maintenance" => PbMaintenanceServer::new(etcd).oneshot(request).await,
        _ => Ok(Status::unimplemented(format!("unknown service {service}")).into_http()),
    }
}

/// The answers of one open stream, on their way to the client.
struct OpenStream {
    inner: Body,
    network: Arc<dyn Network>,
    method: String,
    broken: BoxFuture<'static, ()>,
    on_its_way: Option<Travelling>,
    has_ended: bool,
}

/// A message, and its arrival.
struct Travelling {
    frame: Frame<Bytes>,
    arrival: BoxFuture<'static, Result<(), Fault>>,
}

impl OpenStream {
    fn new(inner: Body, network: Arc<dyn Network>, method: String) -> Self {
        let broken = network.broken(&method);
        Self { inner, network, method, broken, on_its_way: None, has_ended: false }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.broken.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Fault::Reset.into())));
        }
        if self.on_its_way.is_none() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.on_its_way = Some(Travelling { frame, arrival: self.network.message(&self.method) });
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status.into()))),
                None => return Poll::Ready(None),
            }
        }
        let Some(travelling) = &mut self.on_its_way else { return Poll::Ready(None) };
        let arrived = ready!(travelling.arrival.as_mut().poll(cx));
        let frame = self.on_its_way.take().map(|travelling| travelling.frame);
        Poll::Ready(frame.map(|frame| arrived.map(|()| frame).map_err(BoxError::from)))
    }
}

impl http_body::Body for OpenStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_next(cx));
        self.has_ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl From<Fault> for BoxError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused => Box::new(tonic::ConnectError("connection refused".into())),
            Fault::Reset => Box::new(Status::unavailable("transport error: connection reset")),
        }
    }
}
