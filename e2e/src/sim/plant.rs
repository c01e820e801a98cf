//! Bugs that are planted on purpose: a harness that does not find them is broken.
//!
//! Production code is not touched. Its requests are: the etcd of the simulator does not heed some of the guards that
//! they carry, as if they had been forgotten.

use std::fmt;
use std::str::FromStr;

use skep_api::key::Key;
use skep_store::{Expect, Guard};

use super::role::Role;

/// A bug that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Controllers do not compare what their decisions stand on.
    NoGuard,
    /// Controllers do not compare their leader key.
    NoFence,
    /// Agents do not claim a task before they start its container.
    NoClaim,
}

impl Plant {
    /// Every bug.
    pub const ALL: [Self; 3] = [Self::NoGuard, Self::NoFence, Self::NoClaim];

    /// Whether etcd does not heed `guard` of a process with this role.
    pub(crate) fn is_deaf_to(self, role: Role, guard: &Guard) -> bool {
        let is_fence = matches!(guard.key, Key::Leader(_));
        let is_modified = matches!(guard.expect, Expect::Modified(_));
        match self {
            Self::NoGuard => role.is_controller() && !is_fence,
            Self::NoFence => role.is_controller() && is_fence && is_modified,
            Self::NoClaim => {
                matches!(role, Role::Agent)
                    && is_modified
                    && matches!(guard.key, Key::Task(_) | Key::NodeSession(_))
            }
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGuard => "guard",
            Self::NoFence => "fence",
            Self::NoClaim => "claim",
        })
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|plant| plant.to_string());
        let found = Self::ALL.into_iter().find(|plant| plant.to_string() == text);
        found.ok_or_else(|| format!("there is no bug {text:?} to plant: {}", names.join(", ")))
    }
}
