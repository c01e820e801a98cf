//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;

use crate::tree::Extent;

/// A kind of problem. Its id is stable: people search for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    /// `E` or `W` and four digits.
    pub id: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

/// Whether a problem stops an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// A problem with the part of a document that it is about, before its file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub code: Code,
    /// Where.
    pub extent: Extent,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// A problem as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which kind.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// That line of the file, or the part of a long one around the problem, without control characters.
    pub source_line: String,
    /// How many characters of `source_line` precede the problem.
    pub indent: usize,
    /// How many characters the problem covers on that line.
    pub width: usize,
}

/// What a piece of a printed problem is, for those who colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `error[E0107]`.
    Level,
    /// What is wrong.
    Message,
    /// File, line numbers and rules.
    Gutter,
    /// The line of the file.
    Source,
    /// The carets under it.
    Caret,
    /// What to do.
    Hint,
}

/// The most problems of one file that are told.
pub const PROBLEMS_MAX: usize = 100;
/// The longest source line that is shown, in characters.
const LINE_MAX_CHARS: usize = 160;

impl Code {
    /// Whether such a problem stops an apply.
    pub fn severity(self) -> Severity {
        if self.id.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl Fault {
    /// A fault of the kind `code` at `extent`.
    pub fn new(code: Code, extent: Extent, message: impl Into<String>) -> Self {
        Self { code, extent, message: message.into(), hint: String::new() }
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, and as much in so many other places of the file.
    #[must_use]
    pub(crate) fn and_elsewhere(mut self, others: usize) -> Self {
        let places = if others == 1 { "1 other place".to_owned() } else { format!("{others} other places") };
        let separator = if self.hint.is_empty() { "" } else { "; " };
        self.hint = format!("{}{separator}the same in {places} of this file", self.hint);
        self
    }

    /// The problem that it is in `file`, whose text is `lines`. A fault on line 0 is about the whole file.
    pub fn in_file(self, file: &str, lines: &[&str]) -> Problem {
        let Extent { start, end } = self.extent;
        let line = start.line.checked_sub(1).and_then(|index| lines.get(index)).copied().unwrap_or_default();
        let before = start.column.saturating_sub(1);
        let until = if end.line == start.line { end.column } else { line.trim_end().chars().count() + 1 };
        let hidden = if until > LINE_MAX_CHARS { before.saturating_sub(LINE_MAX_CHARS / 2) } else { 0 };
        let indent = before - hidden;
        Problem {
            code: self.code,
            message: printable(self.message.chars()),
            hint: printable(self.hint.chars()),
            file: printable(file.chars()),
            line: start.line,
            column: start.column,
            source_line: printable(line.chars().skip(hidden).take(LINE_MAX_CHARS)),
            indent,
            width: until.saturating_sub(start.column).clamp(1, LINE_MAX_CHARS - indent),
        }
    }
}

impl Problem {
    /// Whether it stops an apply.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// The pieces of its printed form, in order; [`fmt::Display`] puts them together.
    pub fn parts(&self) -> Vec<(Part, String)> {
        let mut parts = vec![
            (Part::Level, format!("{}[{}]", self.severity(), self.code.id)),
            (Part::Message, format!(": {}\n", self.message)),
            (Part::Gutter, format!("  --> {}\n", self.place())),
        ];
        if !self.source_line.trim().is_empty() {
            parts.extend(self.excerpt());
        } else if !self.hint.is_empty() {
            parts.push((Part::Gutter, "     = ".to_owned()));
            parts.push((Part::Hint, format!("{}\n", self.hint)));
        }
        parts
    }

    /// The line with carets under it.
    fn excerpt(&self) -> [(Part, String); 5] {
        let indent = " ".repeat(self.indent);
        let hint = if self.hint.is_empty() { String::new() } else { format!(" {}", self.hint) };
        [
            (Part::Gutter, format!("{:>4} | ", self.line)),
            (Part::Source, format!("{}\n", self.source_line.trim_end())),
            (Part::Gutter, format!("{:width$} | {indent}", "", width = self.line.to_string().len().max(4))),
            (Part::Caret, "^".repeat(self.width)),
            (Part::Hint, format!("{hint}\n")),
        ]
    }

    fn place(&self) -> String {
        if self.line == 0 {
            self.file.clone()
        } else {
            format!("{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().iter().try_for_each(|(_, text)| f.write_str(text))
    }
}

/// Text without control characters, which could move a terminal's cursor; a tab becomes a space, so columns stay.
fn printable(chars: impl Iterator<Item = char>) -> String {
    chars
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters that reorder the text around them.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
