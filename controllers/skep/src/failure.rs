//! Why a verb failed: the words, the next step, and the exit code that scripts can rely on.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use skep_api::ident::IdentError;
use skep_api::object::Invalid;
use skep_api::time::TimeError;

use crate::up::UpError;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no cluster where it was looked for.
    #[error("no cluster on this machine: {} holds none", dir.display())]
    NoCluster {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// etcd, or the way to it.
    #[error(transparent)]
    Store(#[from] skep_store::Error),
    /// Starting or stopping this machine's processes.
    #[error(transparent)]
    Up(#[from] UpError),
    /// A controller or the agent ended with an error.
    #[error("{name} ended")]
    Process {
        /// Which.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A name on the command line that cannot be one.
    #[error(transparent)]
    Name(#[from] IdentError),
    /// A duration on the command line that is none.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// An argument that does not fit.
    #[error("{argument:?}: {rule}")]
    Argument {
        /// What was given.
        argument: String,
        /// What would be right.
        rule: String,
    },
    /// Manifests with problems, which have been printed.
    #[error("{}, nothing was changed", count(*errors, "error"))]
    Manifests {
        /// How many.
        errors: usize,
    },
    /// A change that its object does not allow.
    #[error("{object}: {reason}")]
    Forbidden {
        /// Which.
        object: String,
        /// Why.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Objects that are not there.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// What was read has moved, or belongs to something else.
    #[error("{}", .0.join("\n"))]
    Conflict(Vec<String>),
    /// It did not come true in time.
    #[error("{what} after {limit}: {details}")]
    Timeout {
        /// What is still so.
        what: &'static str,
        /// What is known about it.
        details: String,
        /// How long was waited.
        limit: skep_api::time::Span,
    },
    /// An update failed, or was taken back.
    #[error("{0}")]
    RolloutFailed(String),
    /// No node fits, and the time is over.
    #[error("{0}")]
    Unplaceable(String),
    /// It was asked whether tasks would wait for a node, and so many would.
    #[error("{} for a node", if *.0 == 1 { "1 task would wait".to_owned() } else { format!("{} tasks would wait", .0) })]
    WouldWait(usize),
    /// What was tried on a copy of the cluster cannot be trusted.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::Broken),
    /// No task runs that could do what is asked.
    #[error("{0}")]
    Idle(String),
    /// Nothing of what was asked for can be read.
    #[error("{0}")]
    Unreadable(String),
    /// A command in a container ended with this exit code, which is passed on.
    #[error("the command ended with exit code {0}")]
    Command(u8),
    /// The person pressed Ctrl-C.
    #[error("stopped waiting; what was written stays written")]
    Interrupted {
        /// The command that waits again.
        resume: String,
    },
    /// A value that cannot be written.
    #[error("a value cannot be written")]
    Value(#[from] Invalid),
    /// Standard output.
    #[error("standard output")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code, as the documentation lists them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::NoCluster { .. }
            | Self::Store(_)
            | Self::Up(_)
            | Self::Process { .. }
            | Self::File { .. }
            | Self::Sandbox(_)
            | Self::Idle(_)
            | Self::Unreadable(_)
            | Self::Value(_)
            | Self::Output(_) => 1,
            Self::Command(code) => *code,
            Self::Name(_)
            | Self::Time(_)
            | Self::Argument { .. }
            | Self::Manifests { .. }
            | Self::Forbidden { .. } => 2,
            Self::Conflict(_) => 4,
            Self::Timeout { .. } => 5,
            Self::RolloutFailed(_) => 6,
            Self::Unplaceable(_) | Self::WouldWait(_) => 7,
            Self::NotFound(_) => 8,
            Self::Interrupted { .. } => 130,
        })
    }

    /// Whether nothing is to be said: there is nobody left to read the words, or a command has said them.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Command(_))
            || matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What to do next, if there is something that helps.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoCluster { .. } => Some(
                "start one with `skep up --detach`, or name another with --state-dir or --etcd".to_owned(),
            ),
            Self::Store(skep_store::Error::Unavailable { .. }) => {
                Some("see what runs: skep status --system".to_owned())
            }
            Self::Store(skep_store::Error::NotBootstrapped) => {
                Some("`skep up` makes a cluster of an empty etcd".to_owned())
            }
            Self::Up(error) => error.hint(),
            Self::Interrupted { resume } => Some(format!("wait again with: {resume}")),
            Self::Conflict(_) => Some("look at what changed: skep get changes -A".to_owned()),
            Self::Timeout { .. } => Some("see what it waits for: skep get tasks,events -A".to_owned()),
            Self::RolloutFailed(_) => Some(
                "see more: skep describe service/NAME; go back: skep rollout undo NAME; try again: skep rollout resume NAME"
                    .to_owned(),
            ),
            Self::Unplaceable(_) => {
                Some("see what is missing: skep get tasks -A; what there is: skep get nodes".to_owned())
            }
            Self::Idle(_) => Some("see what there is: skep get tasks".to_owned()),
            Self::Unreadable(_) => {
                Some("see the nodes: skep get nodes; a node is reached from its own machine only".to_owned())
            }
            Self::Command(_)
            | Self::WouldWait(_)
            | Self::Sandbox(_)
            | Self::Store(_)
            | Self::Process { .. }
            | Self::Name(_)
            | Self::Time(_)
            | Self::Argument { .. }
            | Self::Manifests { .. }
            | Self::Forbidden { .. }
            | Self::File { .. }
            | Self::NotFound(_)
            | Self::Value(_)
            | Self::Output(_) => None,
        }
    }

    /// The failure to read or write `path`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
