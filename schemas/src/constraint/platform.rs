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

#[cfg(test)]
mod tests {
    use super::*;

    /// Swarm 4.2, row 5.
    #[test]
    fn an_empty_field_of_a_platform_is_any_and_a_machine_that_has_not_said_what_it_is_has_none() {
        let arm = Platform { os: "linux".to_owned(), architecture: "aarch64".to_owned() };
        let unsaid = Platform::default();
        for (os, architecture, on_arm, on_unsaid) in [
            ("linux", "arm64", true, false),
            ("linux", "amd64", false, false),
            ("windows", "arm64", false, false),
            ("", "arm64", true, false),
            ("", "amd64", false, false),
            ("linux", "", true, false),
            ("windows", "", false, false),
            ("", "", true, true),
        ] {
            let wanted = PlatformRequirement { os: os.to_owned(), architecture: architecture.to_owned() };
            assert_eq!(wanted.is_met(Some(&arm)), on_arm, "{wanted:?}");
            assert_eq!(wanted.is_met(Some(&unsaid)), on_unsaid, "{wanted:?}");
            assert!(!wanted.is_met(None), "{wanted:?}");
        }
    }
}
