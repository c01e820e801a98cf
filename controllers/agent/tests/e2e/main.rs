//! The agent on this machine's Docker, with a real etcd and the demo image (`hack/demo/image`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod agent;
#[allow(clippy::wildcard_enum_match_arm)] // What else may come is a failure of the test.
mod api;
mod engine;
mod life;
mod registry;
mod rig;
mod settings;
#[path = "../suite/mod.rs"]
mod suite;
