//! Answers: a status, and a JSON object or a stream.

use bytes::Bytes;
use futures::Stream;
use futures::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::engine::EngineError;

/// What breaks a body off.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a request is not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// There is nothing of this name here.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong.
    #[error("{0}")]
    Bad(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// Too much is asked at the same time.
    #[error("the node serves {0} requests at the same time and no more")]
    Busy(usize),
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is wrong, as Docker says it too.
#[derive(Serialize)]
struct Message {
    message: String,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) | Self::Engine(EngineError::NotFound(_) | EngineError::NoSuchImage(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) | Self::Engine(EngineError::NameTaken(_)) => StatusCode::CONFLICT,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Engine(EngineError::Unreachable(_)) => StatusCode::BAD_GATEWAY,
            Self::Engine(EngineError::Refused(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    pub(super) fn reply(&self) -> Response<Body> {
        json(self.status(), &Message { message: self.to_string() })
    }
}

/// An answer with an object.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    with(status, "application/json", body)
}

/// An answer with a stream.
pub(super) fn stream<E: Into<BodyError> + 'static>(
    kind: &'static str,
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Response<Body> {
    let frames = pieces.map_ok(http_body::Frame::data).map_err(Into::into);
    with(StatusCode::OK, kind, StreamBody::new(frames).boxed_unsync())
}

fn with(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
