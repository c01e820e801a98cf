//! What people and scripts read: data on standard output, words on standard error, nothing that a terminal would obey.

pub(crate) mod message;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

pub(crate) use message::{say, warn};
pub(crate) use table::Table;
pub(crate) use text::printable;

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;

use serde_json::Value;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answer {
    /// For people
    Table,
    /// For programs
    Json,
}

impl Answer {
    /// Prints the one or the other.
    pub(crate) fn print(self, page: &str, json: &Value) -> io::Result<()> {
        match self {
            Self::Table => print(page),
            Self::Json => print(&format!("{json:#}\n")),
        }
    }
}

/// Each of `items` on a line of its own.
pub(crate) fn lines<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string() + "\n").collect()
}

/// The width of the terminal at the other end of `stream`, if there is one and it says.
pub(crate) fn terminal_width(stream: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(stream).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// Writes data to standard output.
pub(crate) fn print(data: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(data.as_bytes())?;
    out.flush()
}
