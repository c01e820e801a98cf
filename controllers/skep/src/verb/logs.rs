//! `skep logs`: what the containers of this machine have written. Docker keeps it, so it is there even while etcd is not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use clap::Args;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use skep_agent::docker::{Docker, LogPiece};
use skep_agent::engine::{Container, Engine, EngineError, Owner, Phase, Sight};
use skep_agent::labels;
use skep_api::key::TaskRef;

use crate::cli::Context;
use crate::failure::Failure;
use crate::output::text::nearest;
use crate::up::state::NodeFile;
use crate::verb::agent::docker;
use crate::verb::target::StackArgs;

/// Show what a service or a task has written, as far as it ran on this machine
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A service, or one task
    #[arg(value_name = "SERVICE|TASK")]
    name: String,
    #[command(flatten)]
    stack: StackArgs,
    /// Go on and show what is written, also by tasks that start later, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each task
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
}

/// A piece of what one task has written.
type Pieces = BoxStream<'static, Result<(String, LogPiece), EngineError>>;

impl Logs {
    /// Shows them.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        let state = context.cluster.state();
        let node = state.known_node()?;
        let Some(NodeFile { id: node, joined: Some(cluster) }) = node else {
            return Err(Failure::NoCluster { dir: state.path().to_owned() });
        };
        let wanted = self.wanted()?;
        let reader = Reader { docker: docker(), owner: Owner { cluster, node }, wanted, tail: self.tail };
        let mut printer = Printer { is_prefixed: !self.is_task(), lines: BTreeMap::new() };
        let result =
            if self.follow { reader.follow(&mut printer).await } else { reader.read(&mut printer).await };
        result?;
        Ok(printer.finish()?)
    }

    fn is_task(&self) -> bool {
        self.name.contains('.')
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let name = self.name.rsplit_once('/').map_or(self.name.as_str(), |(_, name)| name);
        Ok(Wanted { stack: self.stack.stack()?.to_string(), name: name.to_owned() })
    }
}

/// Which tasks are wanted.
struct Wanted {
    stack: String,
    /// A task, or a service.
    name: String,
}

impl Wanted {
    fn has(&self, task: &TaskRef) -> bool {
        let name = task.name.as_str();
        task.stack.as_str() == self.stack && (name == self.name || service_of(name) == self.name)
    }
}

/// The service in a task's name.
fn service_of(task: &str) -> &str {
    task.split('.').next().unwrap_or(task)
}

struct Reader {
    docker: Docker,
    owner: Owner,
    wanted: Wanted,
    tail: Option<usize>,
}

impl Reader {
    /// What every wanted task has written so far, one task after the other in the order in which they started.
    async fn read(&self, printer: &mut Printer) -> Result<(), Failure> {
        let all = self.docker.list(&self.owner).await.map_err(engine_failure)?;
        let mut containers: Vec<(TaskRef, &Container)> = all.iter().filter_map(|it| self.task(it)).collect();
        if containers.is_empty() {
            return Err(Failure::NotFound(vec![self.not_found(&all)]));
        }
        containers.sort_by_key(|(_, container)| container.started);
        for (task, container) in containers {
            let mut pieces = self.pieces(&task, container, false);
            while let Some(piece) = pieces.next().await {
                show(piece, printer)?;
            }
        }
        Ok(())
    }

    /// What every wanted task has written and writes, until Ctrl-C; or, of one task, until it ends.
    async fn follow(&self, printer: &mut Printer) -> Result<(), Failure> {
        let mut sights = self.docker.watch(&self.owner);
        let mut pieces: SelectAll<Pieces> = SelectAll::new();
        let mut known = BTreeSet::new();
        let is_task = self.wanted.name.contains('.');
        loop {
            tokio::select! {
                biased;
                sight = sights.next() => match sight {
                    Some(Ok(Sight::All(_, containers))) => {
                        if is_task && !containers.iter().any(|container| self.task(container).is_some()) {
                            return Err(Failure::NotFound(vec![self.not_found(&containers)]));
                        }
                        for container in &containers {
                            self.add(container, &mut known, &mut pieces);
                        }
                    }
                    Some(Ok(Sight::Changed(container))) => self.add(&container, &mut known, &mut pieces),
                    Some(Ok(Sight::Gone(_) | Sight::Signalled { .. })) => {}
                    Some(Err(error)) => return Err(engine_failure(error)),
                    None => return Ok(()),
                },
                Some(piece) = pieces.next() => {
                    show(piece, printer)?;
                }
                else => return Ok(()),
            }
            if is_task && !known.is_empty() && pieces.is_empty() {
                return Ok(());
            }
        }
    }

    fn add(&self, container: &Container, known: &mut BTreeSet<String>, pieces: &mut SelectAll<Pieces>) {
        if let Some((task, container)) = self.task(container)
            && container.phase != Phase::Created
            && known.insert(container.id.clone())
        {
            pieces.push(self.pieces(&task, container, true));
        }
    }

    /// The task of a container, if it is wanted.
    fn task<'a>(&self, container: &'a Container) -> Option<(TaskRef, &'a Container)> {
        let task = labels::task_of(&container.labels, &self.owner)?;
        self.wanted.has(&task).then_some((task, container))
    }

    fn pieces(&self, task: &TaskRef, container: &Container, follow: bool) -> Pieces {
        let name = task.name.to_string();
        let pieces = self.docker.logs(&container.id, self.tail, follow);
        pieces.map_ok(move |piece| (name.clone(), piece)).boxed()
    }

    fn not_found(&self, containers: &[Container]) -> String {
        let tasks: Vec<TaskRef> = containers
            .iter()
            .filter_map(|container| labels::task_of(&container.labels, &self.owner))
            .collect();
        let here = tasks.iter().filter(|task| task.stack.as_str() == self.wanted.stack);
        let names = here.flat_map(|task| [task.name.as_str(), service_of(task.name.as_str())]);
        let advice = nearest(&self.wanted.name, names)
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        format!(
            "nothing of `{}` in stack {} ran on this machine{advice}",
            self.wanted.name, self.wanted.stack
        )
    }
}

/// A container that goes away takes its log with it; that of the others is there.
fn show(piece: Result<(String, LogPiece), EngineError>, printer: &mut Printer) -> Result<(), Failure> {
    match piece {
        Ok((name, piece)) => Ok(printer.print(&name, &piece)?),
        Err(EngineError::NotFound(_) | EngineError::Refused(_)) => Ok(()),
        Err(error) => Err(engine_failure(error)),
    }
}

fn engine_failure(error: EngineError) -> Failure {
    Failure::Process { name: "docker".to_owned(), source: error.into() }
}

/// Prints whole lines, so that those of different tasks do not mix.
struct Printer {
    is_prefixed: bool,
    /// The lines that are not whole yet, by task and stream.
    lines: BTreeMap<(String, bool), Vec<u8>>,
}

impl Printer {
    fn print(&mut self, task: &str, piece: &LogPiece) -> io::Result<()> {
        let key = (task.to_owned(), piece.is_error);
        let mut rest = self.lines.remove(&key).unwrap_or_default();
        rest.extend_from_slice(&piece.bytes);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let tail = rest.split_off(whole);
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            self.write(task, piece.is_error, line)?;
        }
        if !tail.is_empty() {
            self.lines.insert(key, tail);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        for ((task, is_error), mut line) in std::mem::take(&mut self.lines) {
            line.push(b'\n');
            self.write(&task, is_error, &line)?;
        }
        Ok(())
    }

    fn write(&self, task: &str, is_error: bool, line: &[u8]) -> io::Result<()> {
        let prefix = if self.is_prefixed { format!("{task} | ") } else { String::new() };
        let whole = [prefix.as_bytes(), line].concat();
        if is_error { io::stderr().lock().write_all(&whole) } else { io::stdout().lock().write_all(&whole) }
    }
}
