//! Services that want no task, or no further one, so that it is no filter that keeps them from a node.

use skep_api::condition::{self, Truth};
use skep_api::key::{Key, ServiceRef};
use skep_api::object::Object;
use skep_api::service::Mode;

use crate::cut::Cut;
use crate::sandbox::picture::service_name;
use crate::verb::why::status;

/// Why `service` wants no task at all, and how it would; nothing if it wants one.
pub(super) fn reason(cut: &Cut, service: &ServiceRef) -> Option<String> {
    let name = service_name(service);
    if mode(cut, service)? == (Mode::Replicated, 0) {
        return Some(format!("{name} is scaled to 0, so it wants no task; start one: skep scale {name}=1"));
    }
    let completed = completed(cut, service)?;
    Some(format!("{name} is a job that is complete ({completed}); run it again: skep rollout restart {name}"))
}

/// That a global service has one task on each node, and whether it has that on `node`; nothing of other services.
pub(super) fn global(
    cut: &Cut,
    service: &ServiceRef,
    node: &str,
    has_one: bool,
    fits: bool,
) -> Option<String> {
    let name = service_name(service);
    let (Mode::Global | Mode::GlobalJob, _) = mode(cut, service)? else { return None };
    let there = match (has_one, fits) {
        (true, _) => format!("{node} has its task; see it: skep why {name}"),
        (false, true) => format!("that for {node} is still to come; see why: skep describe service/{name}"),
        (false, false) => format!("{node} does not fit"),
    };
    Some(format!("{name} is global, one task on every node that fits: {there}"))
}

/// Its mode, and how many tasks it wants in a mode that has a number of them.
fn mode(cut: &Cut, service: &ServiceRef) -> Option<(Mode, u32)> {
    let Some(Object::Service(found)) = cut.object(&Key::Service(service.clone())) else { return None };
    Some((found.spec.mode, found.spec.replicas))
}

/// How much of a job is done, if all of it is, by a status that speaks of the spec as it is.
fn completed(cut: &Cut, service: &ServiceRef) -> Option<String> {
    let written = cut.entry(&Key::Service(service.clone()))?.modified;
    let status = status(cut, service).filter(|status| status.observed_version == written)?;
    let ready = condition::find(&status.conditions, "Ready")?;
    let is_complete = ready.status == Truth::True && ready.reason == "JobComplete";
    is_complete.then(|| ready.message.clone())
}
