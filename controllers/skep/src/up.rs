//! `skep up`: everything of Skep on one machine, as children of one supervisor.

pub(crate) mod child;
pub(crate) mod defaults;
pub(crate) mod etcd;
pub(crate) mod further;
pub(crate) mod nodes;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod ready;
pub(crate) mod state;
pub(crate) mod supervisor;
#[cfg(test)]
pub(crate) mod testing;

use std::io;
use std::path::PathBuf;

/// Why this machine's processes could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// The directory holds something that Skep did not put there.
    #[error("{} is not a state directory of Skep: it holds {foreign}", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        foreign: String,
    },
    /// Another supervisor has the directory.
    #[error("skep is already up in {}{}", dir.display(), pid.map_or(String::new(), |pid| format!(" (pid {pid})")))]
    AlreadyUp {
        /// The directory.
        dir: PathBuf,
        /// The supervisor.
        pid: Option<u32>,
    },
    /// The directory belongs to a cluster with another etcd.
    #[error("{} belongs to a cluster whose etcd is {known}, not {wanted}", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The etcd that was named.
        wanted: String,
        /// Where its etcd is.
        known: String,
    },
    /// A file of the state directory.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// No free port.
    #[error("no free port on the loopback interface")]
    Ports(#[source] io::Error),
    /// There is no etcd on this machine.
    #[error("there is no etcd on this machine's PATH")]
    NoEtcd,
    /// Further nodes are namespaces, links and daemons of the machine.
    #[error("further nodes on this machine need root")]
    NeedsRoot,
    /// Further nodes need a program of the system.
    #[error("further nodes on this machine need `{tool}`, which is not on the PATH")]
    NoTool {
        /// Which.
        tool: &'static str,
        /// What Debian calls the package that has it.
        package: &'static str,
    },
    /// No addresses for further nodes.
    #[error("no free subnet for further nodes: routes lead into all of 198.19.0.0/16")]
    NoSubnet,
    /// A program of the system failed.
    #[error("{command}")]
    Tool {
        /// The command.
        command: String,
        /// Its last words.
        source: io::Error,
    },
    /// A process could not be started.
    #[error("{name} could not be started")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A process could not be ended.
    #[error("{name} could not be ended")]
    End {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The supervisor ended while it was waited for.
    #[error("the supervisor ended: {end}; its last words:\n{words}")]
    Ended {
        /// How.
        end: String,
        /// The end of its log.
        words: String,
    },
    /// Not everything is there in time.
    #[error("not ready after {limit}: {missing}")]
    NotReady {
        /// How long was waited.
        limit: skep_api::time::Span,
        /// What is missing.
        missing: String,
    },
}

impl UpError {
    /// The failure to read or write `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    /// What to do next, if there is something that helps.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotOurs { .. } => Some("choose an empty directory with --state-dir".to_owned()),
            Self::AlreadyUp { .. } => {
                Some("see what runs: skep status --system; stop it: skep down".to_owned())
            }
            Self::OtherCluster { .. } => Some(
                "choose another directory with --state-dir, or remove this one: skep down --purge".to_owned(),
            ),
            Self::NoEtcd => Some(
                "install it (Debian: apt install etcd-server), or use another with --etcd URL".to_owned(),
            ),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "run it as the owner of the state directory, or name another with --state-dir".to_owned(),
            ),
            Self::NeedsRoot => Some("repeat it as root, or without --nodes: this machine alone".to_owned()),
            Self::NoTool { package, .. } => Some(format!("install it (Debian: apt install {package})")),
            Self::NotReady { .. } => Some("see what each process says: skep status --system".to_owned()),
            Self::File { .. }
            | Self::Certificate(_)
            | Self::Ports(_)
            | Self::NoSubnet
            | Self::Tool { .. }
            | Self::Start { .. }
            | Self::End { .. }
            | Self::Ended { .. } => None,
        }
    }
}
