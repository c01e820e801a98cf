//! Mode and policies: which of them go together.

use super::Report;
use crate::code;
use crate::service::{EndpointMode, FailureAction, Mode, PublishMode, ServiceSpec};
use crate::tree::Step;

pub(super) fn check(spec: &ServiceSpec, report: &mut Report<'_>) {
    if report.is_sound(&["spec".into(), "mode".into()]) {
        mode(spec, report);
        policies_of_jobs(spec, report);
    }
    endpoint(spec, report);
    if spec.rollback.failure_action == FailureAction::Rollback {
        let path: [Step<'_>; 3] = ["spec".into(), "rollback".into(), "failureAction".into()];
        let message = "a rollback that fails cannot be rolled back";
        report.fault(code::CONFLICT, &path, message, "use pause or continue");
    }
}

fn mode(spec: &ServiceSpec, report: &mut Report<'_>) {
    if spec.mode != Mode::Replicated && report.has(&["spec", "replicas"]) {
        let hint =
            if spec.mode == Mode::ReplicatedJob { "use `job: {completions: …}`" } else { "remove it" };
        let message = "`spec.replicas` goes with mode replicated only";
        report.fault_name(code::CONFLICT, &["spec".into(), "replicas".into()], message, hint);
    }
    if spec.mode != Mode::ReplicatedJob && spec.job.is_some() {
        let message = "`spec.job` goes with mode replicated-job only";
        report.fault(code::CONFLICT, &["spec".into(), "job".into()], message, "");
    }
}

fn policies_of_jobs(spec: &ServiceSpec, report: &mut Report<'_>) {
    if !matches!(spec.mode, Mode::ReplicatedJob | Mode::GlobalJob) {
        return;
    }
    for policy in ["update", "rollback"] {
        if report.has(&["spec", policy]) {
            let message = format!("a job has no `spec.{policy}`");
            report.fault(code::CONFLICT, &["spec".into(), policy.into()], message, "remove it");
        }
    }
}

fn endpoint(spec: &ServiceSpec, report: &mut Report<'_>) {
    if spec.endpoint_mode != EndpointMode::Dnsrr {
        return;
    }
    for (index, _) in spec.ports.iter().enumerate().filter(|(_, port)| port.mode == PublishMode::Ingress) {
        let path: [Step<'_>; 3] = ["spec".into(), "ports".into(), index.into()];
        if report.is_sound(&path) {
            let message = "a port of mode ingress cannot be used with endpointMode dnsrr";
            report.fault(code::CONFLICT, &path, message, "use `mode: host`, or `endpointMode: vip`");
        }
    }
}
