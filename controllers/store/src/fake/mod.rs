//! An etcd in this process, behind the real client: for tests and the simulator.
//!
//! It answers as etcd 3.4 does, down to the texts of its errors; a differential test compares the two. It has no task
//! and no clock of its own: streams are state machines that the client's side polls, and leases expire by tokio's
//! time, when somebody looks or a watch waits for it.

mod kv;
mod lease;
mod maintenance;
mod mvcc;
mod net;
mod state;
mod status;
mod txn;
mod watch;

pub use net::{Fault, Network, PerfectNetwork};
pub use state::{Commit, FakeEtcd, Snapshot};
