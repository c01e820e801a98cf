//! Lines that change: redrawn in place on a terminal, one line for each change elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::output::{self, printable};

/// The width of a terminal that does not say.
const WIDTH_DEFAULT: usize = 80;
/// How many lines are redrawn; more would scroll away.
const LINES_MAX: usize = 20;

/// How long a line stays before the next one about the same thing, where lines are not redrawn; and how often waiting
/// shows that it goes on, where they are.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// How far one thing is.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What.
    pub(crate) name: String,
    /// How far.
    pub(crate) words: String,
    /// Whether nothing more will be said of it.
    pub(crate) is_last: bool,
}

/// Where progress is shown: standard error.
pub(crate) struct Screen {
    is_terminal: bool,
    drawn: usize,
    shown: BTreeMap<String, (Instant, String)>,
}

impl Screen {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { is_terminal: io::stderr().is_terminal() && !is_dumb, drawn: 0, shown: BTreeMap::new() }
    }

    /// Shows how far each thing is.
    pub(crate) fn show(&mut self, lines: impl Iterator<Item = Line>) {
        let lines = lines.map(|line| Line { words: printable(&line.words), ..line });
        let text = if self.is_terminal {
            self.redraw(&lines.collect::<Vec<_>>())
        } else {
            output::lines(
                lines
                    .filter(|line| self.is_news(line, Instant::now()))
                    .map(|line| format!("{}  {}", line.name, line.words)),
            )
        };
        // Nothing can be done when standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// The lines in the place of those before, each cut to the terminal's width so that it takes one line.
    fn redraw(&mut self, lines: &[Line]) -> String {
        let width = output::terminal_width(io::stderr()).unwrap_or(WIDTH_DEFAULT);
        let column = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let shown = lines.iter().take(LINES_MAX).map(|Line { name, words, .. }| {
            let line = format!("{name:<column$}  {words}");
            line.chars().take(width.saturating_sub(1)).collect::<String>()
        });
        let rest = lines.len().checked_sub(LINES_MAX + 1).map(|rest| format!("and {} more", rest + 1));
        let shown: Vec<String> = shown.chain(rest).collect();
        let back = if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() };
        self.drawn = shown.len();
        back + &output::lines(shown)
    }

    /// Whether a line says something new, and the one before it stood long enough.
    fn is_news(&mut self, line: &Line, now: Instant) -> bool {
        let is_news = self.shown.get(&line.name).is_none_or(|(since, words)| {
            *words != line.words && (line.is_last || now.duration_since(*since) >= INTERVAL)
        });
        if is_news {
            self.shown.insert(line.name.clone(), (now, line.words.clone()));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str, is_last: bool) -> Line {
        Line { name: "web".to_owned(), words: words.to_owned(), is_last }
    }

    fn screen() -> Screen {
        Screen { is_terminal: false, drawn: 0, shown: BTreeMap::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_terminal_only_what_changes_is_said_and_not_too_often() {
        let mut screen = screen();
        let now = Instant::now();
        assert!(screen.is_news(&line("0/2 running", false), now));
        assert!(!screen.is_news(&line("0/2 running", false), now + INTERVAL), "it was said");
        assert!(!screen.is_news(&line("1/2 running", false), now + INTERVAL / 2), "too soon");
        assert!(screen.is_news(&line("1/2 running", false), now + INTERVAL));
        assert!(screen.is_news(&line("ready 2/2", true), now + INTERVAL), "the last word is never held back");
    }

    #[test]
    fn on_a_terminal_the_lines_before_are_replaced() {
        let mut screen = screen();
        assert!(screen.redraw(&[line("0/2 running", false)]).starts_with("web"));
        assert!(screen.redraw(&[line("1/2 running", false)]).starts_with("\x1b[1A"));
    }
}
