//! The terminal of the person at it, while a program somewhere else has it.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use skep_agent::streams::Size;
use tokio::sync::mpsc;

/// Pieces of input that wait to be sent.
const PIECES_MAX: usize = 16;
const PIECE_MAX_BYTES: usize = 1 << 14;

/// A terminal that passes every key on as it is; it is as it was before once this is dropped.
pub(crate) struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Makes the terminal on standard input raw.
    pub(crate) fn begin() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Whether standard input is a terminal.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// The size of the terminal on standard input.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdin()).ok()?;
    Some(Size { rows: size.ws_row, columns: size.ws_col })
}

/// Standard input, in pieces. It is read by a thread that nobody waits for: a read cannot be called back, and the process can
/// end without it.
pub(crate) fn input() -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut piece = vec![0; PIECE_MAX_BYTES];
        loop {
            let read = match stdin.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(piece.get(..read).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    })?;
    Ok(receiver)
}
