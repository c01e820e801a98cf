//! What the process may do: capabilities, security modules, devices, namespaces.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Report, item, mounts, one_of, steps};
use crate::capability;
use crate::code;
use crate::container::{Device, Privileges, Selinux, TaskTemplate};
use crate::manifest::nearest;
use crate::tree::Step;

/// The kernel's range (proc(5), `oom_score_adj`).
const OOM_SCORE_ADJ: RangeInclusive<i32> = -1000..=1000;
const TASK: [&str; 2] = ["spec", "task"];

pub(super) fn check(task: &TaskTemplate, report: &mut Report<'_>) {
    capabilities("capAdd", &task.cap_add, report);
    capabilities("capDrop", &task.cap_drop, report);
    for (name, value, values) in [
        ("pid", &task.pid, &["host"][..]),
        ("ipc", &task.ipc, &["host", "none", "private", "shareable"]),
        ("userns", &task.userns, &["host"]),
    ] {
        choice(&[TASK[0], TASK[1], name], value.as_deref(), values, report);
    }
    if let Some(score) = task.oom_score_adj.filter(|score| !OOM_SCORE_ADJ.contains(score)) {
        let message = format!("`oomScoreAdj` is {score}, which is not from -1000 to 1000");
        report.fault(code::OUT_OF_RANGE, &steps(&["spec", "task", "oomScoreAdj"]), message, "");
    }
    if let Some(privileges) = &task.privileges {
        security_modules(privileges, report);
    }
    devices(&task.devices, report);
}

fn capabilities(field: &str, names: &[String], report: &mut Report<'_>) {
    for (index, name) in names.iter().enumerate() {
        let path = [steps(&["spec", "task", field]).as_slice(), &[Step::Item(index)]].concat();
        if capability::is_known(name) || !report.is_sound(&path) {
            continue;
        }
        let written = capability::normalize(name);
        let near = nearest(written.trim_start_matches("CAP_"), capability::names().chain([capability::ALL]));
        let hint =
            near.map_or("such as NET_ADMIN, or ALL".to_owned(), |near| format!("did you mean {near}?"));
        report.fault(code::UNKNOWN_VALUE, &path, format!("there is no capability {name:?}"), hint);
    }
}

fn choice(path: &[&str], value: Option<&str>, values: &[&str], report: &mut Report<'_>) {
    if let Some(value) = value.filter(|value| !values.contains(value)) {
        let message = format!("{value:?} is not a value of `{}`", path.join("."));
        report.fault(code::UNKNOWN_VALUE, &steps(path), message, format!("write {}", one_of(values)));
    }
}

fn security_modules(privileges: &Privileges, report: &mut Report<'_>) {
    let path = |name| [TASK[0], TASK[1], "privileges", name];
    choice(&path("apparmor"), privileges.apparmor.as_deref(), &["default", "disabled"], report);
    let is_profile =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok_and(|profile| profile.is_object());
    let seccomp = privileges.seccomp.as_deref().filter(|text| !matches!(*text, "default" | "unconfined"));
    if seccomp.is_some_and(|text| !is_profile(text)) {
        let message = "`seccomp` is neither default nor unconfined nor a profile as JSON";
        report.fault(code::MALFORMED, &steps(&path("seccomp")), message, "");
    }
    if let Some(Selinux { disable: true, user, role, kind, level }) = &privileges.selinux
        && [user, role, kind, level].into_iter().any(Option::is_some)
    {
        let message = "SELinux cannot be disabled and have labels";
        report.fault(code::CONFLICT, &steps(&path("selinux")), message, "remove `disable`, or the labels");
    }
}

fn devices(devices: &[Device], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, device) in devices.iter().enumerate() {
        let at = |name| item(&["spec", "task", "devices"], index, name);
        if !report.is_sound(at("source").split_at(4).0) {
            continue;
        }
        mounts::absolute(&device.source, "the source of a device", &at("source"), report);
        if let Some(target) = &device.target {
            mounts::absolute(target, "the target of a device", &at("target"), report);
        }
        if let Some(permissions) = device.permissions.as_deref().filter(|text| !is_permissions(text)) {
            let message = format!("{permissions:?} are not permissions of a device");
            report.fault(code::MALFORMED, &at("permissions"), message, "write some of r, w and m");
        }
        let target = device.target.as_ref().unwrap_or(&device.source);
        if let Some(first) = seen.get(target) {
            let message = format!("two devices have the target {target:?}");
            report.fault(
                code::DUPLICATE_ITEM,
                &at("source"),
                message,
                format!("it is at line {first} already"),
            );
        } else {
            seen.insert(target, report.line(&at("source")));
        }
    }
}

/// Each of r, w and m at most once, and one of them.
fn is_permissions(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|c| matches!(c, 'r' | 'w' | 'm')) && "rwm".chars().all(once)
}
