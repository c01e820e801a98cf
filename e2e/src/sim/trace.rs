//! What was committed, by whom and when: for the eye after a violation, and as a hash that shows that a seed runs alike.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use skep_store::Event;
use skep_store::fake::Commit;

/// The longest value that is shown whole, in characters.
const VALUE_SHOWN: usize = 420;

/// The history of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: DefaultHasher,
    commits: u64,
    lines: VecDeque<Line>,
    /// How many of the last lines are kept.
    limit: usize,
}

#[derive(Debug)]
enum Line {
    Commit { at: Duration, revision: i64, client: String, events: Vec<Event> },
    Remark { at: Duration, text: String },
}

impl Trace {
    /// A history that keeps so many of its last lines.
    pub(crate) fn keeping(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// How many of its last lines it keeps.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds a commit at `at` after the start.
    pub(crate) fn commit(&mut self, at: Duration, commit: &Commit<'_>) {
        (at.as_millis(), commit.revision, commit.client).hash(&mut self.hash);
        for event in commit.events {
            event.key().hash(&mut self.hash);
            if let Event::Put(kv) = event {
                kv.value.hash(&mut self.hash);
            }
        }
        self.commits += 1;
        let (revision, client) = (commit.revision, commit.client.to_owned());
        self.push(Line::Commit { at, revision, client, events: commit.events.to_vec() });
    }

    /// Adds something that is no commit: a fault, a container that starts.
    pub(crate) fn remark(&mut self, at: Duration, text: String) {
        (at.as_millis(), &text).hash(&mut self.hash);
        self.push(Line::Remark { at, text });
    }

    /// Equal for equal histories.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// The last lines, for people.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.iter().map(Line::words).collect()
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        if self.lines.len() > self.limit {
            self.lines.pop_front();
        }
    }
}

impl Line {
    fn words(&self) -> String {
        match self {
            Self::Remark { at, text } => format!("{:>9.3} s          {text}", at.as_secs_f64()),
            Self::Commit { at, revision, client, events } => {
                let who = if client.is_empty() { "etcd" } else { client };
                let mut text = format!("{:>9.3} s  r{revision:<6}  {who}", at.as_secs_f64());
                for event in events {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\n{:24}{}", "", words_of(event));
                }
                text
            }
        }
    }
}

fn words_of(event: &Event) -> String {
    let short = |key: &str| key.strip_prefix(skep_api::key::ROOT).unwrap_or(key).to_owned();
    match event {
        Event::Delete { key, .. } => format!("- {}", short(key)),
        Event::Put(kv) => {
            let text = String::from_utf8_lossy(&kv.value);
            let line: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let mut value = line.join("; ");
            if let Some((cut, _)) = value.char_indices().nth(VALUE_SHOWN) {
                value.truncate(cut);
                value.push('…');
            }
            let sign = if kv.created == kv.modified { '+' } else { '~' };
            format!("{sign} {} = {value}", short(&kv.key))
        }
    }
}
