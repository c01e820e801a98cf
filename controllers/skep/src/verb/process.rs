//! What the long-running verbs share: logs, signals, health, and an etcd that is waited for.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Args;
use skep_runtime::process::{Health, LogFormat, shutdown_on_signals, start_logging};
use skep_store::Store;
use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::cluster::Access;
use crate::failure::Failure;
use crate::up::ready;
use crate::up::state::StateDir;

/// How a process logs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LogArgs {
    /// How log lines are written to standard error
    #[arg(
        long,
        value_name = "FORMAT",
        env = "SKEP_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text"
    )]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A long-running process.
pub(crate) struct Process<'a> {
    context: &'a Context,
    name: String,
    state: StateDir,
    access: Access,
}

impl<'a> Process<'a> {
    /// Begins to log, and finds the cluster.
    pub(crate) fn start(context: &'a Context, name: &str, log: LogArgs) -> Result<Self, Failure> {
        start_logging(match log.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        });
        let state = context.cluster.state();
        state.create()?;
        Ok(Self { context, name: name.to_owned(), state, access: context.cluster.access()? })
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &StateDir {
        &self.state
    }

    /// Where to tell about its health: another process of the same name that lives keeps its socket.
    fn socket(&self) -> PathBuf {
        let own = self.state.socket(&self.name);
        match UnixStream::connect(&own) {
            Ok(_) => self.state.socket(&format!("{}-{}", self.name, std::process::id())),
            Err(_) => own,
        }
    }

    /// Does `work` as soon as etcd answers, until it ends or a signal comes; tells about its health meanwhile.
    pub(crate) async fn run<W>(self, health: Health, work: W) -> Result<(), Failure>
    where
        W: AsyncFnOnce(Store, CancellationToken) -> Result<(), Failure>,
    {
        let (shutdown, signals) = shutdown_on_signals()?;
        let socket = self.socket();
        let serve = health.serve(socket.clone());
        let work = async {
            let store = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                store = ready::bootstrap(&self.access, &self.context.env) => store?,
            };
            work(store, shutdown.clone()).await
        };
        let beside = async {
            let served = tokio::join!(signals, serve).1;
            served.map_err(Failure::file(&socket))
        };
        let result = tokio::select! {
            biased;
            result = work => result,
            result = beside => result,
        };
        // One that cannot be removed is replaced by the next process.
        let _ = std::fs::remove_file(&socket);
        result
    }
}
