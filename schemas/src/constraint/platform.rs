//! Platforms, by SwarmKit's rules (`manager/scheduler`, `PlatformFilter`).

use crate::node::Platform;
use crate::service::PlatformRequirement;

impl PlatformRequirement {
    /// Whether `platform` is what this asks for; `None` is a machine that has not said what it is.
    pub fn is_met(&self, platform: Option<&Platform>) -> bool {
        let is_any_or = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        platform.is_some_and(|have| {
            is_any_or(&self.os, &have.os) && is_any_or(goarch(&self.architecture), goarch(&have.architecture))
        })
    }
}

/// The kernel's name of a processor in Go's words, as SwarmKit reads it.
fn goarch(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
