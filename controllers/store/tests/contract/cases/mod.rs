//! What the store promises, whatever etcd is behind it.

pub(crate) mod follow;
pub(crate) mod identity;
pub(crate) mod lease;
pub(crate) mod list;
pub(crate) mod txn;
pub(crate) mod watch;
