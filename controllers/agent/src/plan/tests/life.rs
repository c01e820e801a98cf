//! How a task comes to RUNNING, is drained, and ends: one situation each.

use skep_api::key::Key;
use skep_api::object::Object;
use skep_api::task::{DesiredState, Health, HealthState, TaskState};
use skep_api::time::{Span, Timestamp};

use super::bench::{Bench, NOW, task};
use crate::engine::{Container, Phase, Progress};
use crate::jobs::Outcome;
use crate::local::{JobKind, Wait};
use crate::plan::{Action, Job};
use crate::world::revision_id;

const EXITED_0: Phase = Phase::Exited { code: 0, oom_killed: false };
const EXITED_9: Phase = Phase::Exited { code: 9, oom_killed: false };

fn stop() -> Job {
    Job::Stop("c1".to_owned())
}

fn health(state: HealthState) -> Health {
    let is_failing = state == HealthState::Unhealthy;
    let output = if is_failing { "503" } else { "" };
    Health { state, failing_streak: u32::from(is_failing) * 3, output: output.to_owned() }
}

impl Bench {
    fn seen_as(&mut self, change: impl FnOnce(&mut Container), phase: Phase) {
        let mut container = self.container(phase);
        change(&mut container);
        self.world.see(container);
    }

    fn checked(&mut self, state: HealthState, phase: Phase) {
        self.seen_as(|container| container.health = Some(health(state)), phase);
    }

    /// A task that runs, and is not asked for its health.
    fn running() -> Self {
        let mut bench = Self::with_task(DesiredState::Running);
        bench.told(TaskState::Starting);
        bench.seen(Phase::Running);
        bench.commit();
        assert_eq!(bench.state(), Some(TaskState::Running));
        bench
    }

    /// The same, with `task.preStop`.
    fn serving(wait: &str) -> Self {
        let mut bench = Self::running();
        bench.template(&format!("preStop: {{wait: {wait}}}"));
        bench
    }

    pub(super) fn template(&mut self, more: &str) {
        let text = format!("{{service: {{stack: default, name: web}}, task: {{image: 'web:1', {more}}}}}");
        let key = Key::Revision(task(DesiredState::Running).uid, 1);
        match Object::decode(&key, text.as_bytes()) {
            Ok(Object::Revision(revision)) => self.know(&revision),
            other => panic!("{other:?}"),
        }
    }

    fn waited(&mut self, wait: Wait) {
        let key = self.key.clone();
        self.world.local_mut(&key).waited = Some(wait);
    }

    fn writing(&mut self, is_writing: bool) {
        let key = self.key.clone();
        self.world.local_mut(&key).is_writing = is_writing;
    }

    fn tail(&mut self) {
        assert_eq!(self.job(), Some(Job::Tail("c1".to_owned())));
        self.learn(Outcome::Tail(vec!["last words".to_owned()]));
    }

    /// The engine says whether it was asked to end the container.
    pub(super) fn find_signal(&mut self, was_signalled: bool) {
        assert_eq!(self.job(), Some(Job::FindSignal { id: "c1".to_owned(), finished: NOW }));
        self.learn(Outcome::Signalled(was_signalled));
    }

    /// How the container's end is told.
    fn end(&mut self) -> (TaskState, String) {
        self.tail();
        let status = self.report();
        assert_eq!(status.log, ["last words"]);
        self.commit();
        assert_eq!(self.plan(), []);
        (status.state, status.error.unwrap())
    }
}

/// Swarm 12.22.
#[test]
fn a_task_with_a_healthcheck_runs_only_after_the_first_healthy_check() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Starting);
    bench.checked(HealthState::Starting, Phase::Running);
    let (_, is_urgent) = bench.write().unwrap();
    assert!(!is_urgent, "left out if it is healthy at once");
    bench.commit();
    let status = bench.world.status(&bench.key).unwrap();
    assert_eq!(
        (status.state, status.message.as_str()),
        (TaskState::Starting, "waiting for the first healthy check")
    );
    assert_eq!((status.running, status.health.clone()), (None, Some(health(HealthState::Starting))));
    assert_eq!(bench.plan(), []);
    bench.checked(HealthState::Healthy, Phase::Running);
    let status = bench.report();
    assert_eq!((status.state, status.running), (TaskState::Running, Some(NOW)));
    assert_eq!(status.health, Some(health(HealthState::Healthy)));
    bench.commit();
    assert_eq!(bench.plan(), []);
}

/// Swarm 2.6.
#[test]
fn a_task_that_is_unhealthy_is_stopped_and_fails_before_and_after_it_came_to_running() {
    for told in [TaskState::Starting, TaskState::Running] {
        let mut bench = Bench::with_task(DesiredState::Running);
        bench.told(told);
        bench.checked(HealthState::Healthy, Phase::Running);
        bench.checked(HealthState::Unhealthy, Phase::Running);
        assert_eq!(bench.job(), Some(stop()));
        assert_eq!(
            bench.report().health,
            Some(health(HealthState::Unhealthy)),
            "nobody is to send it anything more"
        );
        bench.commit();
        assert_eq!(bench.plan(), [Action::Do(stop())]);
        bench.checked(HealthState::Unhealthy, Phase::Exited { code: 143, oom_killed: false });
        bench.tail();
        assert_eq!(bench.report().health, Some(health(HealthState::Unhealthy)));
        let end = (TaskState::Failed, Some("task: non-zero exit (143): unhealthy container"));
        assert_eq!((bench.report().state, bench.report().error.as_deref()), end);
    }
}

#[test]
fn a_task_that_ends_well_when_it_is_stopped_for_being_unhealthy_has_failed_all_the_same() {
    let mut bench = Bench::running();
    bench.checked(HealthState::Unhealthy, EXITED_0);
    assert_eq!(bench.end(), (TaskState::Failed, "task: non-zero exit (0): unhealthy container".to_owned()));
}

#[test]
fn failed_checks_that_change_nothing_are_not_written() {
    let mut bench = Bench::running();
    bench.checked(HealthState::Healthy, Phase::Running);
    bench.commit();
    let failing = Health { state: HealthState::Healthy, failing_streak: 2, output: "503".to_owned() };
    bench.seen_as(|container| container.health = Some(failing), Phase::Running);
    assert_eq!(bench.plan(), []);
}

#[test]
fn the_start_of_a_run_is_kept_to_its_end() {
    let mut bench = Bench::running();
    bench.seen(EXITED_9);
    bench.tail();
    assert_eq!((bench.report().running, bench.report().state), (Some(NOW), TaskState::Failed));
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Starting);
    bench.seen(EXITED_9);
    bench.tail();
    assert_eq!(
        (bench.report().running, bench.report().state),
        (None, TaskState::Failed),
        "it never came so far"
    );
}

/// Swarm 12.22.
#[test]
fn a_task_that_serves_is_taken_out_of_the_endpoints_before_it_is_stopped() {
    let mut bench = Bench::serving("5s");
    for desired in [DesiredState::Shutdown, DesiredState::Remove] {
        bench.want(desired);
        let status = bench.report();
        assert_eq!((status.state, status.message.as_str()), (TaskState::Running, "draining"));
        assert_eq!((status.draining, status.running), (Some(NOW), Some(NOW)));
        assert_eq!(bench.job(), None);
    }
    bench.commit();
    let wait = Action::WaitToStop(Wait::Drain, Span::from_secs(5));
    assert_eq!(bench.plan(), std::slice::from_ref(&wait), "told once");
    assert_eq!(
        bench.plan_at(Timestamp::from_millis(NOW.as_millis() - 60_000)),
        [wait],
        "the clock went back"
    );
    let later = NOW.after(Span::from_millis(4_999));
    assert_eq!(bench.plan_at(later), [Action::WaitToStop(Wait::Drain, Span::from_millis(1))]);
    assert_eq!(bench.plan_at(NOW.after(Span::from_secs(5))), [Action::Do(stop())]);
    bench.waited(Wait::Drain);
    assert_eq!(bench.plan(), [Action::Do(stop())], "by its own clock it has waited long enough");
    bench.seen(EXITED_0);
    assert_eq!((bench.report().state, bench.report().draining), (TaskState::Shutdown, Some(NOW)));
}

#[test]
fn a_stop_does_not_wait_where_nobody_is_served() {
    let at_once = |bench: &mut Bench| {
        bench.want(DesiredState::Shutdown);
        assert_eq!(bench.plan(), [Action::Do(stop())]);
    };
    at_once(&mut Bench::running());
    at_once(&mut Bench::serving("0s"));
    let mut starting = Bench::with_task(DesiredState::Running);
    starting.template("preStop: {wait: 5s}");
    starting.told(TaskState::Starting);
    starting.checked(HealthState::Starting, Phase::Running);
    at_once(&mut starting);
    let mut unhealthy = Bench::serving("5s");
    unhealthy.checked(HealthState::Unhealthy, Phase::Running);
    at_once(&mut unhealthy);
}

#[test]
fn a_stop_waits_neither_for_an_unknown_revision_nor_for_a_write_if_etcd_is_away() {
    let mut bench = Bench::serving("1h");
    bench.want(DesiredState::Shutdown);
    let id = revision_id(&task(DesiredState::Running));
    bench.world.revisions.remove(&id);
    let limit = Span::from_secs(5);
    assert_eq!(bench.plan(), [Action::ReadRevision(id), Action::WaitToStop(Wait::Revision, limit)]);
    bench.waited(Wait::Revision);
    assert_eq!(bench.plan()[0], Action::Do(stop()));
    bench.template("preStop: {wait: 1h}");
    assert!(bench.plan().contains(&Action::WaitToStop(Wait::Telling, limit)), "it came after all");
    bench.writing(true);
    assert_eq!(bench.plan(), []);
    bench.waited(Wait::Telling);
    assert_eq!(bench.plan(), [Action::Do(stop())]);
}

#[test]
fn a_stop_that_needs_no_wait_does_not_wait_for_a_write_either() {
    let mut bench = Bench::running();
    bench.writing(true);
    assert_eq!(bench.plan(), []);
    bench.want(DesiredState::Shutdown);
    assert_eq!(bench.plan(), [Action::Do(stop())]);
    bench.seen(EXITED_0);
    assert_eq!(bench.plan(), [], "its end is told when the write has its answer");
}

#[test]
fn the_end_of_a_task_tells_why() {
    for (phase, error, expected) in [
        (EXITED_9, "", "task: non-zero exit (9)"),
        (Phase::Exited { code: 137, oom_killed: true }, "", "task: non-zero exit (137): out of memory"),
        (EXITED_9, "device is gone", "task: non-zero exit (9): device is gone"),
    ] {
        let mut bench = Bench::running();
        bench.seen_as(|container| error.clone_into(&mut container.error), phase);
        assert_eq!(bench.end(), (TaskState::Failed, expected.to_owned()));
        let status = bench.world.status(&bench.key).unwrap();
        let container = status.container.as_ref().unwrap();
        let Phase::Exited { code, oom_killed } = phase else { panic!("{phase:?}") };
        assert_eq!((container.exit_code, container.oom_killed), (Some(code), oom_killed));
    }
}

#[test]
fn a_child_that_ran_out_of_memory_does_not_spoil_a_good_end() {
    let mut bench = Bench::running();
    bench.seen(Phase::Exited { code: 0, oom_killed: true });
    bench.find_signal(false);
    assert_eq!(bench.report().state, TaskState::Complete);
}

#[test]
fn an_end_is_told_without_the_last_lines_if_the_engine_is_away() {
    let mut bench = Bench::running();
    bench.seen(EXITED_9);
    bench.world.lose_engine();
    assert_eq!((bench.report().state, bench.report().log.len()), (TaskState::Failed, 0));
}

#[test]
fn a_job_runs_to_its_end() {
    let mut bench = Bench::with_task(DesiredState::Complete);
    bench.seen(Phase::Created);
    bench.commit();
    assert_eq!(bench.job(), Some(Job::Start("c1".to_owned())));
    bench.seen(Phase::Running);
    bench.commit();
    assert_eq!((bench.state(), bench.plan()), (Some(TaskState::Running), Vec::new()));
    bench.seen(EXITED_0);
    bench.find_signal(false);
    assert_eq!(bench.report().state, TaskState::Complete);
}

#[test]
fn an_end_with_code_0_that_the_engine_asked_for_is_a_failure() {
    let stopped = (TaskState::Failed, "the container engine stopped it".to_owned());
    let mut signalled = Bench::running();
    signalled.seen(EXITED_0);
    signalled.find_signal(true);
    assert_eq!(signalled.end(), stopped);
    let mut away = Bench::running();
    away.world.lose_engine();
    let container = away.container(EXITED_0);
    away.world.see_all(crate::engine::Machine::default(), vec![container]);
    assert_eq!(away.end(), stopped);
}

#[test]
fn an_end_with_code_0_that_nobody_asked_for_is_complete_also_if_the_engine_was_away_and_kept_it() {
    let mut by_itself = Bench::running();
    by_itself.seen(EXITED_0);
    by_itself.find_signal(false);
    assert_eq!(by_itself.report().state, TaskState::Complete);
    let mut away = Bench::running();
    away.world.lose_engine();
    let container = away.container(EXITED_0);
    let machine = crate::engine::Machine { keeps_containers: true, ..crate::engine::Machine::default() };
    away.world.see_all(machine, vec![container]);
    away.find_signal(false);
    assert_eq!(away.report().state, TaskState::Complete, "live-restore");
}

#[test]
fn a_pull_shows_how_far_it_is_and_nothing_more_when_it_is_over() {
    let mut bench = Bench::with_task(DesiredState::Running);
    let key = bench.key.clone();
    let local = bench.world.local_mut(&key);
    local.job = Some(JobKind::Fetch);
    local.pulling = Some(Progress { done: 1 << 20, total: 4 << 20 });
    assert_eq!(bench.report().message, "pulling web:1: 25% (1.0 of 4.0 MiB)");
    bench.commit();
    assert_eq!(bench.plan(), []);
    bench.found("web:1", &[]);
    assert_eq!(bench.write(), None);
}

#[test]
fn the_image_that_a_container_runs_is_told() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Starting);
    bench.seen_as(|container| "sha256:9".clone_into(&mut container.image), Phase::Running);
    assert_eq!(bench.report().container.unwrap().image, "sha256:9");
}

impl Bench {
    /// A task that runs, whose container is said to have ended, a second after its start.
    fn glimpsed(code: i64) -> Self {
        let mut bench = Self::running();
        let at = NOW.after(Span::from_secs(1));
        assert!(bench.world.glimpse("c1", code, at).is_some());
        bench
    }

    fn examined(&self) -> (bool, Vec<String>, Option<String>) {
        let status = self.world.status(&self.key).unwrap();
        (!status.is_unexamined(), status.log.clone(), status.error.clone())
    }
}

/// While Docker cleans up after a container, it answers nothing about it: its successor need not wait for that.
#[test]
fn a_failure_is_told_as_soon_as_it_is_known_and_the_rest_of_it_later() {
    let mut bench = Bench::glimpsed(137);
    bench.commit();
    assert_eq!(bench.state(), Some(TaskState::Failed));
    let failed = Some("task: non-zero exit (137)".to_owned());
    assert_eq!(bench.examined(), (false, Vec::new(), failed));
    bench.tail();
    assert_eq!(bench.plan(), [], "the container is still to be inspected");
    bench.seen(Phase::Exited { code: 137, oom_killed: true });
    bench.commit();
    let told = Some("task: non-zero exit (137): out of memory".to_owned());
    assert_eq!(bench.examined(), (true, vec!["last words".to_owned()], told));
    assert_eq!(bench.plan(), [], "at rest");
}

#[test]
fn an_end_that_is_inspected_as_it_was_glimpsed_is_examined_too() {
    let mut bench = Bench::glimpsed(1);
    bench.commit();
    bench.seen(Phase::Exited { code: 1, oom_killed: false });
    bench.tail();
    bench.commit();
    assert!(bench.examined().0 && bench.plan().is_empty());
}

#[test]
fn whether_a_good_end_was_one_is_asked_before_it_is_told() {
    let mut bench = Bench::glimpsed(0);
    assert_eq!(bench.plan(), []);
    bench.seen(Phase::Exited { code: 0, oom_killed: false });
    bench.find_signal(false);
    bench.commit();
    assert_eq!(bench.state(), Some(TaskState::Complete));
    assert!(bench.examined().0);
}

#[test]
fn an_end_of_an_earlier_run_and_an_inspection_from_before_the_end_are_old_news() {
    let mut bench = Bench::running();
    assert_eq!(bench.world.glimpse("c1", 1, NOW), None, "people have started it again since");
    assert_eq!(bench.world.glimpse("c2", 1, NOW.after(Span::from_secs(1))), None);
    let mut bench = Bench::glimpsed(1);
    bench.seen(Phase::Running);
    bench.commit();
    assert_eq!(bench.state(), Some(TaskState::Failed));
    assert!(!bench.examined().0);
}

#[test]
fn an_agent_that_was_killed_meanwhile_tells_the_rest_and_one_whose_engine_is_away_does_not_wait() {
    let mut bench = Bench::glimpsed(1);
    bench.commit();
    let key = bench.key.clone();
    *bench.world.local_mut(&key) = crate::local::Local::default();
    assert_eq!(bench.job(), Some(Job::Look("web.1.0000a".to_owned())));
    let away = bench.world.machine.take();
    bench.commit();
    assert!(bench.examined().0 && bench.plan().is_empty());

    let mut bench = Bench::glimpsed(1);
    bench.commit();
    *bench.world.local_mut(&key) = crate::local::Local::default();
    bench.world.machine = away;
    bench.seen(Phase::Exited { code: 1, oom_killed: false });
    bench.tail();
    bench.commit();
    assert_eq!(bench.examined().1, ["last words"]);

    let mut bench = Bench::glimpsed(1);
    bench.commit();
    bench.absent();
    bench.commit();
    assert!(bench.examined().0, "the container is gone, and so is what it wrote");
}
