//! The controller engine: what every controller shares, so that a controller is a world, a plan and a list of changes.
//!
//! A controller's author writes three things (see [`controller::Controller`]): a [`controller::World`] that keeps typed
//! tables, a pure `plan` that says what to change, and a closed `Change` type that says what may be written and on what
//! each write stands. Everything else is here: [`core`] decides when to plan and never does I/O, [`driver`] connects it
//! to the store, [`process`] is the `main()` of every process.

pub mod clock;
pub mod controller;
pub mod core;
pub mod driver;
pub mod metrics;
mod office;
pub mod plan;
pub mod process;
pub mod retry;
pub mod scene;
pub mod services;
pub mod table;
pub mod tasks;
mod telling;
