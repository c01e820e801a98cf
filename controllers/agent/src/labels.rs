//! The labels by which containers are found again: Skep's own, and those that Docker Swarm gives its containers.

use std::collections::BTreeMap;

use skep_api::ident::Uid;
use skep_api::key::{Key, TaskRef, prefix};
use skep_api::task::Task;

use crate::engine::Owner;

/// The id of the cluster.
pub const CLUSTER: &str = "skep.cluster";
/// The id of the node.
pub const NODE: &str = "skep.node";
/// The task: `<node>/<stack>/<name>`, as in its key.
pub const TASK: &str = "skep.task";
/// The number of the service's revision.
pub const REVISION: &str = "skep.revision";

/// What every container of `owner` is labelled with.
pub fn of_owner(owner: &Owner) -> [(&'static str, String); 2] {
    [(CLUSTER, owner.cluster.clone()), (NODE, owner.node.to_string())]
}

/// What the container of a task is labelled with, whatever its template says. Swarm's labels (moby,
/// `daemon/cluster/executor/container`) let tools that know Swarm find their way.
pub fn of_task(owner: &Owner, key: &TaskRef, uid: &Uid, task: &Task) -> BTreeMap<String, String> {
    let own = of_owner(owner).into_iter();
    let task = [
        (TASK, key.to_string()),
        (REVISION, task.revision.to_string()),
        ("com.docker.swarm.task", String::new()),
        ("com.docker.swarm.task.id", uid.to_string()),
        ("com.docker.swarm.task.name", crate::spec::container_name(key)),
        ("com.docker.swarm.node.id", owner.node.to_string()),
        ("com.docker.swarm.service.id", task.uid.to_string()),
        ("com.docker.swarm.service.name", task.service.docker_name()),
    ];
    own.chain(task).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The task whose container carries `labels`, if it is one of `owner`'s.
pub fn task_of(labels: &BTreeMap<String, String>, owner: &Owner) -> Option<TaskRef> {
    let is_owned = of_owner(owner).iter().all(|(name, value)| labels.get(*name) == Some(value));
    let text = labels.get(TASK).filter(|_| is_owned)?;
    match Key::parse(&format!("{}{text}", prefix::TASKS)) {
        Some(Key::Task(task)) if task.place.node() == Some(&owner.node) => Some(task),
        _ => None,
    }
}
