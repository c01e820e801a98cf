//! Published ports: no two may claim the same one.

use std::collections::BTreeMap;

use super::Report;
use crate::code;
use crate::service::ServiceSpec;
use crate::tree::Step;

pub(super) fn check(spec: &ServiceSpec, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, port) in spec.ports.iter().enumerate().filter(|(_, port)| port.published != 0) {
        let path: [Step<'_>; 4] = ["spec".into(), "ports".into(), index.into(), "published".into()];
        if !report.is_sound(path.split_at(3).0) {
            continue;
        }
        if let Some(first) = seen.get(&(port.published, port.protocol)) {
            let message = format!("port {} is published twice", port.published);
            let hint = format!("it is at line {first} already");
            report.fault(code::DUPLICATE_ITEM, &path, message, hint);
        } else {
            seen.insert((port.published, port.protocol), report.line(&path));
        }
    }
}
