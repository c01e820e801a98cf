//! Manifests, good and bad, as people and etcd hand them in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]

mod cases;
mod examples;
mod limits;
mod round_trip;
mod schemas;
