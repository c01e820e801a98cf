//! Lines that change: redrawn in place on a terminal, one line for each change elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use crate::output::printable;

/// How many lines are redrawn; more would scroll away.
const LINES_MAX: usize = 20;

/// Where progress is shown: standard error.
pub(crate) struct Screen {
    is_terminal: bool,
    drawn: usize,
    shown: BTreeMap<String, String>,
}

impl Screen {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { is_terminal: io::stderr().is_terminal() && !is_dumb, drawn: 0, shown: BTreeMap::new() }
    }

    /// Shows how far each thing is.
    pub(crate) fn show(&mut self, lines: impl Iterator<Item = (String, String)>) {
        let lines: Vec<(String, String)> = lines.map(|(name, words)| (name, printable(&words))).collect();
        let text = if self.is_terminal { self.redraw(&lines) } else { self.changes(lines) };
        // Nothing can be done when standard error is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// The lines in the place of those before, each cut to the terminal's width so that it takes one line.
    fn redraw(&mut self, lines: &[(String, String)]) -> String {
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col));
        let mut text = if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() };
        let named = lines.iter().map(|(name, words)| name.chars().count().min(words.len()));
        let column = named.max().unwrap_or(0);
        for (name, words) in lines.iter().take(LINES_MAX) {
            let line = format!("{name:<column$}  {words}");
            text.extend(line.chars().take(width.saturating_sub(1)));
            text.push('\n');
        }
        self.drawn = lines.len().min(LINES_MAX);
        if lines.len() > LINES_MAX {
            text.push_str(&format!("and {} more\n", lines.len() - LINES_MAX));
            self.drawn += 1;
        }
        text
    }

    /// The lines that differ from what was shown.
    fn changes(&mut self, lines: Vec<(String, String)>) -> String {
        let mut text = String::new();
        for (name, words) in lines {
            if self.shown.get(&name) != Some(&words) {
                text.push_str(&format!("{name}  {words}\n"));
                self.shown.insert(name, words);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Vec<(String, String)> {
        vec![("web".to_owned(), words.to_owned()), ("db".to_owned(), "ready 1/1".to_owned())]
    }

    #[test]
    fn without_a_terminal_only_what_changes_is_said() {
        let mut screen = Screen { is_terminal: false, drawn: 0, shown: BTreeMap::new() };
        assert_eq!(screen.changes(line("0/2 running")), "web  0/2 running\ndb  ready 1/1\n");
        assert_eq!(screen.changes(line("0/2 running")), "");
        assert_eq!(screen.changes(line("1/2 running")), "web  1/2 running\n");
    }

    #[test]
    fn on_a_terminal_the_lines_before_are_replaced() {
        let mut screen = Screen { is_terminal: true, drawn: 0, shown: BTreeMap::new() };
        assert!(screen.redraw(&line("0/2 running")).starts_with("web"));
        assert!(screen.redraw(&line("1/2 running")).starts_with("\x1b[2A"));
    }
}
