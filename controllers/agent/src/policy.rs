//! What the owner of a machine lets tasks do on it, whatever the cluster wants: a file on the machine, which nobody can change
//! through the cluster.
//!
//! Without one, tasks may do what Docker Swarm's may: bind any path and add any capability, but neither be privileged nor have
//! devices or the host's namespaces, which Swarm's API does not know.

mod paths;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use skep_api::capability;
use skep_api::container::{Mount, MountType, TaskTemplate};
use skep_api::yaml;

use crate::engine::ContainerSpec;

/// Where the file is looked for.
pub const DEFAULT_PATH: &str = "/etc/skep/policy.yaml";
/// What stands for the host's namespace.
const HOST: &str = "host";

/// What tasks may do on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Rules,
    /// The file that says so; none if nothing does.
    file: Option<PathBuf>,
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rules {
    /// What tasks may do although Swarm's may not.
    allow: Allow,
    /// What they may not do although Swarm's may.
    forbid: Forbid,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Allow {
    /// `task.privileged`.
    privileged: bool,
    /// `host` for `task.pid`, `task.ipc` and `task.userns`.
    host_namespaces: bool,
    /// Devices; a path stands for all that is below it.
    devices: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Forbid {
    /// Paths of the machine that are not to be seen in a container: neither they, nor what is below them, nor what they are in.
    host_paths: Vec<PathBuf>,
    /// Capabilities that are not to be added, with or without `CAP_`.
    capabilities: Vec<String>,
}

/// Why the file cannot be obeyed: then no task may be started.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("the policy {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what a policy says.
    #[error("the policy {}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where it is wrong, and why.
        reason: String,
    },
}

impl Policy {
    /// The policy in the file `path`, or the one at [`DEFAULT_PATH`] if there is one.
    ///
    /// # Errors
    /// [`PolicyError`]; a file that was named must be there.
    pub fn load(path: Option<&Path>) -> Result<Self, PolicyError> {
        let default = Path::new(DEFAULT_PATH);
        let file = path.unwrap_or(default);
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(PolicyError::Read { path: file.to_owned(), source }),
        }
    }

    fn parse(text: &str, file: &Path) -> Result<Self, PolicyError> {
        let invalid = |reason: String| PolicyError::Invalid { path: file.to_owned(), reason };
        let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
        let rules: Rules = if is_empty {
            Rules::default()
        } else {
            yaml::from_str(text).map_err(|error| invalid(error.message))?
        };
        if let Some(name) = rules.forbid.capabilities.iter().find(|name| !capability::is_known(name)) {
            return Err(invalid(format!("forbid.capabilities: there is no capability {name:?}")));
        }
        let mut named = rules.allow.devices.iter().chain(&rules.forbid.host_paths);
        match named.find(|path| !path.is_absolute()) {
            Some(path) => Err(invalid(format!("{} is not an absolute path", path.display()))),
            None => Ok(Self { rules, file: Some(file.to_owned()) }),
        }
    }

    /// Whether the container may be created.
    ///
    /// # Errors
    /// The setting that is not allowed, and the file that could allow it, in words for people.
    pub fn check(&self, spec: &ContainerSpec) -> Result<(), String> {
        let task = &spec.revision.task;
        self.check_privileges(task)?;
        self.check_devices(task)?;
        self.check_capabilities(task)?;
        spec.mounts.iter().try_for_each(|mount| self.check_mount(mount))?;
        spec.volumes.iter().try_for_each(|(name, volume)| {
            let what = format!("the volume {name}");
            self.check_driver(&what, volume.driver.as_deref(), &volume.driver_options)
        })
    }

    fn check_privileges(&self, task: &TaskTemplate) -> Result<(), String> {
        if task.privileged && !self.rules.allow.privileged {
            return Err(self.not_allowed("task.privileged", "privileged: true"));
        }
        let namespaces = [("pid", &task.pid), ("ipc", &task.ipc), ("userns", &task.userns)];
        let shared = namespaces.into_iter().find(|(_, value)| value.as_deref() == Some(HOST));
        match shared {
            Some((name, _)) if !self.rules.allow.host_namespaces => {
                Err(self.not_allowed(&format!("task.{name}: {HOST}"), "hostNamespaces: true"))
            }
            _ => Ok(()),
        }
    }

    fn check_devices(&self, task: &TaskTemplate) -> Result<(), String> {
        let is_allowed = |source: &str| {
            let source = paths::resolve(Path::new(source));
            self.rules.allow.devices.iter().any(|allowed| source.starts_with(paths::resolve(allowed)))
        };
        match task.devices.iter().find(|device| !is_allowed(&device.source)) {
            Some(device) => {
                let setting = format!("task.devices: {}", device.source);
                Err(self.not_allowed(&setting, &format!("devices: [{}]", device.source)))
            }
            None => Ok(()),
        }
    }

    fn check_capabilities(&self, task: &TaskTemplate) -> Result<(), String> {
        let (added, _) = capability::effective(&task.cap_add, &[]);
        let is_added = |forbidden: &&String| {
            let has = |name: &str| added.iter().any(|added| added == name);
            let forbidden = capability::normalize(forbidden);
            has(&forbidden) || has(capability::ALL) || forbidden == capability::ALL && !added.is_empty()
        };
        match self.rules.forbid.capabilities.iter().find(is_added) {
            Some(name) => {
                let setting = format!("task.capAdd: {}", added.join(", "));
                Err(self.forbidden(&setting, &format!("capabilities: [{name}]")))
            }
            None => Ok(()),
        }
    }

    fn check_mount(&self, mount: &Mount) -> Result<(), String> {
        let what = format!("the mount at {}", mount.target);
        match (mount.kind, &mount.source) {
            (MountType::Bind, Some(source)) => self.check_path(&what, source),
            (MountType::Volume, _) => {
                self.check_driver(&what, mount.driver.as_deref(), &mount.driver_options)
            }
            (MountType::Bind | MountType::Tmpfs | MountType::Npipe | MountType::Cluster, _) => Ok(()),
        }
    }

    fn check_path(&self, what: &str, source: &str) -> Result<(), String> {
        let found = paths::resolve(Path::new(source));
        let shows = |forbidden: &&PathBuf| {
            let forbidden = paths::resolve(forbidden);
            found.starts_with(&forbidden) || forbidden.starts_with(&found)
        };
        match self.rules.forbid.host_paths.iter().find(shows) {
            Some(path) => {
                let setting = format!("{what}: {source}");
                Err(self.forbidden(&setting, &format!("hostPaths: [{}]", path.display())))
            }
            None => Ok(()),
        }
    }

    /// Docker's own volume driver can mount any path as a volume.
    fn check_driver<'a>(
        &self,
        what: &str,
        driver: Option<&str>,
        options: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<(), String> {
        if self.rules.forbid.host_paths.is_empty() || driver.is_some_and(|driver| driver != "local") {
            return Ok(());
        }
        match paths::of_local_volume(options) {
            paths::Source::Elsewhere => Ok(()),
            paths::Source::Path(path) => self.check_path(what, &path),
            paths::Source::Unknown(options) => Err(self.forbidden(
                &format!("{what}: {options}"),
                "hostPaths: […], and what this mounts cannot be told",
            )),
        }
    }

    fn not_allowed(&self, setting: &str, rule: &str) -> String {
        let file = match &self.file {
            Some(file) => format!("{} does not say", file.display()),
            None => format!("there is no {DEFAULT_PATH} that says"),
        };
        format!("`{setting}` is not allowed on this node: {file} `allow: {{{rule}}}`")
    }

    fn forbidden(&self, setting: &str, rule: &str) -> String {
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH)).display();
        format!("`{setting}` is forbidden on this node: {file} says `forbid: {{{rule}}}`")
    }
}
