//! What a service waits for before its first start. Swarm ignores `depends_on` (moby#31333).

use std::collections::BTreeSet;

use skep_api::condition::{self, Truth};
use skep_api::key::{Key, ServiceRef};
use skep_api::service::{DependencyCondition, Mode, ServiceSpec};
use skep_api::task::{Slot, TaskState};
use skep_api::time::Timestamp;
use skep_runtime::controller::Moment;
use skep_runtime::plan::{Expect, Guard, Plan};
use skep_runtime::tasks::Run;

use crate::change::Change;
use crate::slots::{self, SlotView};
use crate::standing::{self, Standing, is_done};
use crate::world::{World, target};

/// The condition that tells of it.
pub(crate) const CONDITION: &str = "DependenciesMet";

/// Whether a service may start for the first time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Why not, in one word and in a sentence.
    pub(crate) closed: Option<(&'static str, String)>,
    /// The services on which the first start stands: they are there. What they were a moment ago is not compared, because
    /// a dependency that stops later stops nobody.
    pub(crate) guards: Vec<Guard>,
    /// When the first time-out of a dependency is over.
    pub(crate) until: Option<Timestamp>,
}

impl Gate {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }
}

/// The gate of the service `name`: it is open for ever once the service has had a task, or a revision that completed.
pub(crate) fn gate(world: &World, name: &ServiceRef, at: Moment, plan: &mut Plan<Change>) -> Gate {
    let mut gate = Gate::default();
    let (Some(uid), Some(service)) = (world.services.uid(name), world.services.get(name)) else {
        return gate;
    };
    let is_stable = world.rollouts.get(uid).is_some_and(|rollout| rollout.stable.is_some());
    if service.spec.depends_on.is_empty() || is_stable || world.tasks.has(uid) {
        return gate;
    }
    let since = closed_since(world, name, service.stamp.created).unwrap_or(at.now);
    let mut unmet = Vec::new();
    let mut has_timed_out = false;
    for dependency in &service.spec.depends_on {
        let wanted = target(name, dependency);
        match judge(world, &wanted, dependency.condition, at.now) {
            Ok(guard) => gate.guards.push(guard),
            Err((reason, message)) => {
                let until = dependency.timeout.map(|timeout| since.after(timeout));
                has_timed_out |= until.is_some_and(|until| until <= at.now);
                gate.until = [gate.until, until.filter(|until| *until > at.now)].into_iter().flatten().min();
                unmet.push((reason, message));
            }
        }
    }
    if let Some(until) = gate.until {
        plan.look_again_at(until);
    }
    if let Some((reason, _)) = unmet.first() {
        let reason = if has_timed_out { "DependencyTimeout" } else { *reason };
        let messages: Vec<&str> = unmet.iter().map(|(_, message)| message.as_str()).collect();
        let mut message = messages.join("; ");
        if let Some(cycle) = cycle(world, name) {
            message.push_str("; they wait for each other: ");
            message.push_str(&cycle);
        }
        gate.closed = Some((reason, message));
    }
    gate
}

/// Since when the service waits, as its summary says.
fn closed_since(world: &World, name: &ServiceRef, created: i64) -> Option<Timestamp> {
    let status = world.statuses.get(name).filter(|status| status.observed_version >= created)?;
    let condition = condition::find(&status.conditions, CONDITION)?;
    (condition.status == Truth::False).then_some(condition.last_transition_time)
}

/// Whether the service `name` meets `condition`: it is there, or why not.
fn judge(
    world: &World,
    name: &ServiceRef,
    condition: DependencyCondition,
    now: Timestamp,
) -> Result<Guard, (&'static str, String)> {
    let missing = |why| ("DependencyMissing", format!("{name} {why}"));
    let uid = world.services.uid(name).ok_or_else(|| missing("does not exist"))?;
    let service = world.services.get(name).ok_or_else(|| missing("has a spec that is not accepted"))?;
    let slots = slots::of(&world.tasks, uid, name);
    let target = world.rollouts.get(uid).map(|rollout| rollout.target);
    let standings = standing::of(&world.tasks, &service.spec, target, &slots);
    let wanted: Vec<&Slot> = standings
        .iter()
        .filter(|(_, standing)| **standing == Standing::Wanted)
        .map(|(slot, _)| slot)
        .collect();
    let count = |is_so: &dyn Fn(&SlotView<'_>) -> bool| {
        wanted.iter().filter(|slot| slots.get(**slot).is_some_and(is_so)).count()
    };
    let told =
        |reason, done: usize, what: &str| (reason, format!("{done} of {} of {name} {what}", wanted.len()));
    let of_all = |reason, done: usize, what: &str| {
        if done > 0 && done == wanted.len() { Ok(()) } else { Err(told(reason, done, what)) }
    };
    match condition {
        DependencyCondition::Started => {
            let has_started = slots.values().any(|slot| slot.kept().any(has_started));
            has_started.then_some(()).ok_or_else(|| told("DependencyNotStarted", 0, "have started"))
        }
        DependencyCondition::Healthy => {
            of_all("DependencyNotHealthy", count(&|slot| slot.serving().is_some()), "run and are healthy")
        }
        DependencyCondition::Completed => {
            let done = count(&|slot| has_completed(slot, &service.spec, target, now));
            of_all("DependencyNotCompleted", done, "have completed")
        }
    }?;
    Ok(Guard { key: Key::Service(name.clone()), expect: Expect::Created(service.stamp.created) })
}

fn has_started(run: &Run<'_>) -> bool {
    let has_run = run.status.is_some_and(|status| status.started.is_some());
    matches!(run.state, TaskState::Starting | TaskState::Running | TaskState::Complete) || has_run
}

/// A slot of a job is done; one of another service has completed if its task is over, without an error, and not followed.
fn has_completed(slot: &SlotView<'_>, spec: &ServiceSpec, target: Option<u64>, now: Timestamp) -> bool {
    match spec.mode {
        Mode::ReplicatedJob | Mode::GlobalJob => is_done(slot, target),
        Mode::Replicated | Mode::Global => slot.current().is_some_and(|run| {
            let is_over = !crate::policy::may_restart(run, &spec.restart, now);
            run.state == TaskState::Complete && is_over
        }),
    }
}

/// The services that wait for each other, from `name` back to `name`.
fn cycle(world: &World, name: &ServiceRef) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![name.clone()]];
    while let Some(path) = paths.pop() {
        let Some(last) = path.last() else { continue };
        let has_begun = world.services.uid(last).is_some_and(|uid| world.tasks.has(uid));
        let Some(service) = world.services.get(last).filter(|_| !has_begun) else { continue };
        for dependency in &service.spec.depends_on {
            let next = target(last, dependency);
            if next == *name {
                let names: Vec<String> = path.iter().chain([name]).map(ServiceRef::to_string).collect();
                return Some(names.join(" → "));
            }
            if seen.insert(next.clone()) {
                paths.push([path.as_slice(), &[next]].concat());
            }
        }
    }
    None
}
