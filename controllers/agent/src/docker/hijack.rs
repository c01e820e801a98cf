//! A command's input and output, on the connection that starts it.
//!
//! bollard reads a terminal as if it were frames: output that begins with a byte below 3 is lost or held back. Docker says
//! which of the two it sends, so nothing need be guessed.

use std::io;
use std::pin::Pin;

use bollard::ClientVersion;
use bytes::{Buf, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http_body_util::Full;
use hyper::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::codec::{BytesCodec, Decoder, FramedRead};

use crate::api::upgrade::{self, UpgradeError};
use crate::engine::EngineError;
use crate::streams::Output;

/// A frame's head: the stream, three zeros, and the length.
const HEAD_BYTES: usize = 8;
const STDERR: u8 = 2;
/// The longest frame that is believed, in bytes. Docker sends what it reads at once, 32 KiB at most.
const FRAME_MAX_BYTES: usize = 1 << 24;

/// What a command reads and writes.
pub(super) struct Started {
    pub(super) output: BoxStream<'static, Result<Output, EngineError>>,
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Starts the command `execution`, and stays connected with it.
pub(super) async fn start_exec(
    host: &str,
    version: ClientVersion,
    execution: &str,
    tty: bool,
) -> Result<Started, EngineError> {
    let (major, minor) = (version.major_version, version.minor_version);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v{major}.{minor}/exec/{execution}/start"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(format!(r#"{{"Detach":false,"Tty":{tty}}}"#))))
        .map_err(|error| unreachable(&error))?;
    let connection = if let Some(path) = host.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).await.map_err(|error| unreachable(&error))?;
        upgrade::request(stream, request, "tcp").await
    } else {
        let address = host.split_once("://").map_or(host, |(_, address)| address);
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        upgrade::request(stream, request, "tcp").await
    };
    let (read, write) = tokio::io::split(connection.map_err(refusal)?);
    Ok(Started { output: output(read, tty), input: Box::pin(write) })
}

fn output(
    read: impl AsyncRead + Send + 'static,
    tty: bool,
) -> BoxStream<'static, Result<Output, EngineError>> {
    let broken = |error: io::Error| unreachable(&error);
    if tty {
        let pieces = FramedRead::new(read, BytesCodec::new());
        pieces.map_ok(|bytes| Output { is_error: false, bytes: bytes.freeze() }).map_err(broken).boxed()
    } else {
        FramedRead::new(read, Multiplexed).map_err(broken).boxed()
    }
}

fn unreachable(error: &dyn std::error::Error) -> EngineError {
    EngineError::Unreachable(error.to_string())
}

fn refusal(error: UpgradeError) -> EngineError {
    match error {
        UpgradeError::Refused { words, .. } => EngineError::Refused(words),
        UpgradeError::Broken(error) => unreachable(&error),
    }
}

/// Standard output and standard error in one stream, as Docker mixes them.
struct Multiplexed;

impl Decoder for Multiplexed {
    type Item = Output;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Output>> {
        let mut peek = from.as_ref();
        let (Ok(head), Ok(length)) = (peek.try_get_u32(), peek.try_get_u32()) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let [stream, zeros @ ..] = head.to_be_bytes();
        if zeros != [0; 3] || length > FRAME_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "Docker sent no frame"));
        }
        if peek.remaining() < length {
            return Ok(None);
        }
        from.advance(HEAD_BYTES);
        Ok(Some(Output { is_error: stream == STDERR, bytes: from.split_to(length).freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &'static [u8], tty: bool) -> Vec<Result<Output, EngineError>> {
        output(bytes, tty).collect().await
    }

    #[tokio::test]
    async fn the_two_streams_of_a_command_are_told_apart() {
        let bytes = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x03oh\n\x01\0\0\0\0\0\0\0";
        let expected = [(false, "hi"), (true, "oh\n"), (false, "")];
        let expected = expected.map(|(is_error, text)| Ok(Output { is_error, bytes: text.into() }));
        assert_eq!(read(bytes, false).await, expected);
        assert!(read(b"OCI runtime error", false).await[0].is_err());
    }

    #[tokio::test]
    async fn whatever_byte_a_terminal_begins_with_is_shown() {
        let all: Vec<u8> =
            read(b"\x01\0\x02prompt> ", true).await.into_iter().flat_map(|it| it.unwrap().bytes).collect();
        assert_eq!(all, b"\x01\0\x02prompt> ");
    }
}
