//! What a service and its revision ask of a node itself, whatever else is on it.

use skep_api::container::MountType;
use skep_api::ident::NodeId;
use skep_api::service::{Placement, PlatformRequirement};

use super::constraint::{Facts, is_met};
use super::view::{Seen, View};

/// What is known of `id`, if it is a node.
pub(super) fn facts<'a>(view: &'a View, id: &'a NodeId) -> Option<Facts<'a>> {
    let spec = view.nodes.get(id)?;
    let report = view.reports.get(id).map(|held| held.value.as_ref());
    Some(Facts { id, spec: &spec.value, report })
}

/// Why `node` is none of those that `placement` asks for.
pub(super) fn misfit(view: &View, placement: &Placement, node: &NodeId) -> Option<String> {
    let Some(facts) = facts(view, node) else { return Some("the node is gone".to_owned()) };
    let unmet = placement.constraints.iter().find(|text| !is_met(text, facts));
    if let Some(text) = unmet {
        return Some(format!("it does not meet {text:?}"));
    }
    let platform = facts.report.map(|report| &report.platform);
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    let runs = |wanted: &PlatformRequirement| {
        platform
            .is_some_and(|found| is(&wanted.os, &found.os) && is(&wanted.architecture, &found.architecture))
    };
    let is_right = placement.platforms.is_empty() || placement.platforms.iter().any(runs);
    (!is_right).then(|| "the image does not run on its platform".to_owned())
}

/// What `node` lacks of the drivers and volumes that the containers of `task` need.
pub(super) fn lack(view: &View, task: &Seen, node: &NodeId) -> Option<String> {
    let revision = view.revision_of(&task.task)?;
    let Facts { id, spec, report } = facts(view, node)?;
    let elsewhere = revision.volumes.iter().find(|(_, volume)| {
        volume.node.as_ref().is_some_and(|node| *node != spec.name && *node != id.to_string())
    });
    if let Some((name, _)) = elsewhere {
        return Some(format!("the volume {name} is on another node"));
    }
    // An agent that names no driver of a sort says nothing of it.
    let plugins = &report?.plugins;
    let mounts = revision.task.mounts.iter().filter(|mount| mount.kind == MountType::Volume);
    let volumes = revision.volumes.values().filter_map(|volume| volume.driver.as_ref());
    let mut volumes = mounts.filter_map(|mount| mount.driver.as_ref()).chain(volumes);
    let is_missing = |name: &&String| {
        !matches!(name.as_str(), "" | "local")
            && !plugins.volume.is_empty()
            && !plugins.volume.contains(*name)
    };
    if let Some(driver) = volumes.find(is_missing) {
        return Some(format!("the volume driver {driver} is missing"));
    }
    let driver = revision.task.logging.as_ref().map(|logging| &logging.driver);
    let is_known = |driver: &String| {
        matches!(driver.as_str(), "" | "none") || plugins.log.is_empty() || plugins.log.contains(driver)
    };
    driver.filter(|driver| !is_known(driver)).map(|driver| format!("the log driver {driver} is missing"))
}
