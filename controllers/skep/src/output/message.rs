//! Words on standard error. Colour only repeats what the first word says.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use skep_api::problem::{Part, Problem, Severity};

use crate::failure::Failure;
use crate::output::printable;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();
const GUTTER: Style = AnsiColor::Blue.on_default();

/// Says something in the ordinary course.
pub(crate) fn say(words: &str) {
    write(&lines(words));
}

/// Says that something is not as it should be.
pub(crate) fn warn(words: &str) {
    write(&format!("{WARNING}warning{WARNING:#}: {}", lines(words)));
}

/// Says what to do next.
pub(crate) fn hint(words: &str) {
    write(&format!("{HINT}hint{HINT:#}: {}", lines(words)));
}

/// Says why a verb failed, each cause once, and what to do next.
pub(crate) fn fail(failure: &Failure) {
    if failure.is_silent() {
        return;
    }
    let mut words = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    write(&format!("{ERROR}error{ERROR:#}: {}", lines(&words)));
    if let Some(next) = failure.hint() {
        hint(&next);
    }
}

/// Nothing can be done when standard error is gone.
fn write(words: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{words}");
}

/// Every line without what a terminal would obey.
fn lines(words: &str) -> String {
    words.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Shows what is wrong with a manifest.
pub(crate) fn problem(problem: &Problem) {
    let pieces = problem.parts().into_iter().map(|(part, piece)| {
        let style = match (part, problem.severity()) {
            (Part::Level | Part::Caret, Severity::Error) => ERROR,
            (Part::Level | Part::Caret, Severity::Warning) => WARNING,
            (Part::Gutter, _) => GUTTER,
            (Part::Hint, _) => HINT,
            (Part::Message | Part::Source, _) => Style::new(),
        };
        format!("{style}{piece}{style:#}")
    });
    write(pieces.collect::<Vec<_>>().concat().trim_end());
}
