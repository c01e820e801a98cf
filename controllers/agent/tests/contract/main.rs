//! The agent over the fake etcd and the simulated machine, in virtual time, and what any engine must do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod agent;
mod engine;
mod faults;
mod ledger;
mod life;
mod network;
mod rig;
#[path = "../suite/mod.rs"]
mod suite;
