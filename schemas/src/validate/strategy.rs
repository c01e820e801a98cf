//! Mode and policies: which of them go together.

use std::collections::BTreeMap;

use super::{Report, item, steps};
use crate::code;
use crate::object::Service;
use crate::service::{EndpointMode, FailureAction, Mode, PublishMode, ServiceSpec};
use crate::time::Span;
use crate::tree::Step;

pub(super) fn check(service: &Service, report: &mut Report<'_>) {
    let spec = &service.spec;
    if report.is_sound(&["spec".into(), "mode".into()]) {
        mode(spec, report);
        policies_of_jobs(spec, report);
    }
    endpoint(spec, report);
    job(spec, report);
    restart(spec, report);
    dependencies(service, report);
    if spec.rollback.partition.is_some() {
        let message = "a rollback takes back all slots: it has no `partition`";
        report.fault_name(code::CONFLICT, &steps(&["spec", "rollback", "partition"]), message, "remove it");
    }
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

fn job(spec: &ServiceSpec, report: &mut Report<'_>) {
    if spec.job.as_ref().is_some_and(|job| job.max_concurrent == Some(0)) {
        let message = "with `maxConcurrent: 0` nothing would ever run";
        let hint = "leave it out to run all at once";
        report.fault(code::OUT_OF_RANGE, &steps(&["spec", "job", "maxConcurrent"]), message, hint);
    }
}

fn restart(spec: &ServiceSpec, report: &mut Report<'_>) {
    let (delay, longest) = (spec.restart.delay, spec.restart.max_delay);
    let path = ["spec", "restart", "maxDelay"];
    if report.has(&path) && longest != Span::default() && longest < delay {
        let message = format!("`maxDelay` is {longest}, less than the delay of {delay}");
        let hint = "0s lets the delay never grow";
        report.fault(code::CONFLICT, &steps(&path), message, hint);
    }
}

fn dependencies(service: &Service, report: &mut Report<'_>) {
    let list = ["spec", "dependsOn"];
    let own = (&service.metadata.stack, &service.metadata.name);
    let mut seen = BTreeMap::new();
    for (index, dependency) in service.spec.depends_on.iter().enumerate() {
        let path = item(&list, index, "service");
        if !report.is_sound(path.split_at(3).0) {
            continue;
        }
        let named = (dependency.stack.as_ref().unwrap_or(own.0), &dependency.service);
        if named == own {
            report.fault(code::CONFLICT, &path, "a service cannot wait for itself", "remove it");
        } else if let Some(first) = seen.get(&named) {
            let message = format!("`{}` is waited for twice", dependency.service);
            report.fault(code::DUPLICATE_ITEM, &path, message, format!("it is at line {first} already"));
        } else {
            seen.insert(named, report.line(&path));
        }
    }
}
