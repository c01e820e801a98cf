//! What the version of the server tells about what can be relied on.

use std::fmt;

use crate::error::Error;

/// The version of an etcd server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

/// The oldest version that Skep works with.
const OLDEST: Version = Version { major: 3, minor: 4, patch: 0 };

impl Version {
    /// Reads `text`, and refuses what is too old or not a version.
    pub(crate) fn supported(text: &str) -> Result<Self, Error> {
        let version = Self::parse(text).filter(|version| *version >= OLDEST);
        version.ok_or_else(|| Error::UnsupportedVersion { found: text.to_owned(), needed: "3.4" })
    }

    /// Whether a progress answer never outruns the events before it (etcd issue 15220).
    pub(crate) fn has_true_progress(self) -> bool {
        self.has_fix(31, 13, 0)
    }

    /// Whether the server has the fixes for lost watch events; the operator of an older one should be warned.
    pub fn has_watch_fixes(self) -> bool {
        (self.major, self.minor) > (3, 4) && self.has_fix(0, 22, 2)
    }

    /// Whether this is at least the patch given for its line 3.4, 3.5 or 3.6.
    fn has_fix(self, on_3_4: u32, on_3_5: u32, on_3_6: u32) -> bool {
        match (self.major, self.minor) {
            (3, 4) => self.patch >= on_3_4,
            (3, 5) => self.patch >= on_3_5,
            (3, 6) => self.patch >= on_3_6,
            later => later > (3, 6),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let release = text.split(['-', '+']).next()?;
        let mut numbers = release.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::supported(text).unwrap()
    }

    #[test]
    fn a_server_below_3_4_is_refused() {
        assert!(Version::supported("3.3.27").is_err());
        assert!(Version::supported("not a version").is_err());
        assert_eq!(version("3.5.0-rc.1").to_string(), "3.5.0");
    }

    #[test]
    fn progress_and_watch_fixes_depend_on_the_release_line() {
        assert!(!version("3.4.23").has_true_progress());
        assert!(version("3.4.31").has_true_progress());
        assert!(!version("3.5.12").has_true_progress());
        assert!(version("3.6.0").has_true_progress());
        assert!(!version("3.4.44").has_watch_fixes());
        assert!(!version("3.5.16").has_watch_fixes());
        assert!(version("3.5.22").has_watch_fixes());
        assert!(version("4.0.0").has_watch_fixes());
    }
}
