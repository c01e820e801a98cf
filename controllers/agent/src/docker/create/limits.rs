//! What a container may use.

use bollard::models::{HostConfig, ResourcesUlimits};
use skep_api::container::{TaskTemplate, Ulimit};

use super::{bytes, saturate};

pub(super) fn apply(task: &TaskTemplate, config: &mut HostConfig) {
    let resources = &task.resources;
    let (limits, reserved) = (&resources.limits, resources.reservations.memory);
    config.nano_cpus = limits.cpus.map(|cpus| saturate(cpus.as_nanos()));
    config.memory = limits.memory.map(bytes);
    config.memory_reservation = reserved.map(bytes);
    // Docker counts memory and swap together. Without the field it gives as much swap as memory.
    config.memory_swap = resources
        .swap
        .zip(limits.memory)
        .map(|(swap, memory)| saturate(swap.as_bytes().saturating_add(memory.as_bytes())));
    config.memory_swappiness = resources.memory_swappiness.map(i64::from);
    config.pids_limit = limits.pids.map(i64::from);
    config.oom_score_adj = task.oom_score_adj.map(i64::from);
    config.ulimits = Some(task.ulimits.iter().map(ulimit).collect());
    config.sysctls = Some(task.sysctls.clone().into_iter().collect());
}

fn ulimit(ulimit: &Ulimit) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(ulimit.name.clone()), soft: Some(ulimit.soft), hard: Some(ulimit.hard) }
}
