//! What the container of a task is made of: the revision, and what only the task knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::container::{Mount, MountType};
use skep_api::ident::{Name, Stack, Uid};
use skep_api::key::{Key, ServiceRef, TaskRef};
use skep_api::node::Platform;
use skep_api::rollout::Revision;
use skep_api::task::Task;
use skep_api::template::{Facts, expand};
use skep_api::volume::VolumeSpec;
use skep_runtime::table::Versioned;

use crate::engine::ContainerSpec;
use crate::generic;
use crate::labels;
use crate::world::World;

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
///
/// # Errors
/// In words, for people: a template has no value here.
pub(crate) fn container(
    world: &World,
    key: &TaskRef,
    task: &Versioned<Task>,
    revision: &Arc<Revision>,
    image: String,
) -> Result<ContainerSpec, String> {
    let owner = &world.owner;
    let uid = Uid::derive(&owner.cluster, &Key::Task(key.clone()).to_string(), task.stamp.created);
    let mut labels = revision.task.labels.clone();
    labels.extend(labels::of_task(owner, key, &uid, task));
    let name = container_name(key);
    let unknown = Platform::default();
    let facts = Facts {
        service_id: task.uid.as_str(),
        service_name: &task.service.docker_name(),
        service_labels: &revision.labels,
        node_id: owner.node.as_str(),
        node_hostname: &world.hostname,
        node: world.node_spec(),
        platform: world.machine.as_ref().map_or(&unknown, |machine| &machine.platform),
        task_id: uid.as_str(),
        task_name: &name,
        task_slot: &task.slot.to_string(),
    };
    let mut env = identity(key, task);
    env.extend(expanded(&revision.task.env, &facts)?);
    env.extend(generic::env(&task.generic, &revision.task.resources.reservations.generic));
    let hostname = revision.task.hostname.as_deref().map(|text| expand(text, &facts)).transpose()?;
    let mut volumes = BTreeMap::new();
    let mounts = revision.task.mounts.iter().map(|written| mount(written, &facts, revision, &mut volumes));
    let mounts = mounts.collect::<Result<_, _>>()?;
    let revision = Arc::clone(revision);
    Ok(ContainerSpec { name, image, labels, env, hostname, mounts, volumes, revision })
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

fn expanded(texts: &BTreeMap<String, String>, facts: &Facts<'_>) -> Result<BTreeMap<String, String>, String> {
    texts.iter().map(|(name, text)| Ok((name.clone(), expand(text, facts)?))).collect()
}

/// A mount with its values. A source that names a Volume of the service's stack becomes that volume's name in Docker;
/// any other name is Docker's own.
fn mount(
    written: &Mount,
    facts: &Facts<'_>,
    revision: &Revision,
    volumes: &mut BTreeMap<String, VolumeSpec>,
) -> Result<Mount, String> {
    let mut mount = Mount {
        source: written.source.as_deref().map(|text| expand(text, facts)).transpose()?,
        target: expand(&written.target, facts)?,
        driver_options: expanded(&written.driver_options, facts)?,
        labels: expanded(&written.labels, facts)?,
        ..written.clone()
    };
    let named: Option<Name> = mount.source.as_deref().and_then(|source| source.parse().ok());
    if mount.kind == MountType::Volume
        && let Some(name) = named
        && let Some(volume) = revision.volumes.get(&name)
    {
        let docker_name = ServiceRef::new(revision.service.stack.clone(), name).docker_name();
        volumes.insert(docker_name.clone(), volume.clone());
        mount.source = Some(docker_name);
    }
    Ok(mount)
}
