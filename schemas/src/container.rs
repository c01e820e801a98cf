//! What goes into a container: everything that, when it changes, replaces tasks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ident::{Name, Stack};
use crate::node::Resources;
use crate::quantity::{Cpus, Memory};
use crate::service::{Labels, is_default};
use crate::time::Span;

/// What goes into a container.
#[allow(clippy::struct_excessive_bools, reason = "the fields are Docker's")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskTemplate {
    /// The image, such as `nginx:1.27`.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Replaces the image's arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Environment variables. Values are templates: `{{.Node.Hostname}}`, `{{.Task.Slot}}`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The user and group of the process, such as `1000:1000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// More groups of the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The directory in which the process starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The host name in the container; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Labels of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// File systems from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// What it may use, and what is set aside for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: ResourceRequirements,
    /// Whether an init process reaps children and passes signals on; by default not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: bool,
    /// The signal that asks the process to end; by default the image's, or SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed; by default 10s.
    #[serde(
        default = "crate::defaults::stop_grace_period",
        skip_serializing_if = "crate::defaults::is_stop_grace_period"
    )]
    pub stop_grace_period: Span,
    /// Whether it has a terminal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Whether its standard input is kept open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin_open: bool,
    /// Whether its root file system is read-only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// What happens between its being taken out of the endpoints and the signal that stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
    /// When the image is fetched from its registry.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull_policy: PullPolicy,
    /// How its health is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Secrets that it sees as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileReference>,
    /// Configs that it sees as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<FileReference>,
    /// Networks that it is attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkReference>,
    /// Lines for /etc/hosts: name to address, or to `host-gateway`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
    /// How it resolves names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Kernel settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities given, with or without `CAP_`; `ALL` is every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities taken; one that is given is not taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Limits of the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// How readily the kernel kills it for want of memory, −1000 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Whether it may do all that the node's root may do; the node's policy must allow it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Devices of the node, which its policy must allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The size of /dev/shm; by default Docker's, 64Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Memory>,
    /// Whose processes it sees: `host`, which the node's policy must allow, or its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Whose shared memory it sees: `host`, which the node's policy must allow, `none`, `private` or `shareable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc: Option<String>,
    /// Whose user ids it has: `host`, which the node's policy must allow, or the daemon's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns: Option<String>,
    /// Windows isolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Security modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Privileges>,
    /// Raise it to replace all tasks although nothing else changed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub force_update: u64,
}

/// What happens before a task that serves is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreStop {
    /// How long to wait once nobody sends it new connections; by default 0s.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wait: Span,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// If it is not on the node.
    #[default]
    Missing,
    /// Before every task; if its registry does not answer, what is on the node will do (as in Swarm).
    Always,
    /// Never.
    Never,
}

/// A device of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Its path on the node, such as `/dev/fuse`.
    pub source: String,
    /// Its path in the container; by default the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What may be done with it: some of r, w and m; by default `rwm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<String>,
}

/// What a container may use, and what is set aside for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceRequirements {
    /// The most that it may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// What is set aside for it on its node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reservations: Reservations,
    /// Swap that it may use beyond its memory; by default as much as memory. It needs a limit of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Memory>,
    /// How readily it is swapped, 0 to 100; −1 is the node's own setting. Nodes with cgroup v2 ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<i32>,
}

/// The most that a container may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Cores; at least 0.001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// Memory; at least 4Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
}

/// What is set aside on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reservations {
    /// Cores; at least 0.001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// Memory; at least 4Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Generic resources, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generic: BTreeMap<String, u32>,
}

impl Reservations {
    /// CPU and memory, zero where nothing is reserved.
    pub fn amounts(&self) -> Resources {
        Resources { cpus: self.cpus.unwrap_or_default(), memory: self.memory.unwrap_or_default() }
    }
}

/// Where a mount comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountType {
    /// A volume of Docker's.
    #[default]
    Volume,
    /// A path of the node.
    Bind,
    /// Memory.
    Tmpfs,
    /// A named pipe (Windows).
    Npipe,
    /// A cluster volume.
    Cluster,
}

/// A file system from outside the container.
#[allow(clippy::struct_excessive_bools, reason = "the fields are Docker's")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// volume (the default), bind or tmpfs.
    #[serde(default, rename = "type", skip_serializing_if = "is_default")]
    pub kind: MountType,
    /// The node's path, or the volume's name: a Volume of the stack if there is one of that name, else Docker's own. Without
    /// one, a volume is anonymous. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The path in the container; a template.
    pub target: String,
    /// Whether it cannot be written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// tmpfs: its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
    /// tmpfs: its mode, in octal, such as "1777".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// tmpfs: more options, such as `exec` or `uid=1000`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// bind: how mounts below it propagate; by default rprivate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<String>,
    /// bind: whether mounts below it are left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub non_recursive: bool,
    /// bind: whether a missing path is created.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_mountpoint: bool,
    /// volume: whether the image's files are not copied into an empty volume.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_copy: bool,
    /// volume: the path in the volume that is mounted; nodes with Docker before 26.0 refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// volume: the driver that creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// volume: options of its driver; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
    /// volume: labels that it is created with; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Consistency, for Docker on other systems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<String>,
}

/// How health is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Healthcheck {
    /// `[CMD, …]`, `[CMD-SHELL, …]` or `[NONE]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// How often; by default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// How long an answer may take; by default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How many failures in a row are too many; by default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long failures do not count after the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Span>,
    /// How often during the start period; nodes with Docker before 25.0 ask as often as later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Span>,
}

/// A secret or config that is seen as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileReference {
    /// Its name.
    pub name: Name,
    /// The path in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The file's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The file's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<String>,
    /// The file's mode, in octal, such as "0444".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// A network that a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkReference {
    /// Its name.
    pub name: Name,
    /// Its stack, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// More names under which the service is found there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Name>,
    /// Options of its driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
}

/// How names are resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dns {
    /// Addresses of resolvers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Domains to search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logging {
    /// Docker's logging driver.
    pub driver: String,
    /// Its options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A limit of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ulimit {
    /// Which one, such as `nofile`.
    pub name: String,
    /// The limit that it starts with.
    pub soft: i64,
    /// The limit that it may raise it to.
    pub hard: i64,
}

/// Security modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Privileges {
    /// Whether the process can gain no more privileges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// seccomp: default, unconfined, or a profile as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
    /// AppArmor: default or disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// SELinux labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux: Option<Selinux>,
    /// Credential spec (Windows).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<String>,
}

/// SELinux labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selinux {
    /// Whether it is switched off.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
    /// User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}
