//! Replica against worlds in memory: single decisions as cases in YAML, lives of a service step by step, and random
//! lives with the rules that hold in all of them.

#![allow(clippy::unwrap_used, clippy::panic)] // What helps tests fails as tests do.

mod cases;
mod evictions;
mod global;
mod jobs;
mod lives;
mod moves;
mod restarts;
mod rules;
mod shop;
mod start_first;
mod watcher;
mod whims;
