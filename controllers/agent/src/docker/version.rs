//! Which version of its API a Docker speaks, and what came with which.

use std::fmt;

/// A version of Docker's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Api {
    major: usize,
    minor: usize,
}

impl Api {
    /// Bind mounts whose source is created, in the newer form (moby 23.0).
    pub(super) const CREATE_MOUNTPOINT: Self = Self::new(42);
    /// Healthchecks with a start interval (moby 25.0).
    pub(super) const START_INTERVAL: Self = Self::new(44);
    /// Parts of volumes (moby 26.0).
    pub(super) const SUBPATH: Self = Self::new(45);

    /// Version 1.`minor`.
    pub(super) const fn new(minor: usize) -> Self {
        Self { major: 1, minor }
    }

    /// What a client and its daemon have agreed on.
    pub(super) fn of(client: &bollard::Docker) -> Self {
        let version = client.client_version();
        Self { major: version.major_version, minor: version.minor_version }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
