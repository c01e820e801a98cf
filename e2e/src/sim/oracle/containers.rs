//! Invariants of containers: what an agent may start and stop, seen where it asks its engine to.

use std::collections::BTreeSet;

use skep_api::key::TaskRef;
use skep_api::task::DesiredState;

use super::invariant::{CLAIMED, NO_EARLY_STOP, NO_START_WITHOUT_SESSION, Violation};
use super::tasks::is_claim;
use super::view::{Step, View};
use super::writers::Client;

/// The tasks that were claimed, and those whose container was started.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    claimed: BTreeSet<TaskRef>,
    started: BTreeSet<TaskRef>,
}

impl Claims {
    /// Takes in what one commit claims: a task that is wanted, by an agent that holds the session of its node.
    pub(crate) fn commit(
        &mut self,
        view: &View,
        who: Option<&Client>,
        steps: &[Step],
    ) -> Result<(), Violation> {
        for step in steps.iter().filter(|step| is_claim(step)) {
            let Some(after) = &step.after else { continue };
            let task = &after.key;
            let session = task.place.node().and_then(|node| view.sessions.get(node));
            let holder = session.map(|session| session.holder.as_str());
            let client = who.map(|who| who.holder.as_str());
            CLAIMED.check(holder.is_some() && holder == client, || {
                format!("{task} was claimed by {client:?}, but the session is held by {holder:?}")
            })?;
            let desired = after.task.desired;
            CLAIMED.check(matches!(desired, DesiredState::Running | DesiredState::Complete), || {
                format!("{task} was claimed while it was wanted {desired:?}")
            })?;
            self.claimed.insert(task.clone());
        }
        Ok(())
    }

    /// Checks that `who` may ask for the start of the container of `task` now.
    pub(crate) fn ask(view: &View, who: &Client, task: &TaskRef) -> Result<(), Violation> {
        let session = who.node.as_ref().and_then(|node| view.sessions.get(node));
        let holder = session.map(|session| session.holder.as_str());
        NO_START_WITHOUT_SESSION.check(holder == Some(who.holder.as_str()), || {
            format!("{} starts the container of {task}, but the session is held by {holder:?}", who.holder)
        })
    }

    /// Checks that the container of `task` may start now: once, after a claim.
    pub(crate) fn start(&mut self, task: &TaskRef) -> Result<(), Violation> {
        CLAIMED.check(self.claimed.contains(task), || {
            format!("the container of {task} started without a claim")
        })?;
        CLAIMED.check(self.started.insert(task.clone()), || {
            format!("the container of {task} started a second time")
        })
    }
}

/// Checks that the running container of `task` may be stopped by its agent now.
pub(crate) fn stop(view: &View, task: &TaskRef) -> Result<(), Violation> {
    let Some(seen) = view.task_at(task) else { return Ok(()) };
    let is_wanted = seen.is_wanted() && seen.is_live();
    NO_EARLY_STOP.check(!is_wanted, || {
        format!(
            "the container of {task} was stopped, which is {} and wanted {:?}",
            seen.state, seen.task.desired
        )
    })
}
