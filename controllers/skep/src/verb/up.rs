//! `skep up`: starts everything on this machine, and stays with it or leaves it in the background.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use skep_api::time::Span;
use skep_runtime::process::{LogFormat, shutdown_on_signals, start_logging};

use crate::cli::Context;
use crate::cluster::Access;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::up::state::{StateDir, private_options};
use crate::up::supervisor::{SUPERVISOR, Supervisor};
use crate::up::{UpError, defaults, ready};
use crate::verb::agent::NodeArgs;

/// How often a supervisor in the background is looked at while it is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How much of the log of a supervisor that ended is shown, in lines.
const LAST_LINES: usize = 5;

/// Start Skep on this machine: etcd, every controller, and an agent for the local Docker
#[derive(Debug, Args)]
#[command(after_long_help = defaults::text())]
pub(crate) struct Up {
    /// Return as soon as everything is ready, and leave it running
    #[arg(long)]
    detach: bool,
    /// How long to wait until everything is ready
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    #[command(flatten)]
    node: NodeArgs,
    /// What a supervisor in the background is started with.
    #[arg(long, hide = true, conflicts_with = "detach")]
    background: bool,
}

impl Up {
    /// Starts everything.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        if self.detach {
            self.detached(context, &state).await
        } else {
            Box::pin(self.attached(context, state)).await
        }
    }

    /// Supervises until a signal comes.
    async fn attached(&self, context: &Context, state: StateDir) -> Result<(), Failure> {
        if self.background {
            // A process that leads no group becomes the leader of a session: no terminal can end it any more.
            rustix::process::setsid().map_err(io::Error::from)?;
        }
        start_logging(LogFormat::Text);
        state.create()?;
        let lock = state.lock()?;
        let supervisor = Supervisor::prepare(
            context.env.clone(),
            state.clone(),
            context.cluster.foreign()?,
            self.node.clone(),
        )?;
        let (stop, signals) = shutdown_on_signals()?;
        let access = supervisor.access().clone();
        let announce = async {
            if !self.background {
                match ready::wait(&state, &access, &context.env, self.timeout).await {
                    Ok(ready) => say(&summary(&state, &access, &ready, "until Ctrl-C")),
                    Err(failure) => output::message::fail(&failure),
                }
            }
            std::future::pending::<()>().await;
        };
        let run = supervisor.run(stop);
        tokio::pin!(run);
        tokio::select! {
            biased;
            result = &mut run => result?,
            () = signals => run.await?,
            () = announce => {}
        }
        drop(lock);
        Ok(())
    }

    /// Starts a supervisor in the background, unless there is one, and waits until everything is ready.
    async fn detached(&self, context: &Context, state: &StateDir) -> Result<(), Failure> {
        state.create()?;
        let running = state.lock().map(drop);
        let started = match running {
            Ok(()) => Some(spawn(state).map_err(start_error)?),
            Err(UpError::AlreadyUp { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let verdict =
            if started.is_some() { "in the background" } else { "already, since an earlier `skep up`" };
        let wait = async {
            let access = self.known_access(context, state).await?;
            let ready = ready::wait(state, &access, &context.env, self.timeout).await?;
            output::print(&format!("{}\n", summary(state, &access, &ready, verdict)))?;
            Ok(())
        };
        tokio::select! {
            biased;
            end = ended(started) => Err(UpError::Ended { end: end?, words: last_words(state) }.into()),
            result = wait => result,
        }
    }

    /// How to reach the cluster, as soon as the supervisor has said it of itself.
    async fn known_access(&self, context: &Context, state: &StateDir) -> Result<Access, Failure> {
        if let Some(access) = context.cluster.foreign()? {
            return Ok(access);
        }
        loop {
            let is_running = state
                .run_file(SUPERVISOR)?
                .and_then(|run| run.process)
                .is_some_and(|process| process.is_alive());
            if let Some(cluster) = state.cluster()?.filter(|_| is_running) {
                return Ok(cluster.access);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

fn start_error(source: io::Error) -> UpError {
    UpError::Start { name: SUPERVISOR.to_owned(), source }
}

/// The same command line again, in the background.
fn spawn(state: &StateDir) -> io::Result<Child> {
    let log = private_options().append(true).create(true).open(state.log(SUPERVISOR))?;
    let mut args: Vec<_> = std::env::args_os().skip(1).filter(|arg| arg != "--detach").collect();
    args.push("--background".into());
    Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// How the supervisor ended; never, if there is none to look at.
async fn ended(started: Option<Child>) -> io::Result<String> {
    let Some(mut child) = started else { return std::future::pending().await };
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.to_string());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn last_words(state: &StateDir) -> String {
    let log = fs::read_to_string(state.log(SUPERVISOR)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join("\n")
}

fn summary(state: &StateDir, access: &Access, ready: &ready::Ready, how: &str) -> String {
    let nodes = crate::failure::count(ready.nodes, "node");
    format!(
        "\
skep is up {how}: cluster {}, {nodes} ready
  state  {}
  etcd   {}
next:
  skep apply -f FILE               create or change what a file describes
  skep get services,tasks,nodes    see what runs
  skep status --system             see each process
  skep down                        stop everything",
        ready.cluster,
        state.path().display(),
        access.endpoints.join(",")
    )
}
