//! What happens to the processes, to etcd and to the machines while the storm lasts.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;
use super::oracle::invariant::{NO_PANIC, POISON_ISOLATED};
use super::process::{Ending, Ground, Process, Role, within};
use super::wire::Cut;

/// The longest pause between two looks at the cluster.
const STEP: Duration = Duration::from_millis(400);
/// How much likelier the faults of this file are than those of single messages: there are fewer opportunities.
const EMPHASIS: f64 = 4.0;
/// The longest time until a process that has ended is started again.
const RESTART_DELAY: Duration = Duration::from_secs(8);
/// The longest time for which a process stands still.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest time for which a process and etcd do not hear each other.
const PARTITION: Duration = Duration::from_secs(25);
/// The longest time for which etcd's disk is full, or an engine is down.
const OUTAGE: Duration = Duration::from_secs(10);

/// Something that is undone later.
enum Deferred {
    Restart(usize),
    Resume(usize),
    MakeSpace,
    RestartEngine(usize),
}

/// What happens to the cluster.
pub(crate) struct Director {
    ground: Ground,
    random: fastrand::Rng,
    /// The processes.
    pub(crate) processes: Vec<Process>,
    deferred: Vec<(Instant, Deferred)>,
    /// The machine that is lost for ever.
    lost: Option<usize>,
}

impl Director {
    /// A director of these processes, which are started.
    pub(crate) fn new(ground: Ground, mut processes: Vec<Process>) -> Self {
        processes.iter_mut().for_each(|process| process.start(&ground));
        let random = ground.random("director");
        Self { ground, random, processes, deferred: Vec::new(), lost: None }
    }

    /// One step of the storm: what is due is undone, and something may go wrong.
    pub(crate) async fn storm(&mut self) {
        tokio::time::sleep_until(within(&mut self.random, STEP)).await;
        self.look_after(RESTART_DELAY).await;
        self.undo(Instant::now());
        for fault in Fault::ALL {
            let rate = self.ground.weather.menu.rate(fault) * EMPHASIS;
            if rate > 0.0 && self.random.f64() < rate {
                self.cause(fault).await;
            }
        }
    }

    /// Ends the storm: everything runs again, except for what is lost for ever.
    pub(crate) async fn calm(&mut self) {
        self.undo(Instant::now() + Duration::from_secs(3600));
        self.look_after(Duration::ZERO).await;
        self.undo(Instant::now());
        for process in &self.processes {
            if let Some(machine) = &process.machine {
                machine.set_failing(&self.ground, false);
                machine.restart_engine();
            }
        }
        let users = self.processes.iter().filter(|process| process.role == Role::User);
        users.for_each(Process::stop);
    }

    /// Looks for processes that have ended by themselves, and starts them again within `delay`, as their supervisor does.
    pub(crate) async fn look_after(&mut self, delay: Duration) {
        for index in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(index) else { continue };
            let Some(ending) = process.ending().await else { continue };
            let (name, role) = (process.name(), process.role);
            match ending {
                Ending::Panicked(error) => self.ground.oracle.accuse(NO_PANIC, format!("{name}: {error}")),
                Ending::Returned(result) => {
                    self.ground.oracle.remark(format!("{name} ended: {result:?}"));
                    let is_poisoned = result.as_ref().is_err_and(|error| error.contains("decode"));
                    if is_poisoned {
                        self.ground.oracle.accuse(POISON_ISOLATED, format!("{name} ended: {result:?}"));
                    }
                }
            }
            if role != Role::User {
                self.defer(delay, Deferred::Restart(index));
            }
        }
    }

    /// Starts again what has ended by itself and is due.
    pub(crate) fn restart_ended(&mut self) {
        self.undo(Instant::now());
    }

    /// Ends everything.
    pub(crate) async fn end(&mut self) {
        for process in &mut self.processes {
            process.kill().await;
        }
    }

    /// Whether the machine of `process` is lost for ever.
    pub(crate) fn is_lost(&self, process: &Process) -> bool {
        process.role == Role::Agent && self.lost == Some(process.index)
    }

    async fn cause(&mut self, fault: Fault) {
        let Some(index) = self.random.choice(0..self.processes.len()) else { return };
        let Some(process) = self.processes.get_mut(index).filter(|process| process.is_alive()) else {
            return;
        };
        let name = process.name();
        let until = match fault {
            Fault::Kill => {
                process.kill().await;
                self.defer(RESTART_DELAY, Deferred::Restart(index))
            }
            Fault::Stop if process.role != Role::User => {
                process.stop();
                Instant::now()
            }
            Fault::Pause => {
                process.pause();
                self.defer(PAUSE, Deferred::Resume(index))
            }
            Fault::Partition => self.partition(index),
            Fault::Compact => {
                self.ground.etcd.compact();
                Instant::now()
            }
            Fault::RestartEtcd => {
                self.ground.etcd.restart();
                Instant::now()
            }
            Fault::FillEtcd => {
                if self.deferred.iter().any(|(_, what)| matches!(what, Deferred::MakeSpace)) {
                    return;
                }
                self.ground.etcd.set_full(true);
                self.defer(OUTAGE, Deferred::MakeSpace)
            }
            Fault::CrashContainer => {
                let Some(machine) = process.machine.clone() else { return };
                if !machine.crash_one(&mut self.random) {
                    return;
                }
                Instant::now()
            }
            Fault::FailEngine => {
                let Some(machine) = process.machine.clone() else { return };
                machine.crash_engine();
                self.defer(OUTAGE, Deferred::RestartEngine(index))
            }
            Fault::LoseMachine => {
                if process.role != Role::Agent || self.lost.is_some() {
                    return;
                }
                self.lost = Some(process.index);
                process.kill().await;
                Instant::now()
            }
            _ => return,
        };
        self.ground.weather.tally.add(fault);
        let lasts = until.saturating_duration_since(Instant::now());
        self.ground.oracle.remark(format!("{fault:?} at {name} for {:.3} s", lasts.as_secs_f64()));
    }

    fn partition(&mut self, index: usize) -> Instant {
        let until = within(&mut self.random, PARTITION);
        let cut = self.random.choice([Cut::Requests, Cut::Replies, Cut::Both]).unwrap_or(Cut::Both);
        if let Some(wire) = self.processes.get(index).and_then(Process::wire) {
            wire.cut(cut, until);
        }
        until
    }

    fn defer(&mut self, limit: Duration, what: Deferred) -> Instant {
        let at = within(&mut self.random, limit);
        self.deferred.push((at, what));
        at
    }

    fn undo(&mut self, now: Instant) {
        let deferred = std::mem::take(&mut self.deferred);
        for (at, what) in deferred {
            if at > now {
                self.deferred.push((at, what));
                continue;
            }
            match what {
                Deferred::MakeSpace => self.ground.etcd.set_full(false),
                Deferred::Resume(index) => self.with(index, |process, _| process.resume()),
                Deferred::Restart(index) => self.with(index, |process, ground| {
                    if !process.is_alive() {
                        process.start(ground);
                    }
                }),
                Deferred::RestartEngine(index) => self.with(index, |process, _| {
                    if let Some(machine) = &process.machine {
                        machine.restart_engine();
                    }
                }),
            }
        }
    }

    /// Does something to a process whose machine is not lost.
    fn with(&mut self, index: usize, act: impl FnOnce(&mut Process, &Ground)) {
        let lost = self.lost;
        let process = self.processes.get_mut(index);
        if let Some(process) =
            process.filter(|process| process.role != Role::Agent || lost != Some(process.index))
        {
            act(process, &self.ground);
        }
    }
}
