//! What has been written so far, in the order in which it was written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use skep_agent::api::Frame;
use skep_agent::streams::LogRange;

use super::{Missing, Printer};
use crate::client::{ClientError, NodeClient};
use crate::failure::Failure;
use crate::tasks::Found;
use crate::up::state::StateDir;

/// The log of one task, with the line that comes next.
struct Source<'a> {
    found: &'a Found,
    frames: BoxStream<'static, Result<Frame, ClientError>>,
    next: Option<(bool, i64, Bytes)>,
}

/// Prints the logs of `tasks`, mixed by time. Returns how many logs were read to their end, and which were not.
///
/// The clocks of the nodes decide how tasks mix; the lines of one task always keep their order.
pub(crate) async fn read<W: Write>(
    state: &StateDir,
    tasks: &[Found],
    wanted: &LogRange,
    printer: &mut Printer<W>,
) -> Result<(usize, Missing), Failure> {
    let mut missing = Missing::default();
    let opened = join_all(tasks.iter().map(|found| open(state, found, wanted))).await;
    let mut sources = Vec::new();
    for (found, opened) in tasks.iter().zip(opened) {
        match opened {
            Ok(source) => sources.push(source),
            Err(error) => missing.note(found, &error),
        }
    }
    let mut heads = BinaryHeap::new();
    for (index, source) in sources.iter().enumerate() {
        printer.expect(source.found);
        heads.extend(source.next.as_ref().map(|(_, time_ns, _)| Reverse((*time_ns, index))));
    }
    let count = sources.len();
    while let Some(Reverse((_, index))) = heads.pop() {
        let Some(source) = sources.get_mut(index) else { continue };
        if let Some((is_error, time_ns, bytes)) = source.next.take() {
            printer.take(source.found, is_error, time_ns, &bytes)?;
        }
        match source.advance().await {
            Ok(()) => {}
            Err(error) => missing.note(source.found, &error),
        }
        match &source.next {
            Some((_, time_ns, _)) => heads.push(Reverse((*time_ns, index))),
            None => printer.end(source.found)?,
        }
    }
    Ok((count, missing))
}

async fn open<'a>(state: &StateDir, found: &'a Found, wanted: &LogRange) -> Result<Source<'a>, ClientError> {
    let Some(node) = found.node_id() else { return Err(ClientError::NotFound(String::new())) };
    let frames = NodeClient::new(state, node).logs(&found.task, wanted).await?;
    let mut source = Source { found, frames, next: None };
    source.advance().await?;
    Ok(source)
}

impl Source<'_> {
    /// Takes the next line; there is none at the end.
    async fn advance(&mut self) -> Result<(), ClientError> {
        loop {
            match self.frames.next().await {
                Some(Ok(Frame::Line { is_error, time_ns, bytes })) => {
                    self.next = Some((is_error, time_ns, bytes));
                    return Ok(());
                }
                Some(Ok(Frame::End { .. })) => return Ok(()),
                Some(Ok(Frame::Failed(words))) => return Err(ClientError::Refused(words)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(ClientError::Away("its agent broke the log off".to_owned())),
            }
        }
    }
}
