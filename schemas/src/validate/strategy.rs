//! Mode and policies: which of them go together.

use super::Report;
use crate::code;
use crate::object::Service;
use crate::service::{EndpointMode, FailureAction, Mode, PublishMode};
use crate::tree::Step;

/// The most tasks of one service.
const REPLICAS_MAX: u32 = 10_000;

pub(super) fn mode(service: &Service, report: &mut Report<'_>) {
    let spec = &service.spec;
    if spec.mode != Mode::Replicated && report.has(&["spec", "replicas"]) {
        report.fault(
            code::CONFLICT,
            &["spec".into(), "replicas".into()],
            "`spec.replicas` goes with mode replicated only",
            if spec.mode == Mode::ReplicatedJob { "use `job: {completions: …}`" } else { "remove it" },
        );
    }
    if spec.replicas > REPLICAS_MAX {
        let message = format!("`spec.replicas` is {}, more than {REPLICAS_MAX}", spec.replicas);
        report.fault(code::OUT_OF_RANGE, &["spec".into(), "replicas".into()], message, "");
    }
    if spec.job.is_some() && spec.mode != Mode::ReplicatedJob {
        let message = "`spec.job` goes with mode replicated-job only";
        report.fault(code::CONFLICT, &["spec".into(), "job".into()], message, "");
    }
    if spec.endpoint_mode == EndpointMode::Dnsrr {
        for (index, _) in spec.ports.iter().enumerate().filter(|(_, port)| port.mode == PublishMode::Ingress)
        {
            report.fault(
                code::CONFLICT,
                &["spec".into(), "ports".into(), index.into()],
                "a port of mode ingress cannot be used with endpointMode dnsrr",
                "use `mode: host`, or `endpointMode: vip`",
            );
        }
    }
}

pub(super) fn update(service: &Service, report: &mut Report<'_>) {
    no_policy_of_jobs(service, "update", report);
}

pub(super) fn rollback(service: &Service, report: &mut Report<'_>) {
    no_policy_of_jobs(service, "rollback", report);
    if service.spec.rollback.failure_action == FailureAction::Rollback {
        let path: [Step<'_>; 3] = ["spec".into(), "rollback".into(), "failureAction".into()];
        let message = "a rollback that fails cannot be rolled back";
        report.fault(code::CONFLICT, &path, message, "use pause or continue");
    }
}

fn no_policy_of_jobs(service: &Service, policy: &str, report: &mut Report<'_>) {
    let is_job = matches!(service.spec.mode, Mode::ReplicatedJob | Mode::GlobalJob);
    if is_job && report.has(&["spec", policy]) {
        let message = format!("a job has no `spec.{policy}`");
        report.fault(code::CONFLICT, &["spec".into(), policy.into()], message, "remove it");
    }
}
