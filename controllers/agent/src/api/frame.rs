//! What a node and a client send each other on a stream: a kind, a length, and so many bytes.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::streams::Size;

/// The longest payload, in bytes; longer pieces are sent in several frames.
pub const PAYLOAD_MAX_BYTES: usize = 1 << 16;
/// Kind, and length.
const HEAD_BYTES: usize = 5;
/// In front of a line: when it was written.
const TIME_BYTES: usize = 8;

/// One message on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A line of a log, or a piece of one; and when it was written, in nanoseconds of Unix time.
    Line {
        /// Whether it was written to standard error.
        is_error: bool,
        /// When.
        time_ns: i64,
        /// What.
        bytes: Bytes,
    },
    /// What a command has written.
    Output {
        /// Whether it was written to standard error.
        is_error: bool,
        /// What.
        bytes: Bytes,
    },
    /// What a command is to read.
    Input(Bytes),
    /// There is no more for it to read.
    InputEnd,
    /// The terminal has another size.
    Resize(Size),
    /// Nothing: the sender lives.
    Alive,
    /// The command has ended, with this exit code.
    Exit(i64),
    /// The log has come to its end; whether its container has ended as well.
    End {
        /// Whether nothing can follow.
        is_final: bool,
    },
    /// The stream broke off, for this reason.
    Failed(String),
}

/// Frames to bytes and back.
#[derive(Debug, Default, Clone, Copy)]
pub struct Frames;

const LINE: u8 = 1;
const ERROR_LINE: u8 = 2;
const OUTPUT: u8 = 3;
const ERROR_OUTPUT: u8 = 4;
const INPUT: u8 = 5;
const INPUT_END: u8 = 6;
const RESIZE: u8 = 7;
const ALIVE: u8 = 8;
const EXIT: u8 = 9;
const END: u8 = 10;
const FAILED: u8 = 11;

impl Frame {
    /// The frame as it is sent.
    pub fn to_bytes(self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.write(&mut bytes);
        bytes.freeze()
    }

    fn write(self, to: &mut BytesMut) {
        match self {
            Self::Line { is_error, time_ns, bytes } => {
                let kind = if is_error { ERROR_LINE } else { LINE };
                for piece in pieces(&bytes, PAYLOAD_MAX_BYTES - TIME_BYTES) {
                    head(to, kind, TIME_BYTES + piece.len());
                    to.put_i64(time_ns);
                    to.put_slice(piece);
                }
            }
            Self::Output { is_error, bytes } => {
                split(to, if is_error { ERROR_OUTPUT } else { OUTPUT }, &bytes);
            }
            Self::Input(bytes) => split(to, INPUT, &bytes),
            Self::InputEnd => head(to, INPUT_END, 0),
            Self::Resize(size) => {
                head(to, RESIZE, 4);
                to.put_u16(size.rows);
                to.put_u16(size.columns);
            }
            Self::Alive => head(to, ALIVE, 0),
            Self::Exit(code) => {
                head(to, EXIT, 8);
                to.put_i64(code);
            }
            Self::End { is_final } => {
                head(to, END, 1);
                to.put_u8(u8::from(is_final));
            }
            Self::Failed(words) => {
                let words = words.as_bytes();
                let words = words.get(..PAYLOAD_MAX_BYTES).unwrap_or(words);
                head(to, FAILED, words.len());
                to.put_slice(words);
            }
        }
    }

    /// The frame of this kind and payload, if that can be one.
    fn read(kind: u8, mut payload: Bytes) -> Option<Self> {
        let frame = match kind {
            LINE | ERROR_LINE => {
                let time_ns = payload.try_get_i64().ok()?;
                Self::Line { is_error: kind == ERROR_LINE, time_ns, bytes: payload }
            }
            OUTPUT | ERROR_OUTPUT => Self::Output { is_error: kind == ERROR_OUTPUT, bytes: payload },
            INPUT => Self::Input(payload),
            INPUT_END => Self::InputEnd,
            RESIZE => {
                let (rows, columns) = (payload.try_get_u16().ok()?, payload.try_get_u16().ok()?);
                Self::Resize(Size { rows, columns })
            }
            ALIVE => Self::Alive,
            EXIT => Self::Exit(payload.try_get_i64().ok()?),
            END => Self::End { is_final: payload.try_get_u8().ok()? == 1 },
            FAILED => Self::Failed(String::from_utf8_lossy(&payload).into_owned()),
            _ => return None,
        };
        Some(frame)
    }
}

/// `bytes` in frames of one kind. Nothing is one frame with nothing in it.
fn split(to: &mut BytesMut, kind: u8, bytes: &[u8]) {
    for piece in pieces(bytes, PAYLOAD_MAX_BYTES) {
        head(to, kind, piece.len());
        to.put_slice(piece);
    }
}

fn pieces(bytes: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    let nothing = bytes.is_empty().then_some(bytes);
    nothing.into_iter().chain(bytes.chunks(max))
}

fn head(to: &mut BytesMut, kind: u8, length: usize) {
    to.put_u8(kind);
    to.put_u32(u32::try_from(length).unwrap_or(u32::MAX)); // Never above PAYLOAD_MAX_BYTES.
}

impl Encoder<Frame> for Frames {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, to: &mut BytesMut) -> io::Result<()> {
        frame.write(to);
        Ok(())
    }
}

impl Decoder for Frames {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Frame>> {
        let mut peek = from.as_ref();
        let (Ok(kind), Ok(length)) = (peek.try_get_u8(), peek.try_get_u32()) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > PAYLOAD_MAX_BYTES {
            return Err(bad());
        }
        if peek.remaining() < length {
            return Ok(None);
        }
        from.advance(HEAD_BYTES);
        Frame::read(kind, from.split_to(length).freeze()).map(Some).ok_or_else(bad)
    }
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other side does not speak the same protocol")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
        prop_oneof![
            (any::<bool>(), any::<i64>(), bytes()).prop_map(|(is_error, time_ns, bytes)| Frame::Line {
                is_error,
                time_ns,
                bytes
            }),
            (any::<bool>(), bytes()).prop_map(|(is_error, bytes)| Frame::Output { is_error, bytes }),
            bytes().prop_map(Frame::Input),
            Just(Frame::InputEnd),
            (any::<u16>(), any::<u16>()).prop_map(|(rows, columns)| Frame::Resize(Size { rows, columns })),
            Just(Frame::Alive),
            any::<i64>().prop_map(Frame::Exit),
            any::<bool>().prop_map(|is_final| Frame::End { is_final }),
            ".{0,40}".prop_map(Frame::Failed),
        ]
    }

    /// What comes out when `sent` arrives in pieces of `size` bytes.
    fn receive(sent: &[u8], size: usize) -> io::Result<Vec<Frame>> {
        let (mut buffer, mut received) = (BytesMut::new(), Vec::new());
        for piece in sent.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = Frames.decode(&mut buffer)? {
                received.push(frame);
            }
        }
        assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
        Ok(received)
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_however_they_are_cut(
            sent in proptest::collection::vec(frame(), 0..10), size in 1_usize..50,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|frame| frame.clone().to_bytes()).collect();
            prop_assert_eq!(receive(&bytes, size).unwrap(), sent);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = Frames.decode(&mut buffer) {}
        }
    }

    #[test]
    fn a_piece_that_is_too_long_is_sent_in_several_frames_of_the_same_kind() {
        let bytes = Bytes::from(vec![7; 3 * PAYLOAD_MAX_BYTES]);
        let sent = Frame::Line { is_error: true, time_ns: 5, bytes: bytes.clone() }.to_bytes();
        let mut whole = Vec::new();
        for frame in receive(&sent, 4096).unwrap() {
            let Frame::Line { is_error: true, time_ns: 5, bytes } = frame else { panic!("{frame:?}") };
            whole.extend_from_slice(&bytes);
        }
        assert_eq!(whole, bytes);
    }

    #[test]
    fn a_length_above_the_limit_is_an_error_and_not_waited_for() {
        let mut buffer = BytesMut::from(&[OUTPUT, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(Frames.decode(&mut buffer).is_err());
        let mut buffer = BytesMut::from(&[99, 0, 0, 0, 0][..]);
        assert!(Frames.decode(&mut buffer).is_err());
    }
}
