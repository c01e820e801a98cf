//! One situation each.

use skep_api::container::PullPolicy;
use skep_api::key::Key;
use skep_api::task::{DesiredState, TaskState};
use skep_store::Guard;

use super::bench::{Bench, task};
use crate::change::Change;
use crate::engine::{EngineError, Phase};
use crate::jobs::Outcome;
use crate::local::JobKind;
use crate::plan::{Action, Fetch, Job};
use crate::world::revision_id;

const EXITED_1: Phase = Phase::Exited { code: 1, oom_killed: false };
const EXITED_0: Phase = Phase::Exited { code: 0, oom_killed: false };

fn fetch(reference: &str) -> Job {
    Job::Fetch(Fetch { reference: reference.to_owned(), policy: PullPolicy::Missing })
}

#[test]
fn a_new_task_is_prepared_claimed_started_and_reported() {
    let mut bench = Bench::with_task(DesiredState::Running);
    assert_eq!(bench.job(), Some(fetch("web:1")));
    bench.found("web:1", &[]);
    let Some(Job::Create(spec)) = bench.job() else { panic!("{:?}", bench.plan()) };
    assert_eq!((spec.name.as_str(), spec.image.as_str()), ("web.1.0000a", "web:1"));
    assert_eq!(spec.env["SKEP_TASK_NAME"], "web.1.0000a");
    bench.seen(Phase::Created);
    assert_eq!(bench.job(), None, "not without a claim");
    bench.commit();
    assert_eq!(bench.state(), Some(TaskState::Starting));
    assert_eq!(bench.job(), Some(Job::Start("c1".to_owned())));
    bench.seen(Phase::Running);
    bench.commit();
    assert_eq!(bench.state(), Some(TaskState::Running));
    assert_eq!(bench.plan(), [], "at rest");
}

#[test]
fn preparing_is_only_told_if_it_takes_long() {
    let bench = Bench::with_task(DesiredState::Running);
    let (change, is_urgent) = bench.write().unwrap();
    assert!(matches!(&change, Change::Report(report) if report.status.state == TaskState::Preparing));
    assert!(!is_urgent);
}

#[test]
fn a_claim_stands_on_the_task_the_session_the_node_and_its_own_status() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.seen(Phase::Created);
    let (change, is_urgent) = bench.write().unwrap();
    assert!(is_urgent);
    let txn = change.txn().unwrap();
    let task = bench.world.task(&bench.key).unwrap().stamp;
    let node = bench.world.owner.node.clone();
    for guard in [
        Guard::modified(Key::Task(bench.key.clone()), task.modified),
        Guard::modified(Key::NodeSession(node.clone()), 7),
        Guard::created(Key::Node(node), bench.world.node_created().unwrap()),
        Guard::absent(Key::TaskStatus(bench.key.clone())),
    ] {
        assert!(txn.guards.contains(&guard), "{guard:?} is missing in {txn:?}");
    }
}

#[test]
fn a_task_that_is_wanted_ready_waits_there() {
    let mut bench = Bench::with_task(DesiredState::Ready);
    bench.found("web:1", &[]);
    bench.seen(Phase::Created);
    assert_eq!(bench.report().state, TaskState::Ready);
    bench.commit();
    assert_eq!(bench.plan(), []);
    bench.want(DesiredState::Running);
    assert!(matches!(bench.write(), Some((Change::Claim { .. }, true))));
}

#[test]
fn nothing_is_started_without_a_session() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.seen(Phase::Created);
    bench.world.session = None;
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_claim_of_an_earlier_session_is_made_again() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.seen(Phase::Created);
    bench.commit();
    bench.world.session = Some(8);
    assert_eq!(bench.job(), None);
    assert!(matches!(bench.write(), Some((Change::Claim { session: 8, .. }, true))));
}

#[test]
fn a_claim_of_an_earlier_process_is_made_again() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Starting);
    bench.seen(Phase::Created);
    assert_eq!(bench.job(), None);
    assert!(matches!(bench.write(), Some((Change::Claim { .. }, true))));
}

#[test]
fn a_container_that_ran_is_never_started_again() {
    for state in [TaskState::Starting, TaskState::Running] {
        let mut bench = Bench::with_task(DesiredState::Running);
        bench.told(state);
        bench.seen(EXITED_1);
        assert_eq!(bench.job(), Some(Job::Tail("c1".to_owned())));
        bench.learn(Outcome::Tail(vec!["out".to_owned()]));
        assert_eq!(bench.job(), None);
        let status = bench.report();
        assert_eq!(status.state, TaskState::Failed);
        assert_eq!(status.error.as_deref(), Some("task: non-zero exit (1)"));
        assert_eq!(status.container.unwrap().exit_code, Some(1));
    }
}

#[test]
fn an_end_with_code_0_is_complete() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Running);
    bench.seen(EXITED_0);
    bench.find_signal(false);
    assert_eq!(bench.report().state, TaskState::Complete);
}

#[test]
fn a_claimed_container_that_is_gone_ends_its_task_once_the_engine_has_been_asked() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Running);
    assert_eq!(bench.job(), Some(Job::Look("web.1.0000a".to_owned())));
    bench.absent();
    let status = bench.report();
    assert_eq!((status.state, status.error.as_deref()), (TaskState::Failed, Some("the container is gone")));
}

#[test]
fn a_running_container_is_adopted() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Running);
    bench.seen(Phase::Running);
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_task_that_is_to_end_is_stopped_and_keeps_its_container_as_history() {
    for desired in [DesiredState::Shutdown, DesiredState::Remove] {
        let mut bench = Bench::with_task(desired);
        bench.told(TaskState::Running);
        bench.seen(Phase::Running);
        assert_eq!(bench.job(), Some(Job::Stop("c1".to_owned())));
        bench.seen(EXITED_1);
        assert_eq!(bench.report().state, TaskState::Shutdown);
        bench.commit();
        assert_eq!(bench.plan(), []);
    }
}

#[test]
fn a_task_that_is_to_end_before_it_ran_needs_no_container() {
    let mut bench = Bench::with_task(DesiredState::Shutdown);
    assert_eq!(bench.job(), Some(Job::Look("web.1.0000a".to_owned())));
    bench.absent();
    assert_eq!(bench.report().state, TaskState::Shutdown);
}

#[test]
fn a_pull_is_given_up_when_its_task_is_to_end() {
    let mut bench = Bench::with_task(DesiredState::Running);
    let key = bench.key.clone();
    bench.world.local_mut(&key).job = Some(JobKind::Fetch);
    bench.want(DesiredState::Shutdown);
    assert_eq!(bench.plan(), [Action::GiveUpFetching]);
}

#[test]
fn an_ended_container_that_people_start_again_is_stopped() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Failed);
    bench.seen(Phase::Running);
    assert_eq!(bench.job(), Some(Job::Stop("c1".to_owned())));
}

#[test]
fn a_container_without_a_task_is_removed_only_after_etcd_has_confirmed_it() {
    let mut bench = Bench::new();
    bench.seen(Phase::Running);
    assert_eq!(bench.plan(), [Action::ConfirmRemoval]);
    bench.confirm_removal();
    assert_eq!(bench.job(), Some(Job::Remove { id: "c1".to_owned(), is_running: true }));
    bench.absent();
    assert_eq!(bench.plan(), [Action::Forget]);
}

#[test]
fn nothing_is_removed_before_etcd_has_been_listed() {
    let mut bench = Bench::new();
    bench.world.is_synced = false;
    bench.seen(Phase::Running);
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_task_that_does_not_decode_is_left_alone() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Running);
    bench.seen(Phase::Running);
    bench.put_text(&Key::Task(bench.key.clone()), "{{{");
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_status_that_does_not_decode_is_never_a_reason_to_run_a_task_twice() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.put_text(&Key::TaskStatus(bench.key.clone()), "{{{");
    assert_eq!(bench.job(), Some(Job::Look("web.1.0000a".to_owned())), "it may have run");
    bench.absent();
    assert_eq!(bench.report().state, TaskState::Failed);
}

#[test]
fn the_engine_s_words_end_a_task_as_rejected_before_its_claim_and_as_failed_after() {
    for (told, expected) in
        [(TaskState::Preparing, TaskState::Rejected), (TaskState::Starting, TaskState::Failed)]
    {
        let mut bench = Bench::with_task(DesiredState::Running);
        bench.told(told);
        bench.learn(Outcome::Hopeless("no such thing".to_owned()));
        let status = bench.report();
        assert_eq!((status.state, status.error.as_deref()), (expected, Some("no such thing")));
    }
}

#[test]
fn an_engine_that_does_not_answer_is_asked_again_what_became_of_a_start() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Starting);
    bench.seen(Phase::Created);
    bench.learn(Outcome::Failed(EngineError::Unreachable("lost".to_owned())));
    assert_eq!(bench.plan(), [], "it rests");
    let key = bench.key.clone();
    bench.world.local_mut(&key).is_resting = false;
    assert_eq!(bench.job(), Some(Job::Look("web.1.0000a".to_owned())));
}

#[test]
fn while_the_engine_is_away_a_new_task_is_accepted_and_nothing_else_is_told() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.world.machine = None;
    let (change, is_urgent) = bench.write().unwrap();
    assert!(matches!(&change, Change::Report(report) if report.status.state == TaskState::Accepted));
    assert!(!is_urgent);
    bench.told(TaskState::Running);
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_revision_is_read_once_and_told_if_it_cannot_be_used() {
    let mut bench = Bench::new();
    bench.want(DesiredState::Running);
    let id = revision_id(&task(DesiredState::Running));
    assert_eq!(bench.plan(), [Action::ReadRevision(id.clone())]);
    let unusable = crate::world::RevisionState::Unusable("revision 1 is not there".to_owned());
    bench.world.revisions.insert(id, unusable);
    let status = bench.report();
    assert_eq!(
        (status.state, status.error.as_deref()),
        (TaskState::Accepted, Some("revision 1 is not there"))
    );
    bench.commit();
    assert_eq!(bench.plan(), []);
}

#[test]
fn a_registry_s_digest_is_pinned_before_anything_is_created_from_it() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.found("web:1", &["web@sha256:aa"]);
    assert_eq!(bench.job(), None);
    assert!(matches!(bench.write(), Some((Change::Pin { digest, .. }, true)) if digest == "sha256:aa"));
    bench.pin("sha256:bb");
    assert_eq!(bench.job(), Some(fetch("web:1@sha256:bb")), "another agent was first");
}

#[test]
fn a_removed_node_takes_its_containers_down() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.told(TaskState::Running);
    bench.seen(Phase::Running);
    bench.delete(&Key::Node(bench.world.owner.node.clone()));
    assert_eq!(bench.plan(), [Action::ConfirmRemoval]);
}

#[test]
fn nothing_is_planned_on_a_write_that_has_no_answer_yet() {
    let mut bench = Bench::with_task(DesiredState::Running);
    bench.seen(Phase::Created);
    let key = bench.key.clone();
    bench.world.local_mut(&key).is_writing = true;
    assert_eq!(bench.plan(), []);
}

#[test]
fn swarm_s_labels_win_over_the_template_s_and_the_template_s_variables_over_skep_s() {
    let mut bench = Bench::with_task(DesiredState::Running);
    let text = "{service: {stack: default, name: web}, task: {image: 'web:1', \
                env: {SKEP_SLOT: mine}, labels: {com.docker.swarm.task.name: forged, tier: front}}}";
    let key = Key::Revision(task(DesiredState::Running).uid, 1);
    let Ok(skep_api::object::Object::Revision(revision)) =
        skep_api::object::Object::decode(&key, text.as_bytes())
    else {
        panic!("{text}")
    };
    bench.know(&revision);
    bench.found("web:1", &[]);
    let Some(Job::Create(spec)) = bench.job() else { panic!("{:?}", bench.plan()) };
    assert_eq!(spec.labels["com.docker.swarm.task.name"], "web.1.0000a");
    assert_eq!(spec.labels["tier"], "front");
    assert_eq!(spec.env["SKEP_SLOT"], "mine");
}

/// Swarm 4.6: no template forges what the scheduler has claimed.
#[test]
fn a_task_is_told_which_generic_resources_it_has() {
    let mut bench = Bench::new();
    let mut wanted = task(DesiredState::Running);
    wanted.generic.insert("GPU".to_owned(), ["uuid1", "uuid3"].map(str::to_owned).into());
    let at = bench.key.clone();
    bench.put(&Key::Task(at), wanted);
    let text = "{service: {stack: default, name: web}, task: {image: 'web:1', env: {DOCKER_RESOURCE_GPU: all}, \
                resources: {reservations: {generic: {GPU: 2, SSD: 3}}}}}";
    let key = Key::Revision(task(DesiredState::Running).uid, 1);
    let Ok(skep_api::object::Object::Revision(revision)) =
        skep_api::object::Object::decode(&key, text.as_bytes())
    else {
        panic!("{text}")
    };
    bench.know(&revision);
    bench.found("web:1", &[]);
    let Some(Job::Create(spec)) = bench.job() else { panic!("{:?}", bench.plan()) };
    assert_eq!(spec.env["DOCKER_RESOURCE_GPU"], "uuid1,uuid3");
    assert_eq!(spec.env["DOCKER_RESOURCE_SSD"], "3");
}
