//! Bytes between a thread that reads or writes files and a stream: at most a few pieces wait in between.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

/// Pieces that wait.
const PIECES_MAX: usize = 16;
const PIECE_MAX_BYTES: usize = 1 << 16;

type Piece = io::Result<Bytes>;

/// What a stream brings, to be read by a thread.
pub(super) struct Reader {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
}

/// What a thread writes, to become a stream. What is left is sent when it is dropped.
pub(super) struct Writer {
    pieces: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

/// A reader for a thread, and the work of feeding it.
pub(super) fn reader(mut from: impl Stream<Item = Piece> + Unpin) -> (Reader, impl Future<Output = ()>) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let feed = async move {
        while let Some(piece) = from.next().await {
            // Whoever reads may have seen enough.
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    };
    (Reader { pieces, rest: Bytes::new() }, feed)
}

/// A writer for a thread, and the stream of what it writes.
pub(super) fn writer() -> (Writer, impl Stream<Item = Piece> + Send + 'static) {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let stream = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Piece>| async move {
        Some((receiver.recv().await?, receiver))
    });
    (Writer { pieces, buffer: Vec::with_capacity(PIECE_MAX_BYTES) }, stream)
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.rest = piece?,
            }
        }
        let length = into.len().min(self.rest.len());
        self.rest.split_to(length).copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Writer {
    /// Ends the stream with an error, so that nobody takes it for whole.
    pub(super) fn fail(&mut self, error: io::Error) {
        self.buffer.clear();
        // Whoever reads may be gone.
        let _ = self.pieces.blocking_send(Err(error));
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_MAX_BYTES));
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Writer {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + from.len() > PIECE_MAX_BYTES {
            self.send()?;
        }
        self.buffer.extend_from_slice(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
