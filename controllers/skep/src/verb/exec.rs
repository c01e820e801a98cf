//! `skep exec`: a command in the container of a task, on whichever node that is.

use std::convert::Infallible;
use std::io::{self, Write, stderr, stdout};

use bytes::Bytes;
use clap::Args;
use futures::{SinkExt, StreamExt};
use skep_agent::api::upgrade::Connection;
use skep_agent::api::{Frame, Frames};
use skep_agent::streams::Command;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::cli::Context;
use crate::client::{ClientError, NodeClient, SILENCE_LIMIT};
use crate::failure::Failure;
use crate::tasks::{self, Asked, Found};
use crate::terminal::{self, Raw};
use crate::verb::target::StackArgs;

/// Run a command in the container of a task that runs; exits with the command's exit code
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// A service, one of its slots (web.2), or one task
    #[arg(value_name = "SERVICE|TASK")]
    name: String,
    #[command(flatten)]
    stack: StackArgs,
    /// Which task of the service
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
    /// Let the command read what is typed
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// As whom it runs [default: as the container does]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// In which directory it runs [default: that of the container]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// More of its environment; without a value, that of this machine
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Signals that end a conversation; the terminal must be given back before the process ends.
struct Ends([Signal; 3]);

/// What goes to the command. It goes on its own: a command may write much before it reads.
struct Sending {
    to: FramedWrite<WriteHalf<Connection>, Frames>,
    input: Option<mpsc::Receiver<io::Result<Bytes>>>,
    resized: Signal,
    has_terminal: bool,
}

impl Exec {
    /// Runs it.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        if self.tty && self.interactive && !terminal::is_interactive() {
            return Err(Failure::Argument {
                argument: "--tty".to_owned(),
                rule: "standard input is no terminal: leave --tty out".to_owned(),
            });
        }
        let store = context.cluster.connect(&context.env).await?;
        let asked = Asked::parse(&self.name, &self.stack.stack()?)?;
        let cut = tasks::read(&store).await?;
        drop(store);
        let found = tasks::one(&cut, &asked, self.slot.as_deref(), false)?;
        let Some(node) = found.node_id() else { return Err(asked.not_found(&cut)) };
        let client = NodeClient::new(&context.cluster.state(), node);
        let connection =
            client.exec(&found.task, &self.asked()).await.map_err(|error| failure(&found, error))?;
        let code = self.converse(&found, connection).await?;
        if code == 0 { Ok(()) } else { Err(Failure::Command(u8::try_from(code).unwrap_or(u8::MAX))) }
    }

    /// Carries input and output until the command ends. Returns its exit code.
    async fn converse(&self, found: &Found, connection: Connection) -> Result<i64, Failure> {
        let (from, to) = tokio::io::split(connection);
        let has_terminal = self.tty && terminal::is_interactive();
        let mut ends = Ends::new()?;
        let resized = signal(SignalKind::window_change())?;
        let _raw = if has_terminal && self.interactive { Some(Raw::begin()?) } else { None };
        let input = if self.interactive { Some(terminal::input()?) } else { None };
        let sending = Sending { to: FramedWrite::new(to, Frames), input, resized, has_terminal };
        tokio::select! {
            biased;
            number = ends.next() => Ok(128 + i64::from(number)),
            code = receive(found, FramedRead::new(from, Frames)) => code,
            never = sending.run() => match never {},
        }
    }

    fn asked(&self) -> Command {
        let env = self.env.iter().filter_map(|entry| {
            let is_whole = entry.contains('=');
            if is_whole {
                Some(entry.clone())
            } else {
                Some(format!("{entry}={}", std::env::var(entry).ok()?))
            }
        });
        let mut env: Vec<String> = env.collect();
        if let (true, Ok(kind)) = (self.tty, std::env::var("TERM")) {
            env.insert(0, format!("TERM={kind}"));
        }
        Command {
            args: self.command.clone(),
            tty: self.tty,
            stdin: self.interactive,
            env,
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            size: terminal::size().filter(|_| self.tty),
        }
    }
}

impl Sending {
    /// What cannot be sent is answered by what comes back: the end, or nothing.
    async fn run(mut self) -> Infallible {
        self.tell_size().await.ok();
        loop {
            tokio::select! {
                biased;
                Some(()) = self.resized.recv() => { self.tell_size().await.ok(); }
                piece = next(&mut self.input) => { self.send(piece).await.ok(); }
            }
        }
    }

    async fn send(&mut self, piece: Option<io::Result<Bytes>>) -> io::Result<()> {
        if let Some(Ok(bytes)) = piece {
            return self.to.send(Frame::Input(bytes)).await;
        }
        self.input = None;
        self.to.send(Frame::InputEnd).await
    }

    async fn tell_size(&mut self) -> io::Result<()> {
        match terminal::size().filter(|_| self.has_terminal) {
            Some(size) => self.to.send(Frame::Resize(size)).await,
            None => Ok(()),
        }
    }
}

/// Prints what the command writes. Returns its exit code.
async fn receive(found: &Found, mut from: FramedRead<ReadHalf<Connection>, Frames>) -> Result<i64, Failure> {
    let broken = |what: &str| failure(found, ClientError::Away(format!("{what}; the command may go on")));
    loop {
        match timeout(SILENCE_LIMIT, from.next()).await {
            Ok(Some(Ok(Frame::Output { is_error, bytes }))) => print(is_error, &bytes)?,
            Ok(Some(Ok(Frame::Exit(code)))) => return Ok(code),
            Ok(Some(Ok(Frame::Failed(words)))) => return Err(failure(found, ClientError::Refused(words))),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) => return Err(broken("the connection broke")),
            Err(_) => return Err(broken("its agent does not answer")),
        }
    }
}

/// The next piece of input; there is none if nothing is to be read.
async fn next(input: &mut Option<mpsc::Receiver<io::Result<Bytes>>>) -> Option<io::Result<Bytes>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

fn print(is_error: bool, bytes: &[u8]) -> io::Result<()> {
    if is_error {
        return stderr().lock().write_all(bytes);
    }
    let mut out = stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Why nothing came of what was asked of the node of `found`.
pub(crate) fn failure(found: &Found, error: ClientError) -> Failure {
    Failure::Unreadable(match error {
        ClientError::Away(_) => format!("{}: node {} {error}", found.task.name, found.node),
        ClientError::NotFound(words) | ClientError::Refused(words) => format!("{}: {words}", found.task.name),
    })
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        let [hangup, interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = hangup.recv() => SignalKind::hangup().as_raw_value(),
            _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}
