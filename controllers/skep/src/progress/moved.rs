//! Waiting until tasks that were asked to move have moved, or need not any more.

use std::collections::BTreeSet;

use skep_api::key::{Key, prefix};
use skep_api::time::Span;
use skep_store::{Range, Store};

use crate::cut::Cut;
use crate::failure::{Failure, count};
use crate::progress::screen::{Line, Screen};
use crate::progress::until;

/// Waits until none of the requests `asked` is there any more, for at most `limit`.
///
/// # Errors
/// [`Failure::Timeout`] or [`Failure::Interrupted`]; the moves go on all the same.
pub(crate) async fn moved(store: &Store, asked: BTreeSet<Key>, limit: Span) -> Result<(), Failure> {
    let mut cut = Cut::new(store.identity()?.cluster);
    let mut left = asked.len();
    let wait = async {
        let mut follow = store.follow(vec![Range::prefix(prefix::EVICTIONS)]);
        let mut screen = Screen::new();
        loop {
            cut.take(follow.next().await?);
            left = asked.iter().filter(|key| cut.entry(key).is_some()).count();
            let words = if left == 0 { "done".to_owned() } else { format!("{} left", count(left, "move")) };
            screen.show([Line { name: "rebalance".to_owned(), words, is_last: left == 0 }].into_iter());
            if left == 0 {
                return Ok(());
            }
        }
    };
    let result = until(limit, "skep rebalance", wait).await;
    result.unwrap_or_else(|| {
        let details = format!("{} still to be made; they go on", count(left, "move"));
        Err(Failure::Timeout { what: "not rebalanced", details, limit })
    })
}
