//! What can go wrong between Skep and etcd, in the classes that a caller acts on.

/// Why a request to etcd failed. A refused transaction is not an error but [`Outcome::Refused`](crate::Outcome).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A write that etcd certainly did not apply; it may be sent again.
    #[error("etcd did not take the request: {reason}")]
    NotApplied {
        /// What etcd or the connection said.
        reason: String,
    },
    /// A write of which it is not known whether etcd applied it, or still will.
    #[error("it is unknown whether etcd applied the request: {reason}")]
    Ambiguous {
        /// What etcd or the connection said.
        reason: String,
    },
    /// A read without an answer; it may be sent again.
    #[error("etcd does not answer: {reason}")]
    Unavailable {
        /// What etcd or the connection said.
        reason: String,
    },
    /// The history that was asked for is compacted away: list again. Holds the revision that was asked for
    /// (reads) or the lowest one that is left (watches).
    #[error("etcd's history at revision {0} is compacted")]
    Compacted(i64),
    /// The request is above a limit; it was not sent, or not applied.
    #[error("the {what} is too large: {size}, the limit is {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit that it breaks.
        limit: usize,
    },
    /// etcd's rules forbid this client the request.
    #[error("etcd denies the request: {reason}")]
    Denied {
        /// What etcd said.
        reason: String,
    },
    /// The lease has expired or was revoked.
    #[error("the lease is gone")]
    LeaseGone,
    /// The server is older than what Skep works with.
    #[error("etcd {found} is too old: {needed} or newer is needed")]
    UnsupportedVersion {
        /// The server's version.
        found: String,
        /// The oldest one that works.
        needed: &'static str,
    },
    /// The store went back in time or is another one: drop every cache and start again.
    #[error("etcd was restored or replaced: {reason}")]
    Restored {
        /// What was seen.
        reason: String,
    },
    /// etcd's disk quota is used up; nothing was applied.
    #[error("etcd has no space left: raise its quota or compact and defragment it")]
    NoSpace,
    /// etcd holds no Skep cluster yet.
    #[error("this etcd holds no Skep cluster yet")]
    NotBootstrapped,
    /// A request that is wrong in itself, so that sending it again is of no use.
    #[error("the request is invalid: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether a write may have been applied, or may still be.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous { .. })
    }

    /// Whether sending the same request again may succeed and cannot apply it twice.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotApplied { .. } | Self::Unavailable { .. })
    }

    /// The same failure, of a request that changes nothing.
    #[must_use]
    pub(crate) fn of_read(self) -> Self {
        if let Self::NotApplied { reason } | Self::Ambiguous { reason } = self {
            return Self::Unavailable { reason };
        }
        self
    }
}
