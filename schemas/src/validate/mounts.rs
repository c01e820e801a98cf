//! Mounts: paths that cannot lead elsewhere, and fields that fit the type.

use std::collections::BTreeMap;

use super::{Report, one_of};
use crate::code;
use crate::container::{Mount, MountType};
use crate::tree::Step;

/// How mounts below a bind mount propagate (mount(8), "Shared subtree operations").
const PROPAGATIONS: &[&str] = &["private", "rprivate", "shared", "rshared", "slave", "rslave"];
/// moby, `api/types/mount`.
const CONSISTENCIES: &[&str] = &["default", "consistent", "cached", "delegated"];

pub(super) fn check(mounts: &[Mount], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = At { index };
        if !report.is_sound(at.field("").split_at(4).0) {
            continue;
        }
        target(mount, at, report);
        source(mount, at, report);
        fields(mount, at, report);
        tmpfs(mount, at, report);
        bind(mount, at, report);
        volume(mount, at, report);
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
    let Some(target) = report.template(&path, &mount.target) else { return };
    absolute(&target, "the target of a mount", &path, report);
    if target.starts_with('/') && target.split('/').all(|part| matches!(part, "" | ".")) {
        report.fault(code::BAD_PATH, &path, "a mount cannot cover the whole file system `/`", "");
    }
}

fn source(mount: &Mount, at: At, report: &mut Report<'_>) {
    let path = at.field("source");
    let written = mount.source.as_deref().filter(|source| !source.is_empty());
    let source = match written.map(|source| report.template(&path, source)) {
        Some(None) => return,
        Some(Some(source)) => Some(source),
        None => None,
    };
    match (mount.kind, source.as_deref()) {
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

/// Fields that go with one type only.
fn fields(mount: &Mount, at: At, report: &mut Report<'_>) {
    for (name, kind, is_set) in [
        ("size", MountType::Tmpfs, mount.size.is_some()),
        ("mode", MountType::Tmpfs, mount.mode.is_some()),
        ("options", MountType::Tmpfs, !mount.options.is_empty()),
        ("propagation", MountType::Bind, mount.propagation.is_some()),
        ("nonRecursive", MountType::Bind, mount.non_recursive),
        ("createMountpoint", MountType::Bind, mount.create_mountpoint),
        ("noCopy", MountType::Volume, mount.no_copy),
        ("subpath", MountType::Volume, mount.subpath.is_some()),
        ("driver", MountType::Volume, mount.driver.is_some()),
        ("driverOptions", MountType::Volume, !mount.driver_options.is_empty()),
        ("labels", MountType::Volume, !mount.labels.is_empty()),
    ] {
        if is_set && mount.kind != kind {
            let kind = match kind {
                MountType::Tmpfs => "tmpfs",
                MountType::Bind => "bind",
                MountType::Volume | MountType::Npipe | MountType::Cluster => "volume",
            };
            let message = format!("`{name}` goes with `type: {kind}` only");
            report.fault(code::CONFLICT, &at.field(name), message, "");
        }
    }
    choice(mount.consistency.as_deref(), "consistency", CONSISTENCIES, at, report);
}

fn choice(value: Option<&str>, field: &str, values: &[&str], at: At, report: &mut Report<'_>) {
    if let Some(value) = value.filter(|value| !values.contains(value)) {
        let message = format!("{value:?} is not a value of `{field}`");
        report.fault(code::UNKNOWN_VALUE, &at.field(field), message, format!("write {}", one_of(values)));
    }
}

fn tmpfs(mount: &Mount, at: At, report: &mut Report<'_>) {
    if mount.kind != MountType::Tmpfs {
        return;
    }
    let is_octal = |mode: &str| {
        (1..=4).contains(&mode.len()) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
    };
    if let Some(mode) = mount.mode.as_deref().filter(|mode| !is_octal(mode)) {
        let message = format!("{mode:?} is not a file mode: write up to four octal digits, such as \"1777\"");
        report.fault(code::MALFORMED, &at.field("mode"), message, "");
    }
    for (index, option) in mount.options.iter().enumerate() {
        let path = [&at.field("options")[..], &[index.into()]].concat();
        let own = match option.split('=').next() {
            Some("size") => Some("size"),
            Some("mode") => Some("mode"),
            Some("ro" | "rw") => Some("readOnly"),
            _ => None,
        };
        if let Some(own) = own {
            report.fault(
                code::CONFLICT,
                &path,
                format!("{option:?} has a field of its own"),
                format!("use `{own}`"),
            );
        } else if option.is_empty() || option.contains([',', ' ']) {
            report.fault(code::MALFORMED, &path, "an option is one word, such as exec or uid=1000", "");
        }
    }
}

fn bind(mount: &Mount, at: At, report: &mut Report<'_>) {
    if mount.kind == MountType::Bind {
        choice(mount.propagation.as_deref(), "propagation", PROPAGATIONS, at, report);
    }
}

fn volume(mount: &Mount, at: At, report: &mut Report<'_>) {
    if mount.kind != MountType::Volume {
        return;
    }
    let is_inside =
        |path: &str| !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..");
    if let Some(subpath) = mount.subpath.as_deref().filter(|path| !is_inside(path)) {
        let message = format!("`subpath` is a path inside of the volume, not {subpath:?}");
        report.fault(code::BAD_PATH, &at.field("subpath"), message, "without a leading `/` and without `..`");
    }
    for (name, map) in [("driverOptions", &mount.driver_options), ("labels", &mount.labels)] {
        for (key, value) in map {
            report.template(&[&at.field(name)[..], &[Step::Key(key)]].concat(), value);
        }
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
