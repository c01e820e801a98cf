//! A remedy in a sentence.

use skep_api::constraint::Constraint;
use skep_api::quantity::Cpus;
use skep_api::task::RemedyStep;

use crate::fleet::Fleet;
use crate::load::Load;
use crate::node::Node;
use crate::words::{guess, saturate, whole_mib};

/// `steps`, all of them about `node` or about no node, in a sentence; `need` is what a task takes on an empty node.
pub(super) fn of(fleet: &Fleet, node: &Node, steps: &[RemedyStep], need: &Load) -> String {
    let parts: Vec<String> = steps.iter().map(|step| words(fleet, node, step)).collect();
    let sentence = parts.join(", and ");
    match steps {
        [RemedyStep::FreeCpus { .. } | RemedyStep::FreeMemory { .. } | RemedyStep::FreeGeneric { .. }] => {
            format!("{sentence}, or add a node{}", having(need))
        }
        _ => sentence,
    }
}

/// That there is no node on which anything would help.
pub(super) fn of_a_new_node(need: &Load) -> String {
    format!("add a node{}", having(need))
}

fn words(fleet: &Fleet, node: &Node, step: &RemedyStep) -> String {
    let name = node.name();
    match step {
        RemedyStep::Activate { .. } => format!("`skep activate {name}`"),
        RemedyStep::Revive { .. } => format!("bring {name} back: its agent does not answer"),
        RemedyStep::FreeCpus { cpus, .. } => format!("free {cpus} CPUs on {name}"),
        RemedyStep::FreeMemory { memory, .. } => {
            format!("free {} of memory on {name}", whole_mib(memory.as_bytes().into()))
        }
        RemedyStep::FreeGeneric { kind, count, .. } => format!("free {count} {kind} on {name}"),
        RemedyStep::Install { kind, name: driver, .. } => {
            format!("install the {kind} plugin {driver} on {name}")
        }
        RemedyStep::Label { key, value, .. } => {
            format!("`skep label node/{name} {key}={value}`{}", doubt(fleet, key, value))
        }
        RemedyStep::Unlabel { key, .. } => format!("`skep label node/{name} {key}-`"),
        RemedyStep::Relax { constraint } => {
            let parsed: Option<Constraint> = constraint.parse().ok();
            let meant = parsed.and_then(|constraint| guess(fleet, &constraint));
            let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
            format!("drop the constraint `{constraint}` of the service{meant}")
        }
        RemedyStep::Port { platform, .. } => {
            format!(
                "make the image for {platform}, the platform of {name}, and add that to placement.platforms"
            )
        }
        RemedyStep::FreePort { port, protocol, .. } => {
            let holder = node.ledger.holder((*port, *protocol)).map_or("another task", |task| task.as_str());
            let protocol = format!("{protocol:?}").to_lowercase();
            format!("free {port}/{protocol} on {name}, which {holder} has")
        }
        RemedyStep::RaiseMaxReplicas { to } => format!("raise placement.maxReplicasPerNode to {to}"),
        RemedyStep::MoveVolume { volume, .. } => format!("let the volume {volume} be on {name}"),
        RemedyStep::DropAffinity { service, other } => {
            format!("drop the term about {other} from the affinity of {service}")
        }
    }
}

/// What the constraint may have meant that asks for the label.
fn doubt(fleet: &Fleet, key: &str, value: &str) -> String {
    let constraint: Option<Constraint> = format!("node.labels.{key} == {value}").parse().ok();
    let meant = constraint.and_then(|constraint| guess(fleet, &constraint));
    meant.map(|meant| format!(", if you did not mean {meant}")).unwrap_or_default()
}

/// What a node must have for a task that needs `need`, after "a node".
fn having(need: &Load) -> String {
    let cpus = (need.cpus > 0).then(|| format!("{} CPUs", Cpus::from_nanos(saturate(need.cpus))));
    let memory = (need.memory > 0).then(|| format!("{} of memory", whole_mib(need.memory)));
    let generic = need.generic.iter().map(|(kind, count)| format!("{count} {kind}"));
    let parts: Vec<String> = cpus.into_iter().chain(memory).chain(generic).collect();
    if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) }
}
