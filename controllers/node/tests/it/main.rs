//! The node controller against small clusters in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // They are a test's assertions.

mod cases;
mod drain;
mod fleet;
mod guards;
mod holding_back;
mod households;
mod liveness;
mod random;
mod summary;
