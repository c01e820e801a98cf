//! Mounts: paths that cannot lead elsewhere, and fields that fit the type.

use std::collections::BTreeMap;

use super::Report;
use crate::code;
use crate::container::{Mount, MountType};
use crate::tree::Step;

pub(super) fn check(mounts: &[Mount], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = At { index };
        if !report.is_sound(at.field("").split_at(4).0) {
            continue;
        }
        target(mount, at, report);
        source(mount, at, report);
        tmpfs(mount, at, report);
        let clean = mount.target.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>();
        let path = at.field("target");
        if let Some(first) = seen.get(&clean) {
            let message = format!("two mounts have the target {:?}", mount.target);
            report.fault(code::DUPLICATE_ITEM, &path, message, format!("it is at line {first} already"));
        } else {
            seen.insert(clean, report.line(&path));
        }
    }
}

/// Which mount is looked at.
#[derive(Clone, Copy)]
struct At {
    index: usize,
}

impl At {
    fn field(self, name: &str) -> [Step<'_>; 5] {
        ["spec".into(), "task".into(), "mounts".into(), self.index.into(), name.into()]
    }
}

fn target(mount: &Mount, at: At, report: &mut Report<'_>) {
    let path = at.field("target");
    report.no_template(&path, &mount.target);
    absolute(&mount.target, "the target of a mount", &path, report);
    if mount.target.starts_with('/') && mount.target.split('/').all(|part| matches!(part, "" | ".")) {
        report.fault(code::BAD_PATH, &path, "a mount cannot cover the whole file system `/`", "");
    }
}

fn source(mount: &Mount, at: At, report: &mut Report<'_>) {
    let path = at.field("source");
    let source = mount.source.as_deref().filter(|source| !source.is_empty());
    if let Some(source) = source {
        report.no_template(&path, source);
    }
    match (mount.kind, source) {
        (MountType::Bind, None) => {
            let message = "a bind mount needs the `source`, a path of the node";
            report.fault(code::MISSING_FIELD, &path, message, "");
        }
        (MountType::Bind, Some(source)) => absolute(source, "the source of a bind mount", &path, report),
        (MountType::Tmpfs, Some(_)) => {
            report.fault(code::CONFLICT, &path, "a tmpfs mount has no `source`", "remove it");
        }
        (MountType::Volume, Some(source)) if !is_volume_name(source) => {
            let hint = if source.contains('/') { "use `type: bind` for a path of the node" } else { "" };
            let message = format!("{source:?} is not the name of a volume");
            report.fault(code::MALFORMED, &path, message, hint);
        }
        (MountType::Volume, None) if mount.read_only => {
            let message = "a volume without a name is new, so it cannot be read-only";
            report.fault(code::CONFLICT, &at.field("readOnly"), message, "");
        }
        (MountType::Volume | MountType::Tmpfs | MountType::Npipe | MountType::Cluster, _) => {}
    }
}

fn tmpfs(mount: &Mount, at: At, report: &mut Report<'_>) {
    if mount.kind != MountType::Tmpfs {
        for (name, is_set) in [("size", mount.size.is_some()), ("mode", mount.mode.is_some())] {
            if is_set {
                let message = format!("`{name}` goes with `type: tmpfs` only");
                report.fault(code::CONFLICT, &at.field(name), message, "");
            }
        }
        return;
    }
    let is_octal = |mode: &str| {
        (1..=4).contains(&mode.len()) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
    };
    if let Some(mode) = mount.mode.as_deref().filter(|mode| !is_octal(mode)) {
        let message = format!("{mode:?} is not a file mode: write up to four octal digits, such as \"1777\"");
        report.fault(code::MALFORMED, &at.field("mode"), message, "");
    }
}

/// Refuses a path that depends on where one stands, or climbs.
pub(super) fn absolute(text: &str, what: &str, path: &[Step<'_>], report: &mut Report<'_>) {
    if text.chars().any(char::is_control) {
        report.fault(code::BAD_PATH, path, format!("{what} has control characters"), "");
    } else if !text.starts_with('/') {
        report.fault(code::BAD_PATH, path, format!("{what} must be an absolute path, not {text:?}"), "");
    } else if text.split('/').any(|part| part == "..") {
        report.fault(
            code::BAD_PATH,
            path,
            format!("{what} must not hold `..`"),
            "write the path that you mean",
        );
    }
}

/// Docker's rule for names of volumes.
fn is_volume_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}
