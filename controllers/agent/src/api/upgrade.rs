//! A request whose connection becomes a stream of bytes in both directions.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest refusal that is read, in bytes.
const REFUSAL_MAX_BYTES: usize = 1 << 16;

/// The connection, once it is a stream of bytes.
pub type Connection = TokioIo<Upgraded>;

/// Why a connection did not become a stream of bytes.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The other side would not.
    #[error("{words}")]
    Refused {
        /// Its answer.
        status: StatusCode,
        /// Its words: those of a JSON object's `message`, if it sent one.
        words: String,
    },
    /// The connection broke.
    #[error(transparent)]
    Broken(io::Error),
}

/// Sends `request` over `stream`, asks for `protocol`, and hands over the connection. Nothing of it goes on beside.
///
/// # Errors
/// [`UpgradeError::Refused`] with any answer but 101.
pub async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: Request<Full<Bytes>>,
    protocol: &'static str,
) -> Result<Connection, UpgradeError> {
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let ask = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
            return Ok(TokioIo::new(upgraded));
        }
        Err(refusal(response).await)
    };
    // The connection ends when it was handed over, or when nobody asks any more.
    let (answer, _) = futures::join!(ask, connection.with_upgrades());
    answer
}

async fn refusal(response: Response<Incoming>) -> UpgradeError {
    let status = response.status();
    match words(response.into_body()).await {
        Ok(words) if words.is_empty() => UpgradeError::Refused { status, words: status.to_string() },
        Ok(words) => UpgradeError::Refused { status, words },
        Err(error) => UpgradeError::Broken(error),
    }
}

/// The words of a refusal: the `message` of a JSON object, or all of it.
///
/// # Errors
/// If the connection breaks, or if there is no end of words.
pub async fn words(body: Incoming) -> io::Result<String> {
    let body = Limited::new(body, REFUSAL_MAX_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
    let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    Ok(message.map_or_else(|| String::from_utf8_lossy(&body).trim().to_owned(), str::to_owned))
}

fn broken(error: hyper::Error) -> UpgradeError {
    UpgradeError::Broken(io::Error::other(error))
}
