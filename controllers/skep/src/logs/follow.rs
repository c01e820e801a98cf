//! What is written from now on, also by tasks that start later.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use skep_agent::api::Frame;
use skep_agent::streams::LogRange;
use skep_api::key::TaskRef;
use skep_store::Store;
use tokio_util::sync::CancellationToken;

use super::Printer;
use crate::client::{ClientError, NodeClient};
use crate::cut::Cut;
use crate::failure::Failure;
use crate::output::warn;
use crate::tasks::{Asked, Found, find, ranges};
use crate::up::state::StateDir;

/// How long a node that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// What is heard of one task.
enum News {
    Line {
        is_error: bool,
        time_ns: i64,
        bytes: Bytes,
    },
    /// Its node does not give its log now; it is asked again.
    Trouble(String),
    /// There is no more.
    Over,
}

type Source = BoxStream<'static, (Found, News)>;

/// Prints the logs of what is asked for until Ctrl-C; of one task, until it ends; of a service, until it is deleted and all of its
/// tasks have ended.
pub(crate) async fn follow<W: Write>(
    store: &Store,
    state: &StateDir,
    asked: &Asked,
    wanted: &LogRange,
    printer: &mut Printer<W>,
) -> Result<(), Failure> {
    let mut cut = Cut::new(store.identity()?.cluster);
    let mut updates = store.follow(ranges());
    let mut sources: SelectAll<Source> = SelectAll::new();
    let mut known: BTreeMap<TaskRef, CancellationToken> = BTreeMap::new();
    let mut away = BTreeSet::new();
    loop {
        tokio::select! {
            biased;
            Some((found, news)) = sources.next() => show(printer, &mut away, &found, news)?,
            update = updates.next() => {
                let is_first = cut.revision() == 0;
                cut.take(update?);
                let all = find(&cut, asked);
                if is_first && all.is_empty() && (asked.is_task() || !asked.has_service(&cut)) {
                    return Err(asked.not_found(&cut));
                }
                known.retain(|task, over| {
                    let is_there = all.iter().any(|found| found.task == *task);
                    if !is_there {
                        over.cancel();
                    }
                    is_there
                });
                for found in all.into_iter().filter(Found::may_have_run) {
                    if !known.contains_key(&found.task) {
                        printer.expect(&found);
                        let over = CancellationToken::new();
                        known.insert(found.task.clone(), over.clone());
                        sources.push(listen(state, found, wanted).take_until(over.cancelled_owned()).boxed());
                    }
                }
            }
        }
        let is_last = if asked.is_task() { !known.is_empty() } else { !asked.has_service(&cut) };
        if cut.revision() > 0 && is_last && sources.is_empty() {
            return Ok(());
        }
    }
}

/// Prints news of a task. That its node is away is said once, however many of its tasks notice.
fn show<W: Write>(
    printer: &mut Printer<W>,
    away: &mut BTreeSet<String>,
    found: &Found,
    news: News,
) -> Result<(), Failure> {
    match news {
        News::Line { is_error, time_ns, bytes } => {
            away.remove(&found.node);
            printer.take(found, is_error, time_ns, &bytes)?;
        }
        News::Over => printer.end(found)?,
        News::Trouble(words) => {
            if away.insert(found.node.clone()) {
                warn(&format!("node {} {words}; its tasks are followed again when it is back", found.node));
            }
        }
    }
    Ok(())
}

/// The log of one task, from its beginning or its tail to its end, over every time that its node is away.
struct Listener {
    client: NodeClient,
    found: Found,
    wanted: LogRange,
    frames: Option<BoxStream<'static, Result<Frame, ClientError>>>,
    is_in_trouble: bool,
    is_over: bool,
}

fn listen(state: &StateDir, found: Found, wanted: &LogRange) -> Source {
    let Some(node) = found.node_id() else { return stream::empty().boxed() };
    let client = NodeClient::new(state, node);
    let wanted = LogRange { follow: true, ..wanted.clone() };
    let listener = Listener { client, found, wanted, frames: None, is_in_trouble: false, is_over: false };
    let news = stream::unfold(listener, |mut listener| async move {
        let news = listener.next().await?;
        Some(((listener.found.clone(), news), listener))
    });
    news.boxed()
}

impl Listener {
    async fn next(&mut self) -> Option<News> {
        while !self.is_over {
            let Some(frames) = &mut self.frames else {
                match self.client.logs(&self.found.task, &self.wanted).await {
                    Ok(frames) => self.frames = Some(frames),
                    Err(error) => {
                        if let Some(news) = self.fail(error).await {
                            return Some(news);
                        }
                    }
                }
                continue;
            };
            match frames.next().await {
                Some(Ok(Frame::Line { is_error, time_ns, bytes })) => {
                    self.is_in_trouble = false;
                    // From here on it goes on after this line, whatever happens.
                    self.wanted = LogRange { after_ns: Some(time_ns), tail: None, follow: true };
                    return Some(News::Line { is_error, time_ns, bytes });
                }
                Some(Ok(Frame::End { is_final: true })) => {
                    self.is_over = true;
                    return Some(News::Over);
                }
                // The container was not started yet, or its engine has begun a new file.
                Some(Ok(Frame::End { is_final: false })) => {
                    self.frames = None;
                    tokio::time::sleep(PAUSE).await;
                }
                Some(Ok(Frame::Failed(words))) => {
                    if let Some(news) = self.fail(ClientError::Refused(words)).await {
                        return Some(news);
                    }
                }
                Some(Ok(_)) => self.is_in_trouble = false,
                Some(Err(error)) => {
                    if let Some(news) = self.fail(error).await {
                        return Some(news);
                    }
                }
                None => self.frames = None,
            }
        }
        None
    }

    /// Leaves the node alone for a while, and says so once. A container that is gone is no trouble.
    async fn fail(&mut self, error: ClientError) -> Option<News> {
        self.frames = None;
        let words = match error {
            ClientError::NotFound(_) => {
                self.is_over = true;
                return Some(News::Over);
            }
            ClientError::Away(reason) => format!("is not available: {reason}"),
            ClientError::Refused(words) => format!("does not give the log: {words}"),
        };
        if !std::mem::replace(&mut self.is_in_trouble, true) {
            return Some(News::Trouble(words));
        }
        tokio::time::sleep(PAUSE).await;
        None
    }
}
