//! What a revision asks of a node, worked out once per revision.

use skep_api::constraint::Constraint;
use skep_api::node::Platform;
use skep_api::rollout::Revision;
use skep_api::service::{PlatformRequirement, PublishMode};

use crate::load::Load;

/// What every task of a revision asks of its node.
#[derive(Debug, PartialEq)]
pub(crate) struct Demand {
    /// What one active task takes.
    pub(crate) load: Load,
    /// What the node must meet.
    pub(crate) constraints: Vec<Constraint>,
    /// Where the image runs; empty is everywhere.
    platforms: Vec<PlatformRequirement>,
    /// The most tasks of the service on one node; 0 is no limit.
    pub(crate) max_replicas: u32,
}

impl Demand {
    /// What `revision` asks, or why that cannot be told.
    pub(crate) fn of(revision: &Revision) -> Result<Self, String> {
        let reserved = revision.task.resources.reservations.amounts();
        let fixed =
            revision.host_ports.iter().filter(|port| port.mode == PublishMode::Host && port.published != 0);
        let load = Load {
            cpus: reserved.cpus.as_nanos().into(),
            memory: reserved.memory.as_bytes().into(),
            active: 1,
            ports: fixed.map(|port| ((port.published, port.protocol), 1)).collect(),
        };
        let constraints: Result<Vec<Constraint>, _> =
            revision.placement.constraints.iter().map(|text| text.parse()).collect();
        Ok(Self {
            load,
            constraints: constraints.map_err(|error| error.to_string())?,
            platforms: revision.placement.platforms.clone(),
            max_replicas: revision.placement.max_replicas_per_node,
        })
    }

    /// Whether the image runs on `platform`; `None` is a machine that has not said what it is.
    pub(crate) fn runs_on(&self, platform: Option<&Platform>) -> bool {
        let fits = |wanted: &PlatformRequirement| {
            platform.is_some_and(|have| {
                is_any_or(&wanted.os, &have.os)
                    && is_any_or(goarch(&wanted.architecture), goarch(&have.architecture))
            })
        };
        self.platforms.is_empty() || self.platforms.iter().any(fits)
    }
}

fn is_any_or(wanted: &str, have: &str) -> bool {
    wanted.is_empty() || wanted == have
}

/// The kernel's name of a processor in Go's words, as SwarmKit reads it.
fn goarch(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
