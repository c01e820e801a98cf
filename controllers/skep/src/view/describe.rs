//! One object with all that belongs to it, as a person reads it who wants to know why: `skep describe`.

mod cluster;
mod node;
mod service;
mod task;

use skep_api::condition::Condition;
use skep_api::key::{Key, ServiceRef};
use skep_api::time::Timestamp;

use crate::cut::Cut;
use crate::output::{Table, printable};
use crate::view::service::word;
use crate::view::{Item, Kind, Style, heading, items};

pub(crate) use cluster::cluster;
pub(crate) use node::node;
pub(crate) use service::service;
pub(crate) use task::task;

/// How many events are shown, the newest.
const EVENTS_SHOWN: usize = 12;

/// Lines under headings, indented.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    /// A page that begins with what it is about.
    fn about(title: &str) -> Self {
        Self(printable(title) + "\n")
    }

    fn push(&mut self, parts: &[&str]) {
        self.0.extend(parts.iter().copied());
        self.0.push('\n');
    }

    /// A line with a name and a text; nothing if the text is empty.
    fn line(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.push(&["  ", &format!("{name:<11}"), " ", &printable(text)]);
        }
    }

    /// Lines that somebody else wrote: a log, the output of a check.
    fn quote<T: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = T>) {
        for line in lines {
            self.push(&["              | ", &printable(line.as_ref())]);
        }
    }

    /// A table under a heading; nothing if it has no rows.
    fn table(&mut self, title: &str, columns: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return;
        }
        let mut table = Table::new(columns.iter().copied());
        for row in rows {
            table.push(row);
        }
        self.push(&[title]);
        for line in table.to_string().lines() {
            self.push(&["  ", line]);
        }
    }

    fn conditions(&mut self, conditions: &[Condition], style: Style) {
        let rows = conditions.iter().map(|condition| {
            vec![
                condition.kind.clone(),
                word(&condition.status),
                condition.reason.clone(),
                style.time(condition.last_transition_time),
                condition.message.clone(),
            ]
        });
        self.table("Conditions", &["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows.collect());
    }

    /// The tasks that `is_meant` names.
    fn tasks(&mut self, cut: &Cut, style: Style, is_meant: impl Fn(&Item) -> bool) {
        let tasks = items(Kind::Tasks, cut, style).into_iter().filter(is_meant);
        let rows = tasks.map(|item| item.cells).collect::<Vec<_>>();
        self.table("Tasks", heading(Kind::Tasks, style.is_wide), rows);
    }

    /// The last events about `regarding`, such as `Service/shop/web`, the newest last.
    fn events(&mut self, cut: &Cut, style: Style, regarding: &str) {
        let events = items(Kind::Events, cut, style).into_iter();
        let mut rows: Vec<Vec<String>> = events
            .map(|item| item.cells)
            .filter(|cells| cells.get(3).is_some_and(|of| of == regarding))
            .collect();
        let mut rows = rows.split_off(rows.len().saturating_sub(EVENTS_SHOWN));
        for row in &mut rows {
            row.remove(3);
        }
        self.table("Events", &["LAST SEEN", "COUNT", "TYPE", "REASON", "MESSAGE"], rows);
    }
}

/// An instant that is still to come, or has just passed.
pub(crate) fn when(instant: Timestamp, style: Style) -> String {
    let clock = instant.to_string();
    let clock = if style.is_wide { clock.as_str() } else { clock.get(11..19).unwrap_or(&clock) };
    if instant > style.now {
        format!("{clock} (in {})", crate::output::time::ago(instant, style.now))
    } else {
        format!("{clock} (now)")
    }
}

/// What is called by this name in events.
fn regarding(service: &ServiceRef) -> String {
    format!("Service/{service}")
}

/// The spec's version that a status has not seen yet.
fn is_behind(cut: &Cut, key: &Key, observed: i64) -> bool {
    cut.entry(key).is_some_and(|entry| observed < entry.modified)
}
