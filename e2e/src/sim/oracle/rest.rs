//! What the cluster must have become once faults and edits have ended.

use std::collections::{BTreeMap, BTreeSet};

use skep_api::defaults::TASK_HISTORY_LIMIT;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Place, ServiceRef, TaskRef};
use skep_api::node::{Availability, NodeSpec, NodeState};
use skep_api::object::Service;
use skep_api::rollout::RolloutState;
use skep_api::service::Mode;
use skep_api::task::{DesiredState, Slot, TaskState};
use skep_runtime::table::Versioned;

use super::fit::misfit;
use super::invariant::{
    CONSTRAINED, CONVERGES, DRAINED, NO_ORPHANS, POISON_ISOLATED, QUIET, ROLLBACK_RESTORES, Violation,
};
use super::placement::{fits, live_on};
use super::view::{Seen, View};
use super::{even, gone};

/// A container of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whose it is.
    pub(crate) task: TaskRef,
    /// The identity of the service, as its label says.
    pub(crate) service: String,
    /// Whether it runs.
    pub(crate) runs: bool,
}

/// The cluster when nothing more should happen.
pub(crate) struct Rest<'a> {
    /// etcd.
    pub(crate) view: &'a View,
    /// The containers of each machine that is still there.
    pub(crate) machines: &'a BTreeMap<NodeId, Vec<Found>>,
    /// Whether nothing ever happened to the cluster: everything is where it was placed at once.
    pub(crate) is_fresh: bool,
}

impl Rest<'_> {
    /// Checks all of it.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        let tasks: Vec<Seen> = self.view.tasks().collect();
        let mut known = BTreeSet::new();
        for service in self.view.services.invalid_keys() {
            known.extend(self.view.uid_of(service));
            self.check_invalid(service)?;
        }
        for (reference, service) in self.view.services.iter() {
            let Some(uid) = self.view.uid_of(reference) else { continue };
            self.check_service(reference, service, &uid, &tasks)?;
            known.insert(uid);
        }
        gone::check(self, &known, &tasks)?;
        even::check(self, &tasks)?;
        self.check_history(&tasks)?;
        self.machines.iter().try_for_each(|(node, found)| self.check_machine(node, found))
    }

    /// Whether nobody can say any more what became of the tasks there.
    pub(super) fn is_lost(&self, place: &Place) -> bool {
        place.node().is_some_and(|node| !self.machines.contains_key(node))
    }

    fn check_invalid(&self, service: &ServiceRef) -> Result<(), Violation> {
        let status = self.view.service_statuses.get(service);
        let is_told = status.is_some_and(|status| {
            status.conditions.iter().any(|condition| condition.status != skep_api::condition::Truth::True)
        });
        POISON_ISOLATED.check(is_told, || format!("nothing says that {service} does not decode: {status:?}"))
    }

    fn check_service(
        &self,
        reference: &ServiceRef,
        service: &Versioned<Service>,
        uid: &Uid,
        tasks: &[Seen],
    ) -> Result<(), Violation> {
        let own = self.own(uid, tasks);
        let alive: Vec<&Seen> = own.iter().copied().filter(|task| task.is_live()).collect();
        let pending: Vec<&Seen> = of(&alive, |task| task.key.place == Place::Pending);
        let running: Vec<&Seen> = of(&alive, |task| is_running(task) && !self.is_lost(&task.key.place));
        // While one slot waits for a node, another may wait for its turn to be updated.
        let ready: Vec<&Seen> = of(&alive, |task| {
            !pending.is_empty() && task.task.desired == DesiredState::Ready && task.state == TaskState::Ready
        });
        for task in &pending {
            self.check_pending(task)?;
        }
        self.check_standing(service, &running)?;
        let wanted = self.wanted(service, uid, &own);
        let slots: BTreeSet<_> = alive.iter().map(|task| &task.task.slot).collect();
        let served: BTreeSet<_> = running.iter().map(|task| &task.task.slot).collect();
        let is_job = matches!(service.spec.mode, Mode::ReplicatedJob | Mode::GlobalJob);
        CONVERGES.check(!is_job || wanted == 0 || !pending.is_empty(), || {
            format!("the job {reference} has not come to its end: {wanted} are left")
        })?;
        let most = service.spec.job.as_ref().and_then(|job| job.max_concurrent).filter(|most| *most > 0);
        let at_once = most.map_or(wanted, |most| wanted.min(most as usize));
        let is_whole = slots.len() == at_once && (served.len() == wanted || !pending.is_empty());
        let is_settled = alive.len() == running.len() + pending.len() + ready.len()
            && (served.len() == running.len() || !pending.is_empty());
        CONVERGES.check(is_whole && is_settled, || {
            let word =
                |task: &&Seen| format!("{} ({}, wanted {:?})", task.key, task.state, task.task.desired);
            format!("{reference} wants {wanted} and has {:?}", alive.iter().map(word).collect::<Vec<_>>())
        })?;
        if pending.is_empty() {
            self.check_revision(reference, service, uid, &running)?;
        }
        // Whether a node that is paused counts is a matter of words.
        let is_paused = |(_, node): (&NodeId, &Versioned<NodeSpec>)| node.availability == Availability::Pause;
        let is_global = matches!(service.spec.mode, Mode::Global | Mode::GlobalJob);
        let wanted = if is_global && self.view.nodes.iter().any(is_paused) { None } else { Some(at_once) };
        self.check_status(reference, service, uid, &running, wanted)
    }

    /// The tasks of the service `uid` that count.
    pub(super) fn own<'t>(&self, uid: &Uid, tasks: &'t [Seen]) -> Vec<&'t Seen> {
        let is_known = |task: &&Seen| task.is_wanted() || !self.is_lost(&task.key.place);
        let own = tasks.iter().filter(|task| task.task.uid == *uid).filter(is_known);
        own.filter(|task| !self.is_frozen(task)).collect()
    }

    /// Whether it belongs to a node that is paused, and waits for it or was lost with it: it is left as it is.
    pub(super) fn is_frozen(&self, task: &Seen) -> bool {
        let Slot::Node(own) = &task.task.slot else { return false };
        let is_paused = self.view.nodes.get(own).is_some_and(|node| node.availability == Availability::Pause);
        is_paused && (task.key.place == Place::Pending || self.is_lost(&task.key.place))
    }

    /// How many slots should have a task that runs: of a job, none, for it has come to its end.
    fn wanted(&self, service: &Service, uid: &Uid, own: &[&Seen]) -> usize {
        let target = self.view.rollouts.get(uid).map(|rollout| rollout.target);
        let done = |slot: &Slot| {
            let mut tasks =
                own.iter().filter(|task| task.task.slot == *slot && Some(task.task.revision) == target);
            tasks.any(|task| task.state == TaskState::Complete)
        };
        match service.spec.mode {
            Mode::Replicated => usize::try_from(service.spec.replicas).unwrap_or(usize::MAX),
            Mode::ReplicatedJob => {
                let completions = service.spec.job.as_ref().map_or(1, |job| job.completions);
                (0..completions).filter(|number| !done(&Slot::Number(*number))).count()
            }
            Mode::Global => self.hosts(service, own).count(),
            Mode::GlobalJob => {
                self.hosts(service, own).filter(|node| !done(&Slot::Node((*node).clone()))).count()
            }
        }
    }

    /// The nodes on which a global service has a task: it stays on a paused one, and does not come to it.
    fn hosts<'a>(&'a self, service: &'a Service, own: &'a [&'a Seen]) -> impl Iterator<Item = &'a NodeId> {
        self.machines.keys().filter(move |node| {
            let Some(spec) = self.view.nodes.get(node) else { return false };
            let fits = misfit(self.view, &service.spec.placement, node).is_none();
            let has_task = || {
                own.iter()
                    .any(|task| task.is_live() && task.is_wanted() && task.key.place.node() == Some(node))
            };
            match spec.availability {
                Availability::Active => fits,
                Availability::Pause => has_task(),
                Availability::Drain => false,
            }
        })
    }

    /// A task runs on a drained node, or on one that does not meet what its service asks, only if no other one has room
    /// for it.
    fn check_standing(&self, service: &Service, running: &[&Seen]) -> Result<(), Violation> {
        for task in running {
            let Some(id) = task.key.place.node() else { continue };
            let Some(node) = self.view.nodes.get(id) else { continue };
            let misfit = misfit(self.view, &service.spec.placement, id);
            let is_drained = node.availability == Availability::Drain;
            if is_drained || misfit.is_some() {
                let fitting = self.machines.keys().find(|node| self.fits(task, node));
                let law = if is_drained { DRAINED } else { CONSTRAINED };
                law.check(fitting.is_none(), || {
                    let why = misfit.unwrap_or_else(|| "it is drained".to_owned());
                    format!("{} stays on its node although {why}, but fits on {fitting:?}", task.key)
                })?;
            }
        }
        Ok(())
    }

    /// A task without a node says why, and no node fits indeed.
    fn check_pending(&self, task: &Seen) -> Result<(), Violation> {
        let says_why = task.status.as_ref().is_some_and(|status| !status.obstacles.is_empty());
        CONVERGES.check(says_why, || format!("{} is pending, and nothing says why", task.key))?;
        let fitting = self.machines.keys().find(|node| self.fits(task, node));
        CONVERGES.check(fitting.is_none(), || format!("{} is pending, but fits on {fitting:?}", task.key))
    }

    fn fits(&self, task: &Seen, node: &NodeId) -> bool {
        fits(self.view, task, node)
    }

    fn check_revision(
        &self,
        reference: &ServiceRef,
        service: &Versioned<Service>,
        uid: &Uid,
        running: &[&Seen],
    ) -> Result<(), Violation> {
        let rollout = self.view.rollouts.get(uid);
        let Some(rollout) = rollout else {
            return Err(CONVERGES.broken(format!("{reference} has no rollout")));
        };
        // An update that failed while faults lasted stays where it is, and says why.
        let is_held = rollout.failure.is_some()
            && matches!(
                rollout.state,
                RolloutState::Paused | RolloutState::RollbackPaused | RolloutState::RollbackCompleted
            );
        CONVERGES.check(rollout.state == RolloutState::Completed || is_held, || {
            format!("the rollout of {reference} does not end: {:?}", rollout.value)
        })?;
        let latest = self.view.revisions.iter().filter(|((of, _), _)| of == uid).last();
        let is_current = latest.is_some_and(|(_, revision)| revision.task == service.spec.task);
        CONVERGES.check(is_current, || {
            format!("the last revision of {reference} is not what is wanted: {latest:?}")
        })?;
        let is_paused = matches!(rollout.state, RolloutState::Paused | RolloutState::RollbackPaused);
        // What a global service has on a node that is paused is left as it is.
        let is_left = |task: &Seen| {
            let Slot::Node(own) = &task.task.slot else { return false };
            self.view.nodes.get(own).is_some_and(|node| node.availability == Availability::Pause)
        };
        let old = running.iter().find(|task| task.task.revision != rollout.target && !is_left(task));
        let law =
            if rollout.state == RolloutState::RollbackCompleted { ROLLBACK_RESTORES } else { CONVERGES };
        law.check(old.is_none() || is_paused, || format!("{old:?} does not run revision {}", rollout.target))
    }

    /// What people are told is a recount.
    fn check_status(
        &self,
        reference: &ServiceRef,
        service: &Versioned<Service>,
        uid: &Uid,
        running: &[&Seen],
        wanted: Option<usize>,
    ) -> Result<(), Violation> {
        let status = self.view.service_statuses.get(reference);
        let Some(status) = status else { return Err(CONVERGES.broken(format!("{reference} has no status"))) };
        let target = self.view.rollouts.get(uid).map(|rollout| rollout.target);
        let updated = running.iter().filter(|task| Some(task.task.revision) == target).count();
        let told = (status.observed_version, status.desired, status.running, status.updated);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let slots: BTreeSet<_> = running.iter().map(|task| &task.task.slot).collect();
        let desired = wanted.map_or(status.desired, count);
        let counted = (service.stamp.modified, desired, count(slots.len()), count(updated));
        CONVERGES.check(told == counted, || {
            format!("the status of {reference} says (version, desired, running, updated) {told:?}, not {counted:?}")
        })
    }

    /// A node that was removed is empty. Any other is known to live; exactly one container runs for each task that runs, and none is kept that no task
    /// explains.
    fn check_machine(&self, node: &NodeId, found: &[Found]) -> Result<(), Violation> {
        if !self.view.nodes.has(node) {
            return NO_ORPHANS
                .check(found.is_empty(), || format!("{found:?} are left on {node}, which was removed"));
        }
        let is_ready =
            self.view.node_statuses.get(node).is_some_and(|status| status.state == NodeState::Ready);
        let is_known = self.view.sessions.get(node).is_some() && self.view.reports.get(node).is_some();
        CONVERGES.check(is_known && is_ready, || format!("{node} is not ready"))?;
        let running: BTreeSet<&TaskRef> =
            found.iter().filter(|held| held.runs).map(|held| &held.task).collect();
        let count = found.iter().filter(|held| held.runs).count();
        NO_ORPHANS.check(running.len() == count, || {
            format!("two containers of one task run on {node}: {found:?}")
        })?;
        for Found { task, runs, .. } in found {
            let seen = self.view.task_at(task);
            let state = seen.as_ref().map(|seen| seen.state);
            let is_explained = if *runs { state == Some(TaskState::Running) } else { seen.is_some() };
            NO_ORPHANS.check(is_explained, || {
                format!("a container of {task} is on {node} (running: {runs}), but the task is {state:?}")
            })?;
        }
        for task in live_on(self.view, node).iter().filter(|task| task.state == TaskState::Running) {
            NO_ORPHANS.check(running.contains(&task.key), || {
                format!("{} runs, but its container does not", task.key)
            })?;
        }
        Ok(())
    }

    /// A slot keeps so many ended tasks, or as many as its service may start, and what it ended with.
    fn check_history(&self, tasks: &[Seen]) -> Result<(), Violation> {
        let mut ended = BTreeMap::new();
        for task in tasks.iter().filter(|task| !task.is_live()) {
            let count = ended.entry(task.slot()).or_insert(0_usize);
            *count += 1;
            // Nothing is deleted that a service owns whose spec does not decode.
            let Some(service) = self.view.services.get(&task.task.service) else { continue };
            let attempts = service.spec.restart.max_attempts as usize;
            QUIET.check(*count <= TASK_HISTORY_LIMIT.max(attempts + 1) + 2, || {
                format!("{} tasks of slot {} of {} have ended", count, task.task.slot, task.task.service)
            })?;
        }
        Ok(())
    }
}

/// Those of `tasks` that are wanted and for which `holds`.
fn of<'a>(tasks: &[&'a Seen], holds: impl Fn(&Seen) -> bool) -> Vec<&'a Seen> {
    tasks.iter().copied().filter(|task| task.is_wanted() && holds(task)).collect()
}

/// Whether it runs, and should.
pub(super) fn is_running(task: &Seen) -> bool {
    task.state == TaskState::Running
        && matches!(task.task.desired, DesiredState::Running | DesiredState::Complete)
}
