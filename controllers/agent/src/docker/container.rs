//! What Docker says of a container, in the agent's words.

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, PortBinding, PortMap,
};
use skep_api::service::Protocol;
use skep_api::task::PortStatus;

use super::sorted;
use crate::engine::{Container, Phase};

/// How Docker writes an instant that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn read(found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let phase = phase(&state);
    let bound = found.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    Container {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: sorted(found.config.and_then(|config| config.labels)),
        started: state.started_at.filter(|instant| instant != NEVER).and_then(|instant| instant.parse().ok()),
        ports: if phase == Phase::Running { ports(bound) } else { Vec::new() },
        phase,
    }
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

    use skep_api::time::Timestamp;

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
