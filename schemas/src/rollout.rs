//! Revision and Rollout: what a service's containers are made of, and which slot may run which.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::TaskTemplate;
use crate::ident::{Name, TaskName, Uid};
use crate::key::ServiceRef;
use crate::service::{Labels, Placement, Port, ServiceSpec, is_default};
use crate::task::Slot;
use crate::template;
use crate::time::Timestamp;
use crate::volume::VolumeSpec;

/// An immutable, numbered snapshot of all that is baked into a service's containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The service's stack and name.
    pub service: ServiceRef,
    /// What goes into a container.
    pub task: TaskTemplate,
    /// The host-mode ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<Port>,
    /// Where its tasks were to run when it was made. In force is what the service's spec says now.
    #[serde(default)]
    pub placement: Placement,
    /// The Volume objects that its mounts name, as they were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<Name, VolumeSpec>,
    /// Those of the service's labels that its templates name, as they were: a change of another label replaces no task.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The version of the service's spec that it was made of: the Change of the same version says who, when and why.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: i64,
}

/// The image that all tasks of a revision run, as the first agent that asked the registry found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The digest, such as `sha256:…`.
    pub digest: String,
}

/// The slots that are being updated now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Batch {
    /// Every slot: a first rollout, or one that is complete.
    All,
    /// These.
    Slots(BTreeSet<Slot>),
}

/// How an update goes. The names are Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Slots are being moved to the target.
    Updating,
    /// Held: by a failure, or by people.
    Paused,
    /// Every slot runs the target.
    Completed,
    /// Slots are being moved back.
    RollbackStarted,
    /// Moving back was held by a failure.
    RollbackPaused,
    /// Every slot runs what it ran before.
    RollbackCompleted,
}

/// What a rollout waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// For what, in one word in PascalCase: one of the constants below.
    pub reason: String,
    /// Since when, by the updater's clock.
    pub since: Timestamp,
    /// Until when, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The task by which an update failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The task; nothing if a slot never got one, or if people aborted the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskName>,
    /// Its slot; if people aborted the update, one that was under way.
    pub slot: Slot,
    /// The revision that failed.
    pub revision: u64,
    /// In one word in PascalCase: `TaskFailed`, `TaskRejected`, `TaskCompleted` (too early), `DeadlineExceeded`, `Aborted`.
    pub reason: String,
    /// In a sentence: the engine's words, the exit code, or what it waited for when its time was up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The last lines that it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What its last healthcheck printed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health: String,
    /// When the updater saw it.
    pub seen: Timestamp,
}

/// Which revision each slot of a service may run, and the state of its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The service's stack and name.
    pub service: ServiceRef,
    /// The version of the service's spec that this speaks of.
    pub observed_version: i64,
    /// The last revision that completed and that some slot has really run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<u64>,
    /// The revision that slots move to.
    pub target: u64,
    /// The etcd revision from which the target's failures count.
    pub since: i64,
    /// The slots that may take the target now. Beside the last batch these are slots that have failed, which do not hold
    /// the next batch back.
    pub batch: Batch,
    /// What the next step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// How many slots were to be updated when it began: what failures are a part of.
    #[serde(default)]
    pub total: u32,
    /// Which batch this is, from 1; 0 before the first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch_number: u32,
    /// The slots in which a task of the target has failed since `since`. Kept here because history is trimmed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<Slot>,
    /// What made it pause or go back; with `failureAction: continue`, what would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Whether new slots take `stable` although it is not paused: `update.partition` holds the target to so many slots.
    #[serde(default, skip_serializing_if = "is_default")]
    pub holds_new: bool,
    /// The `mod_revision` of the Control that was obeyed last: each word is obeyed once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub obeyed: i64,
    /// How it goes.
    pub state: RolloutState,
    /// Why it was paused or rolled back.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// People's word on a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// The service that is meant; the control is ignored for another one of the same name.
    pub uid: Uid,
    /// Whether rollouts of the service are held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// Go on to this revision, although its rollout was paused by a failure; its failures so far are forgiven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<u64>,
    /// Go back from this revision to the stable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<u64>,
    /// Who says so, such as `alice@laptop`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
}

/// What the tasks of one slot say about the revision that it should run. Tasks that are to be removed say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotRevisions {
    /// What its newest task has; nothing if the slot is new.
    pub newest: Option<u64>,
    /// What the tasks have that are wanted RUNNING.
    pub wanted: Vec<u64>,
    /// What a task has that is observed RUNNING.
    pub running: Option<u64>,
}

impl Revision {
    /// What `spec`, the spec of `service`, bakes into its containers.
    pub fn of(service: &ServiceRef, spec: &ServiceSpec) -> Self {
        Self {
            service: service.clone(),
            task: spec.task.clone(),
            host_ports: spec.host_ports(),
            placement: spec.placement.clone(),
            volumes: BTreeMap::new(),
            labels: Labels::new(),
            version: 0,
        }
    }

    /// The same, with what its templates need of `labels`, those of the service.
    #[must_use]
    pub fn with_labels(mut self, labels: &Labels) -> Self {
        self.labels = template::named_labels(&self.task, labels);
        self
    }

    /// Whether both make the same containers, so that no task need be replaced. `placement` is only a record: tasks are
    /// held to the placement of the service's spec as it is (SwarmKit's `IsTaskDirty`), and `version` tells nothing.
    pub fn makes_same_containers(&self, other: &Self) -> bool {
        let Self { service, task, host_ports, placement: _, volumes, labels, version: _ } = self;
        (service, task, host_ports, volumes, labels)
            == (&other.service, &other.task, &other.host_ports, &other.volumes, &other.labels)
    }
}

impl Batch {
    /// Whether `slot` may take the target.
    pub fn has(&self, slot: &Slot) -> bool {
        match self {
            Self::All => true,
            Self::Slots(slots) => slots.contains(slot),
        }
    }
}

impl Rollout {
    /// The revision that `slot` should run: the one rule by which the updater moves slots and replica makes tasks.
    ///
    /// What was once moved to the target stays there, and so does a slot of the batch while the rollout is held. A slot that
    /// is not its turn yet keeps what it runs, but a new task is only ever made of the target or of `stable` (see
    /// [`Rollout::may_make`]).
    pub fn revision_of(&self, slot: &Slot, tasks: &SlotRevisions) -> u64 {
        let fallback = self.stable.unwrap_or(self.target);
        let is_its_turn = self.batch.has(slot);
        let Some(newest) = tasks.newest else {
            return if self.is_held() && !is_its_turn { fallback } else { self.target };
        };
        if is_its_turn || newest == self.target || tasks.wanted.contains(&self.target) {
            return self.target;
        }
        if tasks.wanted.contains(&fallback) { fallback } else { tasks.running.unwrap_or(fallback) }
    }

    /// Whether tasks may be made of `revision`: not of one that was given up on the way.
    pub fn may_make(&self, revision: u64) -> bool {
        revision == self.target || Some(revision) == self.stable
    }

    /// Whether tasks in new slots take `stable`: the rollout is paused, or a partition holds the target to its canaries.
    pub fn is_held(&self) -> bool {
        self.holds_new || self.is_paused()
    }

    /// Whether nothing moves until people say so.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, RolloutState::Paused | RolloutState::RollbackPaused)
    }

    /// Whether people paused it, by `paused` of their Control: it goes on when that is taken back. What a failure paused
    /// goes on by `resume`.
    pub fn is_paused_by_people(&self) -> bool {
        self.is_paused() && self.waits_for(Waiting::PAUSED)
    }

    /// Whether it waits for `reason`, one of the constants of [`Waiting`].
    pub fn waits_for(&self, reason: &str) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.reason == reason)
    }
}

impl Waiting {
    /// Until the slots of the batch run the target; `until` is the deadline.
    pub const BATCH: &'static str = "Batch";
    /// Until `delay` after the batch is over.
    pub const DELAY: &'static str = "Delay";
    /// Until every slot has been watched for `monitor`.
    pub const MONITOR: &'static str = "Monitor";
    /// Until `partition` is raised or left out.
    pub const PARTITION: &'static str = "Partition";
    /// Until people take their `paused` back.
    pub const PAUSED: &'static str = "Paused";
    /// Until a Control or a Volume that does not decode is mended.
    pub const INVALID: &'static str = "Invalid";
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot::Number(1);

    fn rollout(batch: &[u32]) -> Rollout {
        Rollout {
            service: ServiceRef::new("shop".parse().unwrap(), "web".parse().unwrap()),
            observed_version: 1,
            stable: Some(1),
            target: 3,
            since: 1,
            batch: Batch::Slots(batch.iter().copied().map(Slot::Number).collect()),
            waiting: None,
            total: 3,
            batch_number: 1,
            failed: BTreeSet::new(),
            failure: None,
            holds_new: false,
            obeyed: 0,
            state: RolloutState::Updating,
            message: String::new(),
        }
    }

    fn slot(newest: u64, wanted: &[u64], running: Option<u64>) -> SlotRevisions {
        SlotRevisions { newest: Some(newest), wanted: wanted.to_vec(), running }
    }

    #[test]
    fn a_slot_moves_when_its_turn_comes_and_then_stays() {
        assert_eq!(rollout(&[1]).revision_of(&SLOT, &slot(1, &[1], Some(1))), 3);
        assert_eq!(rollout(&[2]).revision_of(&SLOT, &slot(1, &[1], Some(1))), 1);
        assert_eq!(rollout(&[2]).revision_of(&SLOT, &slot(3, &[1], Some(1))), 3, "it was its turn before");
        assert_eq!(rollout(&[2]).revision_of(&SLOT, &slot(4, &[3], None)), 3);
    }

    #[test]
    fn a_slot_on_a_revision_that_was_given_up_keeps_it_only_while_it_runs() {
        assert_eq!(rollout(&[2]).revision_of(&SLOT, &slot(2, &[2], Some(2))), 2);
        assert_eq!(rollout(&[2]).revision_of(&SLOT, &slot(2, &[2], None)), 1);
        assert!(!rollout(&[]).may_make(2) && rollout(&[]).may_make(1) && rollout(&[]).may_make(3));
    }

    #[test]
    fn what_a_new_slot_takes_is_also_what_it_keeps() {
        // A slot that was removed may still be in the batch when it comes again: the task that was made for it was found
        // to be of the wrong revision at once, and made and withdrawn for ever.
        let held = [(false, RolloutState::Paused), (true, RolloutState::Updating)];
        for ((holds_new, state), batch) in held.into_iter().flat_map(|held| [(held, 1), (held, 2)]) {
            let rollout = Rollout { holds_new, state, ..rollout(&[batch]) };
            let taken = rollout.revision_of(&SLOT, &SlotRevisions::default());
            assert_eq!(rollout.revision_of(&SLOT, &slot(taken, &[], None)), taken, "{state:?}");
        }
    }

    #[test]
    fn a_new_slot_takes_the_target_unless_the_rollout_is_held() {
        let new = SlotRevisions::default();
        let mut rollout = rollout(&[2]);
        assert_eq!(rollout.revision_of(&SLOT, &new), 3);
        rollout.state = RolloutState::Paused;
        assert_eq!(rollout.revision_of(&SLOT, &new), 1);
        rollout.stable = None;
        assert_eq!(rollout.revision_of(&SLOT, &new), 3);
    }

    #[test]
    fn a_new_slot_takes_the_stable_revision_while_a_partition_holds_the_target() {
        let mut rollout = rollout(&[1]);
        rollout.holds_new = true;
        assert_eq!(rollout.revision_of(&Slot::Number(9), &SlotRevisions::default()), 1);
        assert_eq!(rollout.revision_of(&SLOT, &slot(1, &[1], Some(1))), 3, "a canary moves");
    }

    #[test]
    fn a_pause_of_people_is_told_from_one_by_a_failure() {
        let mut rollout = rollout(&[1]);
        rollout.state = RolloutState::Paused;
        assert!(rollout.is_paused() && !rollout.is_paused_by_people());
        rollout.waiting =
            Some(Waiting { reason: Waiting::PAUSED.to_owned(), since: Timestamp::default(), until: None });
        assert!(rollout.is_paused_by_people());
    }
}
