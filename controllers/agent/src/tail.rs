//! The last lines of a task's output, made fit for a status.

use skep_api::task::{LOG_LINE_MAX_CHARS, LOG_TAIL_LINES};

const ESCAPE: char = '\u{1b}';

/// The last of `lines`, without what a terminal would take for a command, and not longer than a status should be.
pub(crate) fn shorten(lines: &[String]) -> Vec<String> {
    let first = lines.len().saturating_sub(LOG_TAIL_LINES);
    lines.iter().skip(first).map(|line| plain(line).chars().take(LOG_LINE_MAX_CHARS).collect()).collect()
}

/// A line as a terminal shows it: without colours, and what was written over is gone.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == ESCAPE {
            skip_sequence(&mut chars);
        } else if char == '\t' || !char.is_control() {
            plain.push(char);
        }
    }
    plain
}

/// Skips what follows an escape: `[`, parameters and a letter (ECMA-48, 5.4), or one character.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    if chars.next() == Some('[') {
        chars.find(|char| ('@'..='~').contains(char));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> String {
        shorten(&[line.to_owned()]).remove(0)
    }

    #[test]
    fn the_last_lines_are_kept_and_not_all_of_each() {
        let lines: Vec<String> = (0..9).map(|number| format!("line {number}")).collect();
        assert_eq!(shorten(&lines), lines[4..]);
        assert_eq!(one(&"ä".repeat(300)).chars().count(), LOG_LINE_MAX_CHARS);
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(one("\u{1b}[1;31mred\u{1b}[0m and\ttab\u{7}"), "red and\ttab");
        assert_eq!(one("10 %\r20 %\r100 %\r"), "100 %");
        assert_eq!(one("\u{1b}"), "");
    }
}
