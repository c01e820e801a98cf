//! What Docker says of a container, in the agent's words.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, Health as DockerHealth,
    HealthStatusEnum, PortBinding, PortMap,
};
use skep_api::service::Protocol;
use skep_api::task::{HEALTH_OUTPUT_MAX_CHARS, Health, HealthState, PortStatus};
use skep_api::time::Timestamp;

use super::sorted;
use crate::engine::{Container, Phase};

/// How Docker writes an instant that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// How many failures in a row are too many, if the healthcheck does not say (moby, `daemon/health.go`).
const DEFAULT_RETRIES: i64 = 3;

pub(super) fn read(found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let phase = phase(&state);
    let bound = found.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let retries = config.healthcheck.and_then(|check| check.retries).filter(|retries| *retries > 0);
    Container {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: sorted(config.labels),
        image: found.image.unwrap_or_default(),
        started: state.started_at.as_deref().and_then(instant),
        finished: state.finished_at.as_deref().and_then(instant).filter(|_| phase > Phase::Running),
        health: state.health.and_then(|found| health(found, retries.unwrap_or(DEFAULT_RETRIES))),
        error: state.error.unwrap_or_default(),
        ports: if phase == Phase::Running { ports(bound) } else { Vec::new() },
        phase,
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    Some(text).filter(|text| *text != NEVER).and_then(|text| text.parse().ok())
}

/// Docker says "unhealthy" also when it has stopped checking (moby, `Health.CloseMonitorChannel`): the failures tell that apart.
fn health(found: DockerHealth, retries: i64) -> Option<Health> {
    let streak = found.failing_streak.unwrap_or_default();
    let state = match found.status? {
        HealthStatusEnum::HEALTHY => HealthState::Healthy,
        HealthStatusEnum::UNHEALTHY if streak >= retries => HealthState::Unhealthy,
        HealthStatusEnum::UNHEALTHY | HealthStatusEnum::STARTING => HealthState::Starting,
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => return None,
    };
    let failed = found.log.into_iter().flatten().rfind(|check| check.exit_code != Some(0));
    let output = failed.and_then(|check| check.output).filter(|_| streak > 0).unwrap_or_default();
    Some(Health {
        state,
        failing_streak: u32::try_from(streak).unwrap_or_default(),
        output: output.trim().chars().take(HEALTH_OUTPUT_MAX_CHARS).collect(),
    })
}

fn phase(state: &ContainerState) -> Phase {
    match state.status {
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => Phase::Running,
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => Phase::Exited {
            code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
        },
        Some(Status::CREATED | Status::EMPTY) | None => Phase::Created,
    }
}

/// The host ports, in order, each once. Docker binds IPv4 and IPv6 apart, and may choose different numbers for them
/// (moby issue 42442): IPv4's is the one that is told.
fn ports(bound: PortMap) -> Vec<PortStatus> {
    let port = |(port, bindings): (String, Option<Vec<PortBinding>>)| {
        let bindings = bindings.unwrap_or_default();
        let on_ipv4 = bindings.iter().find(|binding| !is_ipv6(binding));
        let published = on_ipv4.or(bindings.first())?.host_port.as_ref()?.parse().ok()?;
        port_status(&port, published)
    };
    let mut ports: Vec<PortStatus> = bound.into_iter().filter_map(port).collect();
    ports.sort();
    ports
}

fn is_ipv6(binding: &PortBinding) -> bool {
    binding.host_ip.as_ref().is_some_and(|address| address.contains(':'))
}

/// Reads a port as Docker writes it: `80/tcp`.
fn port_status(text: &str, published: u16) -> Option<PortStatus> {
    let (target, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some(PortStatus { target: target.parse().ok()?, published, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_bound_for_ipv4_and_ipv6_is_listed_once_with_ipv4_s_number() {
        let binding = |ip: &str, port: &str| PortBinding {
            host_ip: Some(ip.to_owned()),
            host_port: Some(port.to_owned()),
        };
        let bound: PortMap = [
            ("80/tcp".to_owned(), Some(vec![binding("::", "32768"), binding("0.0.0.0", "32769")])),
            ("90/udp".to_owned(), Some(vec![binding("::", "32770")])),
            ("9000/tcp".to_owned(), None),
        ]
        .into_iter()
        .collect();
        let expected = [
            PortStatus { target: 80, published: 32769, protocol: Protocol::Tcp },
            PortStatus { target: 90, published: 32770, protocol: Protocol::Udp },
        ];
        assert_eq!(ports(bound), expected);
    }

    fn docker_health(status: HealthStatusEnum, streak: i64, outputs: &[(i64, &str)]) -> Health {
        let check = |&(code, output): &(i64, &str)| bollard::models::HealthcheckResult {
            exit_code: Some(code),
            output: Some(output.to_owned()),
            ..Default::default()
        };
        let log = Some(outputs.iter().map(check).collect());
        let found = DockerHealth { status: Some(status), failing_streak: Some(streak), log };
        health(found, DEFAULT_RETRIES).unwrap()
    }

    #[test]
    fn a_container_that_nobody_checks_any_more_is_not_unhealthy_by_that() {
        let paused = docker_health(HealthStatusEnum::UNHEALTHY, 2, &[]);
        assert_eq!((paused.state, paused.failing_streak), (HealthState::Starting, 2));
        assert_eq!(docker_health(HealthStatusEnum::UNHEALTHY, 3, &[]).state, HealthState::Unhealthy);
    }

    #[test]
    fn what_the_last_failed_check_said_is_kept_while_checks_fail_and_not_all_of_it() {
        let endless = "x".repeat(HEALTH_OUTPUT_MAX_CHARS + 1);
        let log = [(1, "first\n"), (1, endless.as_str()), (0, "fine")];
        let failing = docker_health(HealthStatusEnum::HEALTHY, 1, &log);
        assert_eq!(failing.output.len(), HEALTH_OUTPUT_MAX_CHARS);
        assert_eq!(docker_health(HealthStatusEnum::HEALTHY, 0, &log).output, "");
        assert_eq!(docker_health(HealthStatusEnum::STARTING, 1, &log[..1]).output, "first");
    }

    #[test]
    fn a_container_that_never_ran_was_never_started() {
        let state = ContainerState {
            status: Some(Status::CREATED),
            started_at: Some(NEVER.to_owned()),
            ..ContainerState::default()
        };
        let read =
            read(ContainerInspectResponse { state: Some(state), ..ContainerInspectResponse::default() });
        assert_eq!((read.phase, read.started), (Phase::Created, None::<Timestamp>));
    }
}
