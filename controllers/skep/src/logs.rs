//! The logs of many tasks on many nodes as one.

mod follow;
mod printer;
mod read;

pub(crate) use follow::follow;
pub(crate) use printer::{Look, Printer};
pub(crate) use read::read;

use std::collections::BTreeMap;

use crate::client::ClientError;
use crate::tasks::Found;

/// What could not be read, by node and reason: the tasks.
#[derive(Debug, Default)]
pub(crate) struct Missing(BTreeMap<(String, String), Vec<String>>);

impl Missing {
    /// Notes that the log of `found` could not be read. A container that is gone has taken its log with it: that is no fault.
    pub(crate) fn note(&mut self, found: &Found, error: &ClientError) {
        let words = match error {
            ClientError::NotFound(_) => return,
            ClientError::Away(reason) => format!("is not available: {reason}"),
            ClientError::Refused(words) => format!("does not give it: {words}"),
        };
        self.0.entry((found.node.clone(), words)).or_default().push(found.task.name.to_string());
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A line for each node.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|((node, words), tasks)| format!("node {node} ({}) {words}", tasks.join(", ")))
    }
}
