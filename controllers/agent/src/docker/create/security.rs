//! What a container's process may do.

use bollard::models::HostConfig;
use skep_api::capability;
use skep_api::container::{Privileges, Selinux, TaskTemplate};

const DEFAULT: &str = "default";

pub(super) fn apply(task: &TaskTemplate, config: &mut HostConfig) {
    let (add, drop) = capability::effective(&task.cap_add, &task.cap_drop);
    config.cap_add = Some(add);
    config.cap_drop = Some(drop);
    config.privileged = Some(task.privileged);
    config.security_opt = task.privileges.as_ref().map(options);
}

/// As moby's executor has them: a profile of seccomp is passed on as it is, and AppArmor is off if it is `unconfined`.
fn options(privileges: &Privileges) -> Vec<String> {
    let mut options = Vec::new();
    if privileges.no_new_privileges {
        options.push("no-new-privileges=true".to_owned());
    }
    if let Some(profile) = privileges.seccomp.as_deref().filter(|profile| *profile != DEFAULT) {
        options.push(format!("seccomp={profile}"));
    }
    if privileges.apparmor.as_deref().is_some_and(|profile| profile != DEFAULT) {
        options.push("apparmor=unconfined".to_owned());
    }
    options.extend(privileges.selinux.iter().flat_map(labels));
    options
}

fn labels(selinux: &Selinux) -> Vec<String> {
    if selinux.disable {
        return vec!["label=disable".to_owned()];
    }
    let Selinux { disable: _, user, role, kind, level } = selinux;
    [("user", user), ("role", role), ("type", kind), ("level", level)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("label={name}:{value}")))
        .collect()
}
