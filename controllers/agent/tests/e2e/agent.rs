//! What an agent does with its tasks.

use skep_api::task::{DesiredState, TaskState};

use crate::rig::{Rig, revision};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_becomes_a_container_that_answers_and_goes_when_the_task_goes() {
    let rig = Rig::start().await;
    rig.put_revision(revision("", "{target: 8080, mode: host}")).await;
    let started = tokio::time::Instant::now();
    let task = rig.put_task(1, DesiredState::Running).await;
    let status = rig.reaches(&task, TaskState::Running).await;
    println!("{:?} {status:?}", started.elapsed());
}
