//! Skep's view of etcd: consistent lists, watches without gaps, guarded transactions, leases, and classified errors.
//!
//! This is the only crate that names the etcd client; nothing above it sees a gRPC code. [`fake`] is an etcd in the
//! same process, behind the same client, for tests and the simulator.

mod backoff;
mod classify;
mod commit;
mod commits;
mod config;
mod error;
pub mod fake;
mod follow;
mod identity;
mod leader;
mod lease;
mod list;
mod member;
mod pack;
mod range;
pub mod rig;
pub mod scratch;
mod store;
mod txn;
mod version;
mod watch;

pub use commits::{Answers, Commits};
pub use config::{Config, Tls};
pub use error::Error;
pub use follow::{Follow, Update};
pub use identity::Identity;
pub use leader::{Campaign, Settlement};
pub use lease::Lease;
pub use range::{KeyValue, Listing, Range};
pub use store::Store;
pub use txn::{
    Expect, Guard, Outcome, Put, REQUEST_MAX_BYTES, TXN_MAX_BYTES, TXN_MAX_OPS, Txn, VALUE_MAX_BYTES,
};
pub use version::Version;
pub use watch::{Event, Watch, WatchBatch};
