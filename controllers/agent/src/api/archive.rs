//! Files of one task, as tar archives.

use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::reply::{self, Body, Refusal};
use super::route::{ENGINE_LIMIT, PathQuery, Permit, query, within};
use crate::engine::Container;
use crate::streams::Streams;

const TAR: &str = "application/x-tar";

/// An archive that breaks off breaks the connection: it has no end then, and nobody takes it for whole.
pub(super) async fn read(
    engine: &dyn Streams,
    container: &Container,
    wanted: &PathQuery,
    permit: Permit,
) -> Result<Response<Body>, Refusal> {
    within(ENGINE_LIMIT, engine.stat(&container.id, &wanted.path)).await?;
    let pieces = engine.read_archive(&container.id, &wanted.path).inspect_err(move |_| {
        let _held = &permit;
    });
    Ok(reply::stream(TAR, pieces))
}

/// Answers when everything is unpacked.
pub(super) async fn write(
    engine: &dyn Streams,
    container: &Container,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let wanted: PathQuery = query(&request)?;
    let pieces = request.into_body().into_data_stream().map_err(std::io::Error::other).boxed();
    engine.write_archive(&container.id, &wanted.path, pieces).await?;
    Ok(reply::json(StatusCode::OK, &serde_json::json!({})))
}
