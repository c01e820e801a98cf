//! Files of this machine as tar archives, and back: what `skep cp` sends and takes.

mod bridge;
mod pack;
mod unpack;

pub(crate) use pack::pack;
pub(crate) use unpack::unpack;

/// What of a local file or directory is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The thing itself.
    Whole,
    /// What is in the directory (`DIR/.`).
    Contents,
}
