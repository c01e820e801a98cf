//! A container as Docker's API wants it described: behaviour of Swarm's executor (moby,
//! `daemon/cluster/executor/container`), and what Compose has beyond it.

mod limits;
mod mounts;
mod security;

use std::collections::BTreeMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig, PortBinding, PortMap,
};
use skep_api::container::{Device, Healthcheck, TaskTemplate};
use skep_api::quantity::Memory;
use skep_api::service::{Port, Protocol};
use skep_api::time::Span;

use super::version::Api;
use crate::engine::ContainerSpec;

const DEVICE_PERMISSIONS: &str = "rwm";

/// What to ask an engine for that speaks `api`.
///
/// # Errors
/// In words, for people: the engine is too old for something that must not be left out.
pub(super) fn body(spec: &ContainerSpec, api: Api) -> Result<ContainerCreateBody, String> {
    let task = &spec.revision.task;
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: task.command.clone(),
        cmd: task.args.clone(),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: task.user.clone(),
        working_dir: task.workdir.clone(),
        hostname: spec.hostname.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        tty: Some(task.tty),
        open_stdin: Some(task.stdin_open),
        stop_signal: task.stop_signal.clone(),
        stop_timeout: Some(seconds(task.stop_grace_period)),
        healthcheck: task.healthcheck.as_ref().map(|check| health(check, api)),
        exposed_ports: Some(spec.revision.host_ports.iter().map(docker_port).collect()),
        host_config: Some(host_config(spec, api)?),
        ..Default::default()
    })
}

fn host_config(spec: &ContainerSpec, api: Api) -> Result<HostConfig, String> {
    let task = &spec.revision.task;
    let mut config = HostConfig {
        init: Some(task.init),
        readonly_rootfs: Some(task.read_only),
        group_add: list(&task.groups),
        port_bindings: Some(port_bindings(&spec.revision.host_ports)),
        extra_hosts: Some(task.hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect()),
        dns: task.dns.as_ref().map(|dns| dns.nameservers.clone()),
        dns_search: task.dns.as_ref().map(|dns| dns.search.clone()),
        dns_options: task.dns.as_ref().map(|dns| dns.options.clone()),
        log_config: log_config(task),
        devices: Some(task.devices.iter().map(device).collect()),
        shm_size: task.shm_size.map(bytes),
        pid_mode: task.pid.clone(),
        ipc_mode: task.ipc.clone(),
        userns_mode: task.userns.clone(),
        ..Default::default()
    };
    limits::apply(task, &mut config);
    security::apply(task, &mut config);
    mounts::apply(&spec.mounts, api, &mut config)?;
    Ok(config)
}

/// A healthcheck without a test takes the image's, with other numbers. An engine that knows no start interval checks as
/// often during the start as later, which only makes a task ready later.
fn health(check: &Healthcheck, api: Api) -> HealthConfig {
    let nanos = |span: Option<Span>| span.map(|span| saturate(span.as_millis().saturating_mul(1_000_000)));
    HealthConfig {
        test: list(&check.test),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval).filter(|_| api >= Api::START_INTERVAL),
    }
}

fn log_config(task: &TaskTemplate) -> Option<HostConfigLogConfig> {
    task.logging.as_ref().map(|logging| HostConfigLogConfig {
        typ: Some(logging.driver.clone()),
        config: Some(logging.options.clone().into_iter().collect()),
    })
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.as_ref().unwrap_or(&device.source).clone()),
        cgroup_permissions: Some(device.permissions.as_deref().unwrap_or(DEVICE_PERMISSIONS).to_owned()),
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

/// What an empty list leaves to the image or to the daemon.
fn list(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
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

#[cfg(test)]
mod tests;
