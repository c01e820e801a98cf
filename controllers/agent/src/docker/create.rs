//! A container as Docker's API wants it described.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount as DockerMount, MountTmpfsOptions, MountType as DockerMountType,
    PortBinding, PortMap,
};
use skep_api::container::{Mount, MountType, TaskTemplate};
use skep_api::quantity::Memory;
use skep_api::service::{Port, Protocol};
use skep_api::time::Span;

use crate::engine::ContainerSpec;

/// The fields of the template that this version acts on; the others are refused before they are stored.
pub(super) fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let task = &spec.revision.task;
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: task.command.clone(),
        cmd: task.args.clone(),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: task.user.clone(),
        working_dir: task.workdir.clone(),
        hostname: task.hostname.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        stop_signal: task.stop_signal.clone(),
        stop_timeout: Some(seconds(task.stop_grace_period)),
        exposed_ports: Some(spec.revision.host_ports.iter().map(docker_port).collect()),
        host_config: Some(host_config(task, &spec.revision.host_ports)),
        ..Default::default()
    }
}

fn host_config(task: &TaskTemplate, ports: &[Port]) -> HostConfig {
    let limits = &task.resources.limits;
    HostConfig {
        nano_cpus: limits.cpus.map(|cpus| saturate(cpus.as_nanos())),
        memory: limits.memory.map(bytes),
        memory_reservation: task.resources.reservations.memory.map(bytes),
        init: Some(task.init),
        mounts: Some(task.mounts.iter().map(mount).collect()),
        port_bindings: Some(port_bindings(ports)),
        ..Default::default()
    }
}

/// On all addresses of the machine. For port 0 Docker chooses a free one.
fn port_bindings(ports: &[Port]) -> PortMap {
    let mut bindings: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for port in ports {
        let binding = PortBinding { host_ip: None, host_port: Some(port.published.to_string()) };
        bindings.entry(docker_port(port)).or_default().push(binding);
    }
    bindings.into_iter().map(|(port, bindings)| (port, Some(bindings))).collect()
}

/// A port as Docker writes it: `80/tcp`.
fn docker_port(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.target)
}

/// Docker itself refuses to bind a path that does not exist, and creates a volume that does not.
fn mount(mount: &Mount) -> DockerMount {
    DockerMount {
        typ: Some(mount_type(mount.kind)),
        source: mount.source.clone(),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        tmpfs_options: (mount.kind == MountType::Tmpfs).then(|| tmpfs_options(mount)),
        ..Default::default()
    }
}

fn mount_type(kind: MountType) -> DockerMountType {
    match kind {
        MountType::Volume => DockerMountType::VOLUME,
        MountType::Bind => DockerMountType::BIND,
        MountType::Tmpfs => DockerMountType::TMPFS,
        MountType::Npipe => DockerMountType::NPIPE,
        MountType::Cluster => DockerMountType::CLUSTER,
    }
}

fn tmpfs_options(mount: &Mount) -> MountTmpfsOptions {
    MountTmpfsOptions {
        size_bytes: mount.size.map(bytes),
        mode: mount.mode.as_deref().and_then(|mode| i64::from_str_radix(mode, 8).ok()),
        ..Default::default()
    }
}

/// Whole seconds, rounded up: Docker knows no others.
fn seconds(span: Span) -> i64 {
    saturate(span.as_millis().div_ceil(1000))
}

fn bytes(memory: Memory) -> i64 {
    saturate(memory.as_bytes())
}

fn saturate(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
