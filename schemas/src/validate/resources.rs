//! Amounts: Docker cannot give a container less than this.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{LABEL_MAX_BYTES, Report};
use crate::code;
use crate::container::ResourceRequirements;
use crate::quantity::{Cpus, Memory};
use crate::tree::Step;

/// A thousandth of a core.
const CPUS_MIN: Cpus = Cpus::from_nanos(1_000_000);
/// 4 MiB.
const MEMORY_MIN: Memory = Memory::from_bytes(4 << 20);

/// The most kinds of generic resources.
const KINDS_MAX: usize = 64;

/// −1 is the node's own setting (moby, `HostConfig.MemorySwappiness`).
const SWAPPINESS: RangeInclusive<i32> = -1..=100;

pub(super) fn check(resources: &ResourceRequirements, report: &mut Report<'_>) {
    let ResourceRequirements { limits, reservations, .. } = resources;
    at_least("limits", limits.cpus, limits.memory, report);
    at_least("reservations", reservations.cpus, reservations.memory, report);
    generic(&reservations.generic, report);
    if let (Some(limit), Some(reserved)) = (limits.memory, reservations.memory)
        && reserved > limit
    {
        let message = format!("{reserved} of memory are reserved, more than the limit of {limit}");
        report.fault(code::CONFLICT, &path(&["reservations", "memory"]), message, "");
    }
    if let Some(swappiness) = resources.memory_swappiness.filter(|value| !SWAPPINESS.contains(value)) {
        let message = format!("`memorySwappiness` is {swappiness}, which is not from -1 to 100");
        report.fault(code::OUT_OF_RANGE, &path(&["memorySwappiness"]), message, "");
    }
    if resources.swap.is_some() && limits.memory.is_none() && report.is_sound(&path(&["limits"])) {
        let message = "swap is limited only together with memory";
        report.fault(code::CONFLICT, &path(&["swap"]), message, "add `limits: {memory: …}`");
    }
}

/// Kinds as Docker names them (`node-generic-resources`), and so many that a task gets something.
fn generic(kinds: &BTreeMap<String, u32>, report: &mut Report<'_>) {
    if kinds.len() > KINDS_MAX {
        let message = format!("{} kinds of generic resources are more than {KINDS_MAX}", kinds.len());
        report.fault(code::LIMIT, &path(&["reservations", "generic"]), message, "");
        return;
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    for (kind, count) in kinds {
        let at = path(&["reservations", "generic", kind]);
        if kind.is_empty() || kind.len() > LABEL_MAX_BYTES || !kind.chars().all(is_allowed) {
            let message =
                format!("a kind of resource has 1 to {LABEL_MAX_BYTES} letters, digits, '-' and '_'");
            report.fault_name(code::MALFORMED, &at, message, "such as GPU");
        }
        if *count == 0 {
            report.fault(
                code::OUT_OF_RANGE,
                &at,
                "a reservation of 0 reserves nothing",
                "write 1 or more, or remove it",
            );
        }
    }
}

fn at_least(section: &str, cpus: Option<Cpus>, memory: Option<Memory>, report: &mut Report<'_>) {
    if let Some(cpus) = cpus.filter(|cpus| *cpus < CPUS_MIN) {
        let message = format!("{cpus} CPUs are less than {CPUS_MIN}");
        report.fault(code::TOO_SMALL, &path(&[section, "cpus"]), message, "");
    }
    if let Some(memory) = memory.filter(|memory| *memory < MEMORY_MIN) {
        let message = format!("{} bytes of memory are less than {MEMORY_MIN}", memory.as_bytes());
        let hint = "is the unit missing, such as Mi?";
        report.fault(code::TOO_SMALL, &path(&[section, "memory"]), message, hint);
    }
}

fn path<'a>(rest: &[&'a str]) -> Vec<Step<'a>> {
    super::steps(&[&["spec", "task", "resources"], rest].concat())
}
