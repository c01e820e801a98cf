//! Volumes: what Docker can create.

use super::{Report, entry, labels, steps};
use crate::code;
use crate::object::Volume;
use crate::service::Labels;
use crate::template::is_template;

/// Docker's names of volumes have at least so many characters.
const NAME_MIN_CHARS: usize = 2;

/// Checks a volume.
pub(crate) fn check(volume: &Volume, report: &mut Report<'_>) {
    let name = &volume.metadata.name;
    if name.as_str().len() < NAME_MIN_CHARS && report.is_sound(&steps(&["metadata", "name"])) {
        let message = format!("the name of a volume has at least {NAME_MIN_CHARS} characters");
        report.fault(code::MALFORMED, &steps(&["metadata", "name"]), message, "");
    }
    labels(&["metadata", "labels"], &volume.metadata.labels, report);
    labels(&["spec", "labels"], &volume.spec.labels, report);
    if volume.spec.driver.as_deref() == Some("") {
        report.fault(code::MALFORMED, &steps(&["spec", "driver"]), "`spec.driver` is empty", "remove it");
    }
    if volume.spec.node.as_ref().is_some_and(|node| node.trim().is_empty()) {
        let hint = "write the name or the id of a node, or remove it";
        report.fault(code::MALFORMED, &steps(&["spec", "node"]), "`spec.node` is empty", hint);
    }
    literal(&["spec", "labels"], &volume.spec.labels, report);
    literal(&["spec", "driverOptions"], &volume.spec.driver_options, report);
}

/// All tasks of a node share the volume, so nothing in it can be a task's.
fn literal(map: &[&str], values: &Labels, report: &mut Report<'_>) {
    for (key, _) in values.iter().filter(|(_, value)| is_template(value)) {
        let message = "a Volume has no templates: it is the same for all tasks";
        let hint = "write the options at the mount, whose values are templates";
        report.fault(code::BAD_TEMPLATE, &entry(map, key), message, hint);
    }
}
