//! A container as Docker's API wants it described.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount as DockerMount, MountBindOptions,
    MountBindOptionsPropagationEnum as Propagation, MountTmpfsOptions, MountType as DockerMountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig, PortBinding, PortMap,
};
use skep_api::container::{Mount, MountType, TaskTemplate};
use skep_api::quantity::Memory;
use skep_api::service::{Port, Protocol};
use skep_api::time::Span;

use crate::engine::ContainerSpec;

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
        tty: Some(task.tty),
        open_stdin: Some(task.stdin_open),
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
        readonly_rootfs: Some(task.read_only),
        group_add: (!task.groups.is_empty()).then(|| task.groups.clone()),
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

fn mount(mount: &Mount) -> DockerMount {
    DockerMount {
        typ: Some(mount_type(mount.kind)),
        source: mount.source.clone(),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        bind_options: (mount.kind == MountType::Bind).then(|| bind_options(mount)),
        volume_options: (mount.kind == MountType::Volume).then(|| volume_options(mount)),
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

/// Docker itself refuses a source that does not exist, unless it is told to create it.
fn bind_options(mount: &Mount) -> MountBindOptions {
    MountBindOptions {
        propagation: mount.propagation.as_deref().and_then(propagation),
        non_recursive: mount.non_recursive.then_some(true),
        create_mountpoint: mount.create_mountpoint.then_some(true),
        ..Default::default()
    }
}

fn propagation(text: &str) -> Option<Propagation> {
    Some(match text {
        "private" => Propagation::PRIVATE,
        "rprivate" => Propagation::RPRIVATE,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::RSHARED,
        "slave" => Propagation::SLAVE,
        "rslave" => Propagation::RSLAVE,
        _ => return None,
    })
}

fn volume_options(mount: &Mount) -> MountVolumeOptions {
    MountVolumeOptions {
        no_copy: Some(mount.no_copy),
        labels: Some(mount.labels.clone().into_iter().collect()),
        driver_config: mount.driver.clone().map(|name| MountVolumeOptionsDriverConfig {
            name: Some(name),
            options: Some(mount.driver_options.clone().into_iter().collect()),
        }),
        subpath: mount.subpath.clone(),
    }
}

fn tmpfs_options(mount: &Mount) -> MountTmpfsOptions {
    MountTmpfsOptions {
        size_bytes: mount.size.map(bytes),
        mode: mount.mode.as_deref().and_then(|mode| i64::from_str_radix(mode, 8).ok()),
        options: (!mount.options.is_empty())
            .then(|| mount.options.iter().map(|option| tmpfs_option(option)).collect()),
    }
}

/// Docker takes `name=value` as a pair and a flag alone.
fn tmpfs_option(option: &str) -> Vec<String> {
    option.splitn(2, '=').map(str::to_owned).collect()
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
