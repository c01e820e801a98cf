//! One child process of the supervisor: started, watched, started again when it dies.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use skep_runtime::clock::Env;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::up::process::{ProcessId, signal_child};
use crate::up::state::{RunFile, StateDir, private_options};

/// The first pause before a process is started again.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest one.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a process must have run for its next death to count as the first.
pub(crate) const LASTED: Duration = Duration::from_secs(30);
/// How long a process may take to end when it is asked to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The size at which a log begins anew, in bytes; one older log is kept.
pub(crate) const LOG_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How often the size of a log is looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its name, in the names of its files and for people.
    pub(crate) name: String,
    /// The file.
    pub(crate) binary: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Its whole environment; `None` is the supervisor's, without what names a cluster.
    pub(crate) environment: Option<BTreeMap<OsString, OsString>>,
    /// Variables beside those.
    pub(crate) variables: BTreeMap<OsString, OsString>,
    /// Whether it stays when the supervisor ends: the next one adopts it instead of starting another.
    pub(crate) outlives: bool,
    /// Files that one of it which was killed left behind, and which would keep the next one from starting.
    pub(crate) stale: Vec<PathBuf>,
}

impl Program {
    /// A program that ends with the supervisor, in the supervisor's environment.
    pub(crate) fn new(name: impl Into<String>, binary: impl Into<PathBuf>, args: Vec<OsString>) -> Self {
        Self {
            name: name.into(),
            binary: binary.into(),
            args,
            environment: None,
            variables: BTreeMap::new(),
            outlives: false,
            stale: Vec::new(),
        }
    }
}

/// Keeps one program running until `stop`.
pub(crate) struct Keeper {
    pub(crate) program: Program,
    pub(crate) state: StateDir,
    pub(crate) env: Env,
    pub(crate) stop: CancellationToken,
}

impl Keeper {
    /// Runs the program, again and again, until `stop`; then ends it.
    pub(crate) async fn keep(self) {
        let name = &self.program.name;
        let mut pause = PAUSE_FIRST;
        let mut run = RunFile { process: None, since: self.env.now(), restarts: 0, last_end: None };
        if let Some(known) = self.adopted() {
            run = known;
        }
        loop {
            let began = Instant::now();
            let end = match self.run(&mut run).await {
                Ok(None) if self.program.outlives => return,
                Ok(None) => break,
                Ok(Some(end)) => end,
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= LASTED {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(process = name, %end, ?pause, "a process ended and is started again");
            run = RunFile {
                process: None,
                since: self.env.now(),
                restarts: run.restarts.saturating_add(1),
                last_end: Some(end),
            };
            self.note(&run);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if let Err(error) = self.state.remove_run_file(name) {
            tracing::warn!(process = name, %error, "what is said of a process that was ended stays");
        }
    }

    /// Says how the process is. A disk that is full must not end what runs.
    fn note(&self, run: &RunFile) {
        if let Err(error) = self.state.set_run_file(&self.program.name, run) {
            tracing::warn!(process = self.program.name, %error, "how a process is cannot be noted");
        }
    }

    /// What is said of the process that outlived an earlier supervisor.
    fn adopted(&self) -> Option<RunFile> {
        let known = self.state.run_file(&self.program.name).ok().flatten().filter(|_| self.program.outlives);
        known.filter(|run| run.process.as_ref().is_some_and(ProcessId::is_alive))
    }

    /// Runs it once, or stays with the one that was adopted; says how it ended. `None`: because of `stop`, which it outlives
    /// if it is to.
    async fn run(&self, run: &mut RunFile) -> io::Result<Option<String>> {
        let log = self.state.log(&self.program.name);
        let mut running = if let Some(process) = &run.process {
            tracing::info!(process = self.program.name, pid = process.pid, "adopted");
            Running::Adopted(process.clone())
        } else {
            let child = spawn(&self.program, &log)?;
            run.process = child.id().map(ProcessId::of).transpose()?;
            run.since = self.env.now();
            self.note(run);
            Running::Child(child)
        };
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    if let Running::Child(child) = &mut running && !self.program.outlives {
                        end(child).await?;
                    }
                    return Ok(None);
                }
                end = running.ended() => return end.map(Some),
                () = tokio::time::sleep(LOG_INTERVAL) => {
                    if let Err(error) = rotate(&log) {
                        tracing::warn!(process = self.program.name, %error, "a log grows beyond its size");
                    }
                }
            }
        }
    }
}

/// A process that is looked after.
enum Running {
    /// It was started here.
    Child(Child),
    /// An earlier supervisor started it.
    Adopted(ProcessId),
}

impl Running {
    /// How it ended, as soon as it has. Cancel-safe.
    async fn ended(&mut self) -> io::Result<String> {
        match self {
            Self::Child(child) => child.wait().await.map(|status| status.to_string()),
            Self::Adopted(process) => {
                process.ended().await;
                Ok("ended".to_owned())
            }
        }
    }
}

/// Starts `program` with what it writes appended to `log`.
fn spawn(program: &Program, log: &Path) -> io::Result<Child> {
    rotate(log)?;
    for file in &program.stale {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let output = private_options().append(true).create(true).open(log)?;
    let mut command = Command::new(&program.binary);
    command.args(&program.args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    match &program.environment {
        Some(environment) => command.env_clear().envs(environment),
        None => crate::cluster::VARIABLES.iter().fold(&mut command, |command, name| command.env_remove(name)),
    };
    // What a service manager gave the supervisor to say that it is ready is not a child's to use.
    command.envs(&program.variables).env_remove("NOTIFY_SOCKET");
    // A Ctrl-C at the terminal is for the supervisor, which then ends its children in order.
    command.process_group(0).spawn()
}

/// Asks the child to end, and kills it if it takes too long.
async fn end(child: &mut Child) -> io::Result<()> {
    if let Some(pid) = child.id() {
        signal_child(pid, Signal::TERM)?;
    }
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// Begins a log anew when it is long. The process keeps its file open for appending, so it is copied and emptied;
/// a line that is written in between is lost.
fn rotate(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(metadata) if metadata.len() > LOG_MAX_BYTES => {
            fs::copy(log, log.with_extension("log.old"))?;
            fs::OpenOptions::new().write(true).open(log)?.set_len(0)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::testing::Scratch;

    /// How long a test waits for what must come.
    const LIMIT: Duration = Duration::from_secs(20);

    fn keeper(state: &StateDir, script: &str, stop: &CancellationToken) -> Keeper {
        let program = Program::new("x", "/bin/sh", vec!["-c".into(), script.into()]);
        Keeper { program, state: state.clone(), env: Env::system(), stop: stop.clone() }
    }

    /// Keeps a script running until what is said of it is `as_wanted`.
    async fn keep_until(script: &str, as_wanted: impl Fn(&RunFile) -> bool) -> (Scratch, RunFile) {
        let scratch = Scratch::new(&script.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let state = StateDir::new(scratch.path());
        state.create().unwrap();
        let stop = CancellationToken::new();
        let watch = async {
            loop {
                if let Some(run) = state.run_file("x").unwrap().filter(&as_wanted) {
                    stop.cancel();
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let both = async { tokio::join!(keeper(&state, script, &stop).keep(), watch).1 };
        let run = tokio::time::timeout(LIMIT, both).await.unwrap();
        assert_eq!(state.run_file("x").unwrap(), None, "nothing is said of a process that is not wanted");
        (scratch, run)
    }

    #[tokio::test]
    async fn a_process_that_dies_is_started_again_and_how_it_ended_is_said() {
        let (scratch, run) = keep_until("echo said; exit 3", |run| run.restarts >= 2).await;
        assert_eq!(run.last_end.as_deref(), Some("exit status: 3"));
        let log = fs::read_to_string(StateDir::new(scratch.path()).log("x")).unwrap();
        assert!(log.starts_with("said\nsaid\n"), "{log}");
    }

    #[tokio::test]
    async fn a_process_is_ended_when_it_is_no_longer_wanted() {
        let (_scratch, run) = keep_until("exec sleep 1000", |run| run.process.is_some()).await;
        assert!(!run.process.unwrap().is_alive());
    }

    #[tokio::test]
    async fn a_process_that_outlives_its_supervisor_is_adopted_by_the_next_one() {
        let scratch = Scratch::new("adopt");
        let state = StateDir::new(scratch.path());
        state.create().unwrap();
        let keep = async |wanted: Option<ProcessId>| {
            let stop = CancellationToken::new();
            let mut keeper = keeper(&state, "exec sleep 1000", &stop);
            keeper.program.outlives = true;
            let watch = async {
                loop {
                    let process = state.run_file("x").unwrap().and_then(|run| run.process);
                    if let Some(process) = process.filter(|process| wanted.as_ref() != Some(process)) {
                        stop.cancel();
                        return process;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let both = async { tokio::join!(keeper.keep(), watch).1 };
            tokio::time::timeout(LIMIT, both).await.unwrap()
        };
        let first = keep(None).await;
        assert!(first.is_alive(), "it was ended with its supervisor");
        assert_eq!(keep(None).await, first);
        // The adopted one's end is noticed, and another one started.
        let killer = first.clone();
        let (second, ()) = tokio::join!(keep(Some(first)), async { killer.ask_to_end().unwrap() });
        assert!(second.is_alive());
        second.kill().unwrap();
    }

    #[test]
    fn a_long_log_begins_anew_and_the_old_one_is_kept() {
        let scratch = Scratch::new("log");
        let log = scratch.path().join("x.log");
        fs::File::create(&log).unwrap().set_len(LOG_MAX_BYTES + 1).unwrap();
        rotate(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert_eq!(fs::metadata(scratch.path().join("x.log.old")).unwrap().len(), LOG_MAX_BYTES + 1);
    }
}
