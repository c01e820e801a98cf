//! Every order of events: whatever happens, states move forward, and nothing is started without a claim, or twice.

use proptest::prelude::*;
use skep_api::key::Key;
use skep_api::task::{DesiredState, Health, HealthState, TaskState};

use super::bench::Bench;
use crate::change::Change;
use crate::engine::{Container, EngineError, Phase};
use crate::jobs::Outcome;
use crate::local::{Local, Sighting, Wait};
use crate::plan::{Action, Job};

/// Something that happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The job or the write that is planned is done.
    Done,
    /// The job is done, but its answer is lost.
    Lost,
    /// The job is refused, if it is one that the engine may refuse for good.
    Refused,
    /// The container ends by itself.
    Exits,
    /// Its healthcheck, if it has one, speaks well of it for the first time.
    Heals,
    /// Its healthcheck, if it has one, has failed too often.
    Sickens,
    /// People remove the container.
    Removed,
    /// The agent is killed and starts again.
    Killed,
    /// The session is lost, and another one taken.
    NewSession,
    /// Something that failed may be tried again.
    Rested,
    /// More is wanted of the task: to run, to stop, to vanish.
    Raised,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Done),
        1 => Just(Event::Lost),
        1 => Just(Event::Refused),
        1 => Just(Event::Exits),
        2 => Just(Event::Heals),
        1 => Just(Event::Sickens),
        1 => Just(Event::Removed),
        2 => Just(Event::Killed),
        1 => Just(Event::NewSession),
        2 => Just(Event::Rested),
        1 => Just(Event::Raised),
    ]
}

/// The machine and etcd around the agent.
struct Around {
    bench: Bench,
    container: Option<Phase>,
    /// What its healthcheck says, if it has one.
    health: Option<HealthState>,
    desired: DesiredState,
    /// Whether there is a claim in etcd that no start has used.
    has_claim: bool,
    starts: u32,
}

impl Around {
    fn new(has_healthcheck: bool, waits: bool) -> Self {
        let desired = DesiredState::Ready;
        let mut bench = Bench::with_task(desired);
        if waits {
            bench.template("preStop: {wait: 5s}");
        }
        let health = has_healthcheck.then_some(HealthState::Starting);
        Self { bench, container: None, health, desired, has_claim: false, starts: 0 }
    }

    fn local(&mut self) -> &mut Local {
        let key = self.bench.key.clone();
        self.bench.world.local_mut(&key)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Done => self.advance(|_| None),
            Event::Lost => {
                self.advance(|_| Some(Outcome::Failed(EngineError::Unreachable("lost".to_owned()))));
            }
            Event::Refused => self.refuse(),
            Event::Exits => {
                if self.container == Some(Phase::Running) {
                    let code = if self.health.is_some() { 0 } else { 3 };
                    self.change(Some(Phase::Exited { code, oom_killed: false }));
                }
            }
            Event::Heals => self.check(HealthState::Starting, HealthState::Healthy),
            Event::Sickens => {
                self.check(HealthState::Starting, HealthState::Unhealthy);
                self.check(HealthState::Healthy, HealthState::Unhealthy);
            }
            Event::Removed => self.change(None),
            Event::Killed => {
                *self.local() = Local::default();
                self.change(self.container);
            }
            Event::NewSession => {
                self.bench.world.session = self.bench.world.session.map(|session| session + 1);
            }
            Event::Rested => self.local().is_resting = false,
            Event::Raised => self.raise(),
        }
    }

    /// The container changes, and the agent sees it.
    fn change(&mut self, phase: Option<Phase>) {
        self.container = phase;
        match phase {
            Some(phase) => {
                let container = self.container(phase);
                self.bench.world.see(container);
            }
            None => drop(self.bench.world.lose("c1")),
        }
    }

    fn container(&self, phase: Phase) -> Container {
        let health = |state| Health { state, failing_streak: 0, output: String::new() };
        let is_asked = phase != Phase::Created;
        Container { health: self.health.filter(|_| is_asked).map(health), ..self.bench.container(phase) }
    }

    fn check(&mut self, before: HealthState, after: HealthState) {
        if self.container == Some(Phase::Running) && self.health == Some(before) {
            self.health = Some(after);
            self.change(self.container);
        }
    }

    fn raise(&mut self) {
        self.desired = match self.desired {
            DesiredState::Ready => DesiredState::Running,
            DesiredState::Running | DesiredState::Complete => DesiredState::Shutdown,
            DesiredState::Shutdown | DesiredState::Remove => DesiredState::Remove,
        };
        self.bench.want(self.desired);
    }

    fn refuse(&mut self) {
        let Some(job) = self.bench.job() else { return };
        if matches!(job, Job::Fetch(_) | Job::Create(_) | Job::Start(_)) {
            self.local().begin(&job);
            self.has_claim = false;
            self.bench.learn(Outcome::Hopeless("no".to_owned()));
        }
    }

    /// Does what is planned; `lose` may replace what the agent learns of a job.
    fn advance(&mut self, lose: impl FnOnce(&Job) -> Option<Outcome>) {
        let Some(job) = self.bench.job() else {
            if self.bench.write().is_some() {
                self.commit();
            } else if let Some(wait) = self.wait() {
                self.local().waited = Some(wait);
            }
            return;
        };
        self.local().begin(&job);
        let outcome = self.perform(&job);
        let learnt = lose(&job).unwrap_or(outcome);
        self.bench.learn(learnt);
    }

    /// What the plan waits for before it stops the container.
    fn wait(&self) -> Option<Wait> {
        self.bench
            .plan()
            .iter()
            .find_map(|action| if let Action::WaitToStop(wait, _) = action { Some(*wait) } else { None })
    }

    fn commit(&mut self) {
        let before = self.bench.state().unwrap_or(TaskState::Assigned);
        let change = self.bench.commit();
        let after = self.bench.state().unwrap_or(TaskState::Assigned);
        assert!(after >= before, "{before} became {after}");
        assert!(!before.is_terminal() || after == before, "{before} is final, and became {after}");
        self.has_claim = matches!(change, Change::Claim { .. });
    }

    fn perform(&mut self, job: &Job) -> Outcome {
        match job {
            Job::FindSignal { .. } => return Outcome::Signalled(false),
            Job::Tail(_) => return Outcome::Tail(Vec::new()),
            Job::Fetch(fetch) => {
                self.bench.found(&fetch.reference, &[]);
                return Outcome::Nothing;
            }
            Job::Create(_) => self.container = self.container.or(Some(Phase::Created)),
            Job::Start(_) => {
                assert!(std::mem::take(&mut self.has_claim), "started without a claim");
                if self.container == Some(Phase::Created) {
                    self.starts += 1;
                    self.container = Some(Phase::Running);
                }
                assert!(self.starts <= 1, "started twice");
            }
            Job::Stop(_) => {
                if self.container == Some(Phase::Running) {
                    assert!(
                        self.desired >= DesiredState::Shutdown
                            || self.health == Some(HealthState::Unhealthy)
                            || self.bench.state() > Some(TaskState::Running),
                        "stopped without a reason"
                    );
                    self.container = Some(Phase::Exited { code: 143, oom_killed: false });
                }
            }
            Job::Remove { .. } => panic!("removed although the task is there"),
            Job::Look(_) => {}
        }
        match self.container {
            Some(phase) => Outcome::Seen(self.container(phase)),
            None => Outcome::Absent,
        }
    }

    /// Lets everything come to rest without further faults.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.local().is_resting = false;
            self.happen(Event::Heals);
            if self.bench.plan().is_empty() {
                return;
            }
            self.happen(Event::Done);
        }
        panic!("no rest: {:?}", self.bench.plan());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_states_move_forward_and_nothing_starts_without_a_claim_or_twice(
        events in prop::collection::vec(event(), 1..60),
        has_healthcheck in any::<bool>(),
        waits in any::<bool>(),
    ) {
        let mut around = Around::new(has_healthcheck, waits);
        for event in events {
            around.happen(event);
        }
        around.settle();
        let is_running = around.container == Some(Phase::Running);
        let state = around.bench.state();
        prop_assert_eq!(is_running, state == Some(TaskState::Running), "{:?} {:?}", state, around.container);
        if around.desired >= DesiredState::Shutdown {
            prop_assert!(state.is_some_and(TaskState::is_terminal));
        }
    }

    #[test]
    fn a_task_that_is_gone_leaves_nothing_behind(events in prop::collection::vec(event(), 1..40)) {
        let mut around = Around::new(false, false);
        for event in events {
            around.happen(event);
        }
        around.bench.delete(&Key::Task(around.bench.key.clone()));
        for _ in 0..10 {
            around.local().is_resting = false;
            match around.bench.plan().as_slice() {
                [Action::ConfirmRemoval] => around.bench.confirm_removal(),
                [Action::Do(Job::Remove { .. })] => {
                    around.container = None;
                    around.bench.absent();
                }
                [Action::Do(Job::Look(_))] => {
                    let outcome = match around.container {
                        Some(phase) => Outcome::Seen(around.bench.container(phase)),
                        None => Outcome::Absent,
                    };
                    around.bench.learn(outcome);
                }
                [Action::Forget] => break,
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(around.container, None);
        prop_assert_eq!(&around.local().sighting, &Sighting::Absent);
    }
}
