//! Placement: constraints must have the form of one, and should name something that nodes have.

use super::{LABEL_MAX_BYTES, LABELS_MAX, Report, steps};
use crate::code;
use crate::constraint::{Constraint, Property};
use crate::service::{Mode, ServiceSpec};
use crate::tree::Step;

pub(super) fn check(spec: &ServiceSpec, report: &mut Report<'_>) {
    constraints(&spec.placement.constraints, report);
    let is_everywhere = matches!(spec.mode, Mode::Global | Mode::GlobalJob);
    if is_everywhere && spec.placement.max_replicas_per_node > 0 {
        let path = steps(&["spec", "placement", "maxReplicasPerNode"]);
        let message = "`maxReplicasPerNode` goes with the modes replicated and replicated-job";
        report.fault_name(code::CONFLICT, &path, message, "remove it");
    }
}

fn constraints(constraints: &[String], report: &mut Report<'_>) {
    let list: [Step<'_>; 3] = ["spec".into(), "placement".into(), "constraints".into()];
    if constraints.len() > LABELS_MAX {
        let message = format!("{} constraints are more than {LABELS_MAX}", constraints.len());
        report.fault(code::LIMIT, &list, message, "");
    }
    for (index, text) in constraints.iter().enumerate() {
        let path = [list.as_slice(), &[Step::Item(index)]].concat();
        if !report.is_sound(&path) {
            continue;
        }
        if text.len() > LABEL_MAX_BYTES {
            let message = format!("a constraint has at most {LABEL_MAX_BYTES} bytes");
            report.fault(code::LIMIT, &path, message, "");
            continue;
        }
        match text.parse::<Constraint>() {
            Err(error) => report.fault(code::BAD_CONSTRAINT, &path, error.to_string(), ""),
            Ok(constraint) if *constraint.property() == Property::Unknown => {
                let message = format!("no node will match {text:?}: nodes have no such property");
                let hint = "such as node.labels.KEY, node.name, node.role, node.platform.arch";
                report.fault(code::NEVER_MATCHES, &path, message, hint);
            }
            Ok(_) => {}
        }
    }
}
