//! What the processes of one run do.

use std::fmt;

use skep_api::ident::Name;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The replica controller.
    Replica,
    /// The updater.
    Updater,
    /// The scheduler.
    Scheduler,
    /// The node controller.
    Node,
    /// The agent of a machine.
    Agent,
    /// A person.
    User,
}

impl Role {
    /// The controllers.
    pub(crate) const CONTROLLERS: [Self; 4] = [Self::Replica, Self::Updater, Self::Scheduler, Self::Node];

    /// Whether it leads or stands by.
    pub(crate) fn is_controller(self) -> bool {
        Self::CONTROLLERS.contains(&self)
    }

    /// The name of the controller, if it is one.
    pub(crate) fn controller(self) -> Option<Name> {
        if self.is_controller() { self.to_string().parse().ok() } else { None }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replica => "replica",
            Self::Updater => "updater",
            Self::Scheduler => "scheduler",
            Self::Node => "node",
            Self::Agent => "agent",
            Self::User => "user",
        })
    }
}
