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
use crate::failure::{Failure, count};
use crate::output::{self, say, warn};
use crate::up::nodes::{self, LocalNode, NODES_MAX, images};
use crate::up::ready::{self, Ready};
use crate::up::state::{StateDir, private_options};
use crate::up::supervisor::{AGENT, SUPERVISOR, Supervisor};
use crate::up::{UpError, defaults};
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
    /// How many nodes this machine is to be, as root: itself, and others with a Docker of their own each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: Option<u32>,
    /// Copy images of this machine's Docker to those other nodes, which have none that was built here
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    load: Vec<String>,
    /// What a supervisor in the background is started with.
    #[arg(long, hide = true, conflicts_with = "detach")]
    background: bool,
}

impl Up {
    /// Starts everything.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        let refused = |source| Failure::Process { name: AGENT.to_owned(), source };
        self.node.policy.load().map_err(|error| refused(error.into()))?;
        self.node.generic.load().map_err(|error| refused(error.into()))?;
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
        nodes::want(&state, self.nodes)?;
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
                match self.wait(context, &state, &access).await {
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
        nodes::want(state, self.nodes)?;
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
            let ready = self.wait(context, state, &access).await?;
            output::print(&format!("{}\n", summary(state, &access, &ready, verdict)))?;
            Ok(())
        };
        tokio::select! {
            biased;
            end = ended(started) => Err(UpError::Ended { end: end?, words: last_words(state) }.into()),
            result = wait => result,
        }
    }

    /// Waits until everything is ready, and has the images where they are asked for.
    async fn wait(&self, context: &Context, state: &StateDir, access: &Access) -> Result<Ready, Failure> {
        let ready = ready::wait(state, access, &context.env, self.timeout).await?;
        let local: Vec<LocalNode> = nodes::list(state).into_iter().filter(|node| !node.is_held()).collect();
        images::copy(state, &self.load, &local).await?;
        if let Some(wanted) = self.nodes.filter(|wanted| (*wanted as usize) <= local.len()) {
            let last = local.last().map(LocalNode::name).unwrap_or_default();
            warn(&format!(
                "this machine is {}, not {wanted}: drain what is too many and remove it, as with: skep delete node/{last}",
                count(local.len() + 1, "node")
            ));
        }
        Ok(ready)
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

fn summary(state: &StateDir, access: &Access, ready: &Ready, how: &str) -> String {
    let nodes = count(ready.nodes, "node");
    let local = ready.local.iter().map(|(name, address)| format!("\n  {name:<6} {address}"));
    format!(
        "\
skep is up {how}: cluster {}, {nodes} ready
  state  {}
  etcd   {}{}
next:
  skep apply -f FILE               create or change what a file describes
  skep get services,tasks,nodes    see what runs
  skep status --system             see each process
  skep down                        stop everything",
        ready.cluster,
        state.path().display(),
        access.endpoints.join(","),
        local.collect::<String>()
    )
}
