//! What the container of a task is made of: the revision, and what only the task knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::ident::{Stack, Uid};
use skep_api::key::{Key, TaskRef};
use skep_api::rollout::Revision;
use skep_api::task::Task;
use skep_runtime::table::Versioned;

use crate::engine::{ContainerSpec, Owner};
use crate::labels;

/// The name of a task's container, as Swarm names them: `web.1.<suffix>`, or `<stack>_web.1.<suffix>` outside of the
/// stack `default`.
pub fn container_name(task: &TaskRef) -> String {
    if task.stack == Stack::default() {
        task.name.to_string()
    } else {
        format!("{}_{}", task.stack, task.name)
    }
}

/// The container of a task, with `image` as it is found on this machine.
pub(crate) fn container(
    owner: &Owner,
    key: &TaskRef,
    task: &Versioned<Task>,
    revision: &Arc<Revision>,
    image: String,
) -> ContainerSpec {
    let uid = Uid::derive(&owner.cluster, &Key::Task(key.clone()).to_string(), task.stamp.created);
    let mut labels = revision.task.labels.clone();
    labels.extend(labels::of_task(owner, key, &uid, task));
    let mut env = identity(key, task);
    env.extend(revision.task.env.clone());
    ContainerSpec { name: container_name(key), image, labels, env, revision: Arc::clone(revision) }
}

/// What a process can know of itself: `SKEP_TASK_NAME` (its container's name), `SKEP_SERVICE` and `SKEP_SLOT`.
/// A variable of the same name in the template wins.
fn identity(key: &TaskRef, task: &Task) -> BTreeMap<String, String> {
    [
        ("SKEP_TASK_NAME", container_name(key)),
        ("SKEP_SERVICE", task.service.docker_name()),
        ("SKEP_SLOT", task.slot.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
