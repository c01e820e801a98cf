//! What happens to the processes, to etcd and to the machines while the storm lasts.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;
use super::ground::{Ground, within};
use super::oracle::invariant::NO_PANIC;
use super::process::Process;
use super::role::Role;
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
        for process in &mut processes {
            process.start(&ground);
        }
        let random = ground.random("director");
        Self { ground, random, processes, deferred: Vec::new(), lost: None }
    }

    /// One step of the storm: what is due is undone, and something may go wrong.
    pub(crate) async fn storm(&mut self) {
        tokio::time::sleep_until(within(&mut self.random, STEP)).await;
        self.look_after(RESTART_DELAY).await;
        self.undo(Instant::now());
        self.end_jobs();
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
        for user in self.processes.iter().filter(|process| process.role == Role::User) {
            user.stop();
        }
    }

    /// Looks for processes that have ended by themselves, and starts them again within `delay`, as their supervisor does.
    pub(crate) async fn look_after(&mut self, delay: Duration) {
        for index in 0..self.processes.len() {
            let Some(process) = self.processes.get_mut(index) else { continue };
            let Some(ending) = process.ending().await else { continue };
            let (name, role) = (process.name(), process.role);
            self.ground.oracle.remark(format!("{name} ended: {ending:?}"));
            if let Some(fault) = ending.fault() {
                self.ground.oracle.accuse(NO_PANIC, format!("{name} ended: {fault}"));
            }
            if role != Role::User && !ending.is_for_good() {
                self.defer(delay, Deferred::Restart(index));
            }
        }
    }

    /// Starts again what has ended by itself and is due.
    pub(crate) fn restart_ended(&mut self) {
        self.undo(Instant::now());
    }

    /// Lets tasks of jobs come to their end on machines that are there.
    pub(crate) fn end_jobs(&mut self) {
        let Self { processes, random, lost, .. } = self;
        for process in processes.iter().filter(|process| Some(process.index) != *lost) {
            if let Some(machine) = &process.machine {
                machine.end_some(random);
            }
        }
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
        let Some(process) = self.processes.get(index).filter(|process| process.is_alive()) else { return };
        let name = process.name();
        let hit = match fault {
            Fault::Kill | Fault::Stop | Fault::Pause | Fault::Partition => {
                self.hit_process(fault, index).await.map(|until| (name, until))
            }
            Fault::CrashContainer | Fault::FailEngine | Fault::LoseMachine => {
                self.hit_machine(fault, index).await.map(|until| (name, until))
            }
            Fault::Compact | Fault::RestartEtcd | Fault::FillEtcd => {
                self.hit_etcd(fault).map(|until| ("etcd".to_owned(), until))
            }
            // These happen on wires, and when processes start.
            Fault::Refuse
            | Fault::Reset
            | Fault::LoseRequest
            | Fault::DelayRequest
            | Fault::LoseReply
            | Fault::ResetReply
            | Fault::DelayWatch
            | Fault::StallWatch
            | Fault::BreakWatch
            | Fault::SkewClocks => None,
        };
        if let Some((name, until)) = hit {
            self.ground.weather.tally.add(fault);
            let lasts = until.saturating_duration_since(Instant::now());
            self.ground.oracle.remark(format!("{fault:?} at {name} for {:.3} s", lasts.as_secs_f64()));
        }
    }

    /// Hits a process; returns until when, if it did.
    #[allow(clippy::wildcard_enum_match_arm)] // Other faults hit something else.
    async fn hit_process(&mut self, fault: Fault, index: usize) -> Option<Instant> {
        let process = self.processes.get_mut(index)?;
        match fault {
            Fault::Kill => {
                process.kill().await;
                Some(self.defer(RESTART_DELAY, Deferred::Restart(index)))
            }
            Fault::Stop if process.role != Role::User => {
                process.stop();
                Some(Instant::now())
            }
            Fault::Pause => {
                process.pause();
                Some(self.defer(PAUSE, Deferred::Resume(index)))
            }
            Fault::Partition => Some(self.partition(index)),
            _ => None,
        }
    }

    /// Hits the machine of an agent; returns until when, if it did.
    #[allow(clippy::wildcard_enum_match_arm)] // The same.
    async fn hit_machine(&mut self, fault: Fault, index: usize) -> Option<Instant> {
        let process = self.processes.get_mut(index)?;
        let machine = process.machine.clone()?;
        match fault {
            Fault::CrashContainer => machine.crash_one(&mut self.random).then(Instant::now),
            Fault::FailEngine => {
                machine.crash_engine();
                Some(self.defer(OUTAGE, Deferred::RestartEngine(index)))
            }
            Fault::LoseMachine if self.lost.is_none() => {
                self.lost = Some(process.index);
                process.kill().await;
                self.ground.oracle.machine_lost(&machine.node);
                Some(Instant::now())
            }
            _ => None,
        }
    }

    /// Hits etcd; returns until when, if it did.
    #[allow(clippy::wildcard_enum_match_arm)] // The same.
    fn hit_etcd(&mut self, fault: Fault) -> Option<Instant> {
        let is_full = self.deferred.iter().any(|(_, what)| matches!(what, Deferred::MakeSpace));
        match fault {
            Fault::Compact => self.ground.etcd.compact(),
            Fault::RestartEtcd => self.ground.etcd.restart(),
            Fault::FillEtcd if !is_full => {
                self.ground.etcd.set_full(true);
                return Some(self.defer(OUTAGE, Deferred::MakeSpace));
            }
            _ => return None,
        }
        Some(Instant::now())
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
