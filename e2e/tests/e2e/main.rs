//! The journeys that a person makes, with the built `skep`, a real etcd and a real Docker. One test at a time:
//! `cargo test -p e2e --test e2e -- --test-threads=1`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // It is all a test.

mod rig;

mod etcd_is_plain;
mod everyday;
mod faults;
mod jobs;
mod leaders;
mod limits;
mod node_api;
mod nodes;
mod placement;
mod registry;
mod rollouts;
mod updates;
