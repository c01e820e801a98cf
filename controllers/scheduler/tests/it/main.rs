//! The scheduler against small clusters in memory: cases by hand, and random ones judged by an oracle of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // They are a test's assertions.

mod answers;
mod balance;
mod cases;
mod cluster;
mod explaining;
mod fitting;
mod global;
mod guards;
mod leaving;
mod oracle;
mod placing;
mod random;
mod remedies;
mod staging;
mod strategies;
mod waking;
