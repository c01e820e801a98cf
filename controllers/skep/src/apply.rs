//! Applying documents: what each would change, in one transaction with its owner's document, its name claim and a
//! record of the change; planned anew when what was read has moved.

pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod diff;
pub(crate) mod merge;
pub(crate) mod object;
pub(crate) mod plan;
pub(crate) mod show;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;

/// The name under which this command line owns the fields that its files name.
pub(crate) const MANAGER: &str = "cli";
