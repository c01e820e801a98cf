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

/// Each of `items` on a line of its own.
pub(crate) fn lines<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string() + "\n").collect()
}

/// Writes data to standard output.
pub(crate) fn print(data: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(data.as_bytes())?;
    out.flush()
}
