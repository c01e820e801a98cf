//! The oracle: sees every commit before anybody else does, and everything that an agent asks of its engine, and says
//! which invariant is broken.

mod affinity;
mod constraint;
mod containers;
pub(crate) mod ending;
mod even;
mod fit;
mod gone;
pub(crate) mod invariant;
mod losses;
mod placement;
pub(crate) mod rest;
mod tasks;
#[cfg(test)]
mod tests;
mod updates;
pub(crate) mod view;
pub(crate) mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_api::eviction::EvictionReason;
use skep_api::ident::{NodeId, Uid};
use skep_api::key::{Key, TaskRef};
use skep_api::node::NodeState;
use skep_api::object::Object;
use skep_api::service::Order;
use skep_api::task::Slot;
use skep_store::fake::{Commit, FakeEtcd};
use tokio::time::{Duration, Instant};

use self::affinity::Recent;
use self::containers::Claims;
use self::ending::Ending;
use self::invariant::{Invariant, POISON_ISOLATED, Violation};
use self::losses::Losses;
use self::rest::{Found, Rest};
use self::view::{Step, View, Written};
use self::writers::{Client, Clients};
use super::trace::Trace;

/// What watches over one run. Clones are the same oracle.
#[derive(Clone)]
pub(crate) struct Oracle {
    state: Arc<Mutex<State>>,
    epoch: Instant,
}

#[derive(Default)]
struct State {
    view: View,
    clients: Clients,
    claims: Claims,
    losses: Losses,
    recent: Recent,
    /// Whether nothing ever happens to the cluster.
    is_fresh: bool,
    /// Services that were ever updated start-first, or rebalanced, which is always so: two tasks of a slot may run.
    start_first: BTreeSet<Uid>,
    trace: Trace,
    /// The last revision at which something was written that is not for people alone.
    busy_at: i64,
    violation: Option<Violation>,
}

impl Oracle {
    /// An oracle that watches `etcd`, and keeps so many of the last lines of its history.
    pub(crate) fn of(etcd: &FakeEtcd, lines: usize) -> Self {
        let state = State { trace: Trace::keeping(lines), ..State::default() };
        let oracle = Self { state: Arc::new(Mutex::new(state)), epoch: Instant::now() };
        let observer = oracle.clone();
        etcd.on_commit(move |commit| observer.commit(commit));
        oracle
    }

    /// Nothing will ever happen to the cluster but that it is given specs once.
    pub(crate) fn set_fresh(&self) {
        self.lock().is_fresh = true;
    }

    /// The machine of `node` is lost for ever.
    pub(crate) fn machine_lost(&self, node: &NodeId) {
        let mut state = self.lock();
        let State { view, losses, .. } = &mut *state;
        losses.lose(view, node);
    }

    /// The slots that lost machines served and nothing does since, although one of these has room.
    pub(crate) fn unserved(&self, machines: &BTreeMap<NodeId, Vec<Found>>) -> BTreeMap<(Uid, Slot), TaskRef> {
        let state = self.lock();
        let alive: Vec<&NodeId> = machines.keys().collect();
        state.losses.unserved(&state.view, &alive)
    }

    /// Names the cluster, once it has an id.
    pub(crate) fn set_cluster(&self, id: &str) {
        id.clone_into(&mut self.lock().view.cluster);
    }

    /// Makes a process known by the name of its wire.
    pub(crate) fn introduce(&self, wire: &str, client: Client) {
        self.lock().clients.insert(wire.to_owned(), client);
    }

    /// Lets a process be unknown again.
    pub(crate) fn dismiss(&self, wire: &str) {
        self.lock().clients.remove(wire);
    }

    /// The time since the start of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Writes something down that is no commit.
    pub(crate) fn remark(&self, text: String) {
        let at = self.elapsed();
        self.lock().trace.remark(at, text);
    }

    /// An agent asks its engine to start the container of `task`.
    pub(crate) fn container_is_to_start(&self, wire: &str, task: &TaskRef) {
        self.judge(|state| match state.clients.get(wire) {
            Some(who) => Claims::ask(&state.view, who, task),
            None => Ok(()),
        });
    }

    /// The container of `task` has started.
    pub(crate) fn container_started(&self, task: &TaskRef) {
        self.remark(format!("the container of {task} starts"));
        self.judge(|state| state.claims.start(task));
    }

    /// The container of `task` has ended, through its agent or otherwise.
    pub(crate) fn container_ended(&self, task: &TaskRef, is_agents: bool) {
        self.remark(format!("the container of {task} {}", if is_agents { "is stopped" } else { "ends" }));
        self.judge(|state| if is_agents { containers::stop(&state.view, task) } else { Ok(()) });
    }

    /// Says that an invariant is broken; the first one counts.
    pub(crate) fn accuse(&self, invariant: Invariant, detail: String) {
        self.judge(|_| Err(invariant.broken(detail)));
    }

    /// The first violation.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.lock().violation.clone()
    }

    /// Whether the cluster is what it should become, given the containers of the machines that are left.
    pub(crate) fn check_rest(&self, machines: &BTreeMap<NodeId, Vec<Found>>) -> Result<(), Violation> {
        let state = self.lock();
        Rest { view: &state.view, machines, is_fresh: state.is_fresh }.check()
    }

    /// Whether each of these machines is a node that is ready.
    pub(crate) fn are_ready(&self, machines: &BTreeMap<NodeId, Vec<Found>>) -> bool {
        let state = self.lock();
        let status = |node| state.view.node_statuses.get(node);
        machines.keys().all(|node| status(node).is_some_and(|status| status.state == NodeState::Ready))
    }

    /// Whether there is a service whose tasks are moved to nodes that suit them better.
    pub(crate) fn is_rebalanced(&self) -> bool {
        let view = &self.lock().view;
        view.services.iter().any(|(_, service)| even::is_rebalanced(view, &service.spec.placement))
    }

    /// What the cluster has become, given the containers of the machines that are left.
    pub(crate) fn ending(&self, machines: &BTreeMap<NodeId, Vec<Found>>) -> Ending {
        let state = self.lock();
        Ending::of(&Rest { view: &state.view, machines, is_fresh: state.is_fresh })
    }

    /// The last revision at which something was written that is not for people alone.
    pub(crate) fn busy_at(&self) -> i64 {
        self.lock().busy_at
    }

    /// The hash of the history, and the number of its commits.
    pub(crate) fn trace(&self) -> (u64, u64) {
        let state = self.lock();
        (state.trace.hash(), state.trace.commits())
    }

    /// The last lines of the history.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lock().trace.last_lines()
    }

    /// How many lines of the history are kept.
    pub(crate) fn lines(&self) -> usize {
        self.lock().trace.limit()
    }

    fn commit(&self, commit: &Commit<'_>) {
        let at = self.elapsed();
        let mut state = self.lock();
        state.trace.commit(at, commit);
        let (written, steps) = state.view.apply(commit);
        if written.iter().any(|write| !matches!(write.key, Key::Event(_) | Key::Change(_))) {
            state.busy_at = commit.revision;
        }
        state.learn(at, &written, &steps);
        drop(state);
        self.judge(|state| state.check(commit.client, &written, &steps));
    }

    fn judge(&self, verdict: impl FnOnce(&mut State) -> Result<(), Violation>) {
        let mut state = self.lock();
        if let Err(violation) = verdict(&mut state) {
            state.violation.get_or_insert(violation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, at: Duration, written: &[Written], steps: &[Step]) {
        self.recent.learn(at, written, steps);
        self.losses.learn(steps);
        for write in written {
            if let Key::Eviction(task) = &write.key {
                let is_move = self
                    .view
                    .evictions
                    .get(task)
                    .is_some_and(|held| held.reason == EvictionReason::Rebalance);
                let moved = self.view.task_at(task).filter(|_| is_move);
                self.start_first.extend(moved.map(|moved| moved.task.uid.clone()));
            }
            let Key::Service(reference) = &write.key else { continue };
            let value = write.entry.as_ref().and_then(|entry| entry.value.as_ref().ok());
            if let Some(Object::Service(service)) = value
                && [&service.spec.update, &service.spec.rollback]
                    .iter()
                    .any(|policy| policy.order == Order::StartFirst)
            {
                self.start_first.extend(self.view.uid_of(reference));
            }
        }
    }

    fn check(&mut self, client: &str, written: &[Written], steps: &[Step]) -> Result<(), Violation> {
        writers::check(&self.view, &self.clients, client, written)?;
        tasks::check(&self.view, steps, &self.start_first)?;
        placement::check(&self.view, steps, &self.recent)?;
        updates::check(&self.view, written, steps)?;
        self.check_poison(steps)?;
        self.claims.commit(&self.view, self.clients.get(client), steps)
    }

    /// While a service does not decode, none of its tasks is created, stopped or forgotten.
    fn check_poison(&self, steps: &[Step]) -> Result<(), Violation> {
        for step in steps {
            let Some(task) = step.after.as_ref().or(step.before.as_ref()) else { continue };
            let service = &task.task.service;
            let is_owner = self.view.uid_of(service).is_some_and(|uid| uid == task.task.uid);
            let was_wanted = step.before.as_ref().is_some_and(view::Seen::is_wanted);
            let is_wanted = step.after.as_ref().is_some_and(view::Seen::is_wanted);
            let is_touched = was_wanted != is_wanted || step.after.is_none();
            let is_poisoned = is_owner && self.view.services.invalid(service).is_some();
            POISON_ISOLATED.check(!is_poisoned || !is_touched, || {
                format!("{} was touched, but {service} does not decode", task.key)
            })?;
        }
        Ok(())
    }
}
