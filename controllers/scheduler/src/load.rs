//! What tasks take of a node, as one value that is added, taken away and compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_api::rollout::Revision;
use skep_api::service::{Protocol, PublishMode};

/// A port of a host.
pub(crate) type HostPort = (u16, Protocol);

/// A kind of generic resource, such as `GPU`.
pub(crate) type Kind = Arc<str>;

/// What one task takes of its node, or several together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Thousand-millionths of a core. Wide enough that no sum of reservations overflows.
    pub(crate) cpus: u128,
    /// Bytes.
    pub(crate) memory: u128,
    /// Tasks that count when tasks are spread.
    pub(crate) active: u32,
    /// How many tasks take each fixed host port; more than one is one too many.
    pub(crate) ports: BTreeMap<HostPort, u32>,
    /// How many of each generic resource; no kind that none is taken of.
    pub(crate) generic: BTreeMap<Kind, u64>,
}

impl Load {
    /// What one active task of `revision` takes.
    pub(crate) fn of(revision: &Revision) -> Self {
        let reservations = &revision.task.resources.reservations;
        let reserved = reservations.amounts();
        let fixed =
            revision.host_ports.iter().filter(|port| port.mode == PublishMode::Host && port.published != 0);
        let generic = reservations.generic.iter().filter(|(_, count)| **count > 0);
        Self {
            cpus: reserved.cpus.as_nanos().into(),
            memory: reserved.memory.as_bytes().into(),
            active: 1,
            ports: fixed.map(|port| ((port.published, port.protocol), 1)).collect(),
            generic: generic.map(|(kind, count)| (Kind::from(kind.as_str()), (*count).into())).collect(),
        }
    }

    /// Adds `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.memory = self.memory.saturating_add(other.memory);
        self.active = self.active.saturating_add(other.active);
        for (port, count) in &other.ports {
            let sum = self.ports.entry(*port).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (kind, count) in &other.generic {
            let sum = self.generic.entry(Kind::clone(kind)).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Takes `other` away, nothing falling below zero.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.cpus = self.cpus.saturating_sub(other.cpus);
        self.memory = self.memory.saturating_sub(other.memory);
        self.active = self.active.saturating_sub(other.active);
        for (port, count) in &other.ports {
            if let Some(sum) = self.ports.get_mut(port) {
                *sum = sum.saturating_sub(*count);
                if *sum == 0 {
                    self.ports.remove(port);
                }
            }
        }
        for (kind, count) in &other.generic {
            if let Some(sum) = self.generic.get_mut(kind) {
                *sum = sum.saturating_sub(*count);
                if *sum == 0 {
                    self.generic.remove(kind);
                }
            }
        }
    }

    /// In each respect the larger of the two: what is set aside for loads that are never there at the same time.
    pub(crate) fn or(mut self, other: &Self) -> Self {
        self.cpus = self.cpus.max(other.cpus);
        self.memory = self.memory.max(other.memory);
        self.active = self.active.max(other.active);
        for (port, count) in &other.ports {
            let larger = self.ports.entry(*port).or_default();
            *larger = (*larger).max(*count);
        }
        for (kind, count) in &other.generic {
            let larger = self.generic.entry(Kind::clone(kind)).or_default();
            *larger = (*larger).max(*count);
        }
        self
    }

    /// How many tasks take `port`.
    pub(crate) fn takers(&self, port: HostPort) -> u32 {
        self.ports.get(&port).copied().unwrap_or(0)
    }

    /// How many of the generic resource `kind` it takes.
    pub(crate) fn of_kind(&self, kind: &str) -> u64 {
        self.generic.get(kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(memory: u128, port: u16) -> Load {
        let (ports, generic) =
            (BTreeMap::from([((port, Protocol::Tcp), 1)]), BTreeMap::from([("GPU".into(), 2)]));
        Load { cpus: 1, memory, active: 1, ports, generic }
    }

    #[test]
    fn what_was_added_can_be_taken_away_again() {
        let mut sum = load(5, 80);
        sum.add(&load(7, 80));
        assert_eq!(
            (sum.memory, sum.active, sum.takers((80, Protocol::Tcp)), sum.of_kind("GPU")),
            (12, 2, 2, 4)
        );
        sum.subtract(&load(7, 80));
        assert_eq!(sum, load(5, 80));
        sum.subtract(&load(9, 80));
        assert_eq!(sum, Load::default());
    }

    #[test]
    fn of_loads_that_exclude_each_other_the_larger_counts() {
        let either = load(5, 80).or(&load(7, 81));
        assert_eq!((either.memory, either.active, either.of_kind("GPU")), (7, 1, 2));
        assert_eq!((either.takers((80, Protocol::Tcp)), either.takers((81, Protocol::Tcp))), (1, 1));
        assert_eq!(either.takers((80, Protocol::Udp)), 0);
    }
}
