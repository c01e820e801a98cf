//! Lines of many tasks on one screen: whole ones, each with the name of its task in front.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use bytes::Bytes;
use skep_api::time::Timestamp;

use crate::tasks::Found;

/// A line that is longer is printed in pieces, in bytes.
const LINE_MAX_BYTES: usize = 1 << 20;
const NANOS_PER_MILLI: i64 = 1_000_000;
/// Colours that can be read on a dark and on a light ground. A slot always has the same.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// How lines look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Whether the name of the task stands in front.
    pub(crate) has_prefix: bool,
    /// Whether that has a colour.
    pub(crate) has_colour: bool,
    /// Whether the time at which it was written stands in front.
    pub(crate) has_time: bool,
    /// Only lines with this in them.
    pub(crate) grep: Option<String>,
}

/// Prints lines.
pub(crate) struct Printer<W> {
    look: Look,
    /// The widest name so far, in characters.
    width: usize,
    /// The lines that are not whole yet, by task and stream: when they began, and what there is of them.
    parts: BTreeMap<(String, bool), (String, i64, Vec<u8>)>,
    out: W,
    err: W,
}

impl<W: Write> Printer<W> {
    /// Prints to `out` what was written to standard output, and to `err` what was written to standard error.
    pub(crate) fn new(look: Look, out: W, err: W) -> Self {
        Self { look, width: 0, parts: BTreeMap::new(), out, err }
    }

    /// Leaves room for the name of a task.
    pub(crate) fn expect(&mut self, found: &Found) {
        self.width = self.width.max(found.short().chars().count());
    }

    /// Takes a piece of what a task has written, and prints the lines that are whole.
    pub(crate) fn take(
        &mut self,
        found: &Found,
        is_error: bool,
        time_ns: i64,
        bytes: &Bytes,
    ) -> io::Result<()> {
        let key = (found.task.to_string(), is_error);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (prefix, time_ns, mut line) =
                self.parts.remove(&key).unwrap_or_else(|| (self.prefix(found), time_ns, Vec::new()));
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") || line.len() > LINE_MAX_BYTES {
                self.print(&prefix, is_error, time_ns, &line)?;
            } else {
                self.parts.insert(key.clone(), (prefix, time_ns, line));
            }
        }
        Ok(())
    }

    /// Prints what a task has left without an end.
    pub(crate) fn end(&mut self, found: &Found) -> io::Result<()> {
        let name = found.task.to_string();
        for is_error in [false, true] {
            if let Some((prefix, time_ns, line)) = self.parts.remove(&(name.clone(), is_error)) {
                self.print(&prefix, is_error, time_ns, &line)?;
            }
        }
        Ok(())
    }

    fn prefix(&self, found: &Found) -> String {
        if !self.look.has_prefix {
            return String::new();
        }
        let name = format!("{:width$} | ", found.short(), width = self.width);
        if !self.look.has_colour {
            return name;
        }
        let number: usize =
            found.slot().parse().unwrap_or_else(|_| found.slot().bytes().map(usize::from).sum());
        let colour = COLOURS.get(number % COLOURS.len()).copied();
        let style = Style::new().fg_color(colour.map(Into::into));
        format!("{style}{name}{style:#}")
    }

    fn print(&mut self, prefix: &str, is_error: bool, time_ns: i64, line: &[u8]) -> io::Result<()> {
        if let Some(wanted) = &self.look.grep
            && !String::from_utf8_lossy(line).contains(wanted)
        {
            return Ok(());
        }
        let time = if self.look.has_time {
            format!("{} ", Timestamp::from_millis(time_ns.div_euclid(NANOS_PER_MILLI)))
        } else {
            String::new()
        };
        let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
        let whole = [prefix.as_bytes(), time.as_bytes(), line, end].concat();
        let to = if is_error { &mut self.err } else { &mut self.out };
        to.write_all(&whole)?;
        to.flush()
    }
}

#[cfg(test)]
mod tests {
    use skep_api::ident::NodeId;

    use super::*;

    fn look() -> Look {
        Look { has_prefix: true, ..Look::default() }
    }

    fn web(slot: u32) -> Found {
        Found::example(&format!("web.{slot}.00001"), &NodeId::from_random(1), "n3")
    }

    fn printed(look: Look, pieces: &[(u32, bool, &str)]) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut printer = Printer::new(look, &mut out, &mut err);
        for slot in [1, 2] {
            printer.expect(&web(slot));
        }
        for (slot, is_error, text) in pieces {
            let time_ns = 1_769_860_800_000_000_000;
            printer.take(&web(*slot), *is_error, time_ns, &Bytes::from(text.to_string())).unwrap();
        }
        for slot in [1, 2] {
            printer.end(&web(slot)).unwrap();
        }
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn lines_are_whole_and_stay_with_their_task_and_stream() {
        let pieces =
            [(1, false, "a"), (2, false, "x\n"), (1, true, "oh\n"), (1, false, "b\nc"), (2, false, "y")];
        let (out, err) = printed(look(), &pieces);
        assert_eq!(out, "web.2@n3 | x\nweb.1@n3 | ab\nweb.1@n3 | c\nweb.2@n3 | y\n");
        assert_eq!(err, "web.1@n3 | oh\n");
    }

    #[test]
    fn a_prefix_can_be_left_out_and_a_time_put_in() {
        let (out, _) = printed(Look { has_time: true, ..Look::default() }, &[(1, false, "a\n")]);
        assert_eq!(out, "2026-01-31T12:00:00.000Z a\n");
    }

    #[test]
    fn a_slot_keeps_its_colour() {
        let coloured = Look { has_colour: true, ..look() };
        let (out, _) = printed(coloured.clone(), &[(1, false, "a\n"), (2, false, "b\n"), (1, false, "c\n")]);
        let colours: Vec<&str> = out.lines().map(|line| line.split("web").next().unwrap()).collect();
        assert_eq!(colours[0], colours[2]);
        assert_ne!(colours[0], colours[1]);
        assert!(!printed(look(), &[(1, false, "a\n")]).0.contains('\u{1b}'));
    }

    #[test]
    fn only_lines_with_the_wanted_text_are_shown() {
        let wanted = Look { grep: Some("err".to_owned()), ..Look::default() };
        assert_eq!(printed(wanted, &[(1, false, "an er"), (1, false, "ror\nfine\n")]).0, "an error\n");
    }
}
