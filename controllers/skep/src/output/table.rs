//! Tables: columns as wide as what is in them, the last one wrapped and never cut, because it holds the reasons.

use std::fmt;

use crate::output::{printable, terminal_width};

/// Spaces between columns.
const GAP: usize = 3;
/// The narrowest last column that is worth wrapping, in characters.
const LAST_MIN_CHARS: usize = 24;

/// Rows under a heading.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// The width of the terminal.
    width: Option<usize>,
    /// The widths of the table that this one continues.
    least: Vec<usize>,
}

impl Table {
    /// A table with the given heading.
    pub(crate) fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        let heading = heading.into_iter().map(Into::into).collect();
        Self { rows: vec![heading], width: terminal_width(std::io::stdout()), least: Vec::new() }
    }

    /// More rows under an earlier table, in columns at least as wide.
    pub(crate) fn continuing(earlier: &Self) -> Self {
        Self { rows: Vec::new(), width: earlier.width, least: earlier.widths() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| if text.is_empty() { "-".to_owned() } else { printable(&text) };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(self.least.len());
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(move |row| row.get(column));
            let least = self.least.get(column).copied().unwrap_or(0);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(least)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let before_last: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
        let last_width = self.width.and_then(|width| width.checked_sub(before_last));
        let last_width = last_width.filter(|width| *width >= LAST_MIN_CHARS).unwrap_or(usize::MAX);
        for row in &self.rows {
            let cell = |(index, (cell, width)): (usize, (&String, &usize))| {
                if index + 1 < widths.len() {
                    format!("{cell:<width$}{:GAP$}", "")
                } else {
                    wrap(cell, last_width).join(&format!("\n{:before_last$}", ""))
                }
            };
            let cells: Vec<String> = row.iter().zip(&widths).enumerate().map(cell).collect();
            writeln!(f, "{}", cells.concat().trim_end())?;
        }
        Ok(())
    }
}

/// The words of `text` in lines of at most `width` characters; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> Table {
        let mut table = Table::new(["NAME", "STATE", "MESSAGE"]);
        table.width = width;
        table.push(["web".into(), "Running".into(), String::new()]);
        table.push([
            "a-longer-name".into(),
            "Pending".into(),
            "no node fits: 2 lack memory, 1 is drained".into(),
        ]);
        table
    }

    #[test]
    fn columns_are_aligned_and_an_empty_cell_is_a_dash() {
        let expected = "\
NAME            STATE     MESSAGE
web             Running   -
a-longer-name   Pending   no node fits: 2 lack memory, 1 is drained
";
        assert_eq!(table(None).to_string(), expected);
    }

    #[test]
    fn a_narrow_terminal_wraps_the_reason_and_cuts_nothing() {
        let expected = "\
NAME            STATE     MESSAGE
web             Running   -
a-longer-name   Pending   no node fits: 2 lack
                          memory, 1 is drained
";
        assert_eq!(table(Some(51)).to_string(), expected);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_is_left_to_wrap_by_itself() {
        assert!(table(Some(30)).to_string().contains("no node fits: 2 lack memory, 1 is drained"));
    }
}
