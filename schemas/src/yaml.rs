//! The only file that names the YAML crates: plain values through serde, and the located tree for what people write.
//!
//! Everything that could make a small text expensive is refused while it is read: depth, aliases, sheer number.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, options};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::code;
use crate::problem::{Fault, PROBLEMS_MAX};
use crate::tree::{Entry, Extent, Node, Position, Scalar, Value};

/// The most documents in one text.
pub const MAX_DOCUMENTS: usize = 10_000;
/// How deep lists and mappings may be nested.
pub const MAX_DEPTH: usize = 32;
/// The most values in one text of many documents; with [`MAX_DEPTH`] it bounds the memory that reading takes.
pub const MAX_VALUES: usize = 500_000;
/// The most values in one document that is read alone.
const DOCUMENT_MAX_VALUES: usize = 100_000;
/// What to do with a file that is above a limit.
pub(crate) const SPLIT: &str = "split it into several files: -f takes more than one, and directories";

/// Why a text is not the YAML that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Where and why.
    pub message: String,
}

/// One document of a text.
#[derive(Debug, Default)]
pub struct Document {
    /// Its value; none if it is empty, or broken beyond reading.
    pub root: Option<Node>,
    /// What is wrong with it as YAML.
    pub faults: Vec<Fault>,
}

/// Reads one document as a typed value.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: DOCUMENT_MAX_VALUES,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| YamlError { message: error.without_snippet().to_string() })
}

/// Writes one document in block form.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, YamlError> {
    // Several lines stay several lines; a long line is not broken.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)
        .map_err(|error| YamlError { message: error.to_string() })?;
    Ok(text)
}

/// Reads all documents of a text. A document that is broken does not hide those after it.
pub fn documents(text: &str) -> Vec<Document> {
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        text,
        lines: OnceCell::new(),
        done: Vec::new(),
        current: Document::default(),
        open: Vec::new(),
        values: 0,
    };
    while reader.step(&mut parser).is_some() {}
    reader.finish_document();
    reader.done
}

/// A list or mapping whose end has not come yet.
struct Open {
    start: Position,
    items: Vec<Node>,
    entries: Vec<Entry>,
    is_mapping: bool,
    key: Option<(String, Extent)>,
}

/// Builds trees from the parser's events.
struct Reader<'a> {
    text: &'a str,
    lines: OnceCell<Vec<&'a str>>,
    done: Vec<Document>,
    current: Document,
    open: Vec<Open>,
    values: usize,
}

impl<'a> Reader<'a> {
    /// Takes one event; `None` at the end of the text.
    fn step(&mut self, parser: &mut Parser<'a, StrInput<'a>>) -> Option<()> {
        let outcome = match parser.next_event()? {
            Ok((event, span)) => self.take(event, extent(span)),
            Err(error) => Err(self.explain(&error)),
        };
        if let Err(fault) = outcome {
            let is_final = fault.code == code::TOO_LARGE;
            self.abandon(fault);
            if is_final || !parser.proceed_next_document().unwrap_or(false) {
                return None;
            }
        }
        Some(())
    }

    /// Gives up the current document: what was read of it would mislead.
    fn abandon(&mut self, fault: Fault) {
        self.open.clear();
        self.current.root = None;
        self.current.faults.push(fault);
        self.finish_document();
    }

    fn finish_document(&mut self) {
        let document = std::mem::take(&mut self.current);
        if document.root.is_some() || !document.faults.is_empty() {
            self.done.push(document);
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the parser may learn events that are not values")]
    fn take(&mut self, event: Event<'a>, extent: Extent) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) if self.done.len() >= MAX_DOCUMENTS => {
                return Err(above(extent, &format!("{MAX_DOCUMENTS} documents")));
            }
            Event::DocumentEnd => self.finish_document(),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(anchor, tag.is_some(), extent);
                self.scalar(text, style == ScalarStyle::Plain, extent)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_extras(anchor, tag.is_some(), extent);
                self.begin(false, extent)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_extras(anchor, tag.is_some(), extent);
                self.begin(true, extent)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(extent)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse("an alias", extent);
                self.scalar(Cow::Borrowed(""), true, extent)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn refuse_extras(&mut self, anchor: usize, has_tag: bool, extent: Extent) {
        if anchor != 0 {
            self.refuse("an anchor", extent);
        }
        if has_tag {
            self.refuse("a tag", extent);
        }
    }

    fn refuse(&mut self, what: &str, extent: Extent) {
        let fault = Fault::new(code::YAML_FEATURE, extent, format!("{what} is not allowed"));
        self.note(fault.hint("write the value out"));
    }

    /// Notes a fault that does not keep the document from being read.
    fn note(&mut self, fault: Fault) {
        if self.current.faults.len() <= PROBLEMS_MAX {
            self.current.faults.push(fault);
        }
    }

    fn begin(&mut self, is_mapping: bool, extent: Extent) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(extent));
        }
        if self.open.last().is_some_and(|open| open.is_mapping && open.key.is_none()) {
            return Err(Fault::new(code::SYNTAX, extent, "a list or mapping cannot be a key"));
        }
        self.open.push(Open {
            start: extent.start,
            items: Vec::new(),
            entries: Vec::new(),
            is_mapping,
            key: None,
        });
        Ok(())
    }

    fn end(&mut self, extent: Extent) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = if open.is_mapping {
            Value::Mapping(self.without_duplicates(open.entries))
        } else {
            Value::Sequence(open.items)
        };
        self.place(Node { value, extent: Extent { start: open.start, end: extent.end } })
    }

    fn scalar(&mut self, text: Cow<'a, str>, plain: bool, extent: Extent) -> Result<(), Fault> {
        if text.contains('\0') {
            self.note(Fault::new(code::NOT_TEXT, extent, "a text cannot hold a NUL character"));
        }
        let is_key = |open: &Open| open.is_mapping && open.key.is_none();
        if plain && text == "<<" && self.open.last().is_some_and(is_key) {
            self.refuse("a merge key", extent);
        }
        if let Some(open) = self.open.last_mut().filter(|open| is_key(open)) {
            open.key = Some((text.into_owned(), extent));
            return Ok(());
        }
        self.place(Node { value: Value::Scalar(Scalar { text: text.into_owned(), plain }), extent })
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(above(node.extent, &format!("{MAX_VALUES} values")));
        }
        match self.open.last_mut() {
            None => self.current.root = Some(node),
            Some(open) if !open.is_mapping => open.items.push(node),
            Some(open) => {
                if let Some((key, extent)) = open.key.take() {
                    let is_left_out = node.extent.start == node.extent.end && node.as_scalar().is_some();
                    let value = if is_left_out { Node { extent, ..node } } else { node };
                    open.entries.push(Entry { key, extent, value });
                }
            }
        }
        Ok(())
    }

    /// Reports keys that come twice; the first one stays.
    fn without_duplicates(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let mut order: Vec<&Entry> = entries.iter().collect();
        order.sort_by(|left, right| left.key.cmp(&right.key));
        let mut dropped = BTreeSet::new();
        for pair in order.windows(2) {
            let [first, second] = pair else { continue };
            if first.key == second.key {
                let Position { line, column } = first.extent.start;
                let message = format!("the key `{}` comes twice", second.key);
                let fault = Fault::new(code::DUPLICATE_KEY, second.extent, message);
                self.note(fault.hint(format!("it is at line {line}, column {column} already")));
                dropped.insert(second.extent.start);
            }
        }
        entries.retain(|entry| !dropped.contains(&entry.extent.start));
        entries
    }

    /// The parser's error in our words.
    fn explain(&self, error: &ScanError) -> Fault {
        let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
        let extent = Extent { start: at, end: at };
        let kind = error.kind();
        if matches!(kind, ErrorKind::RecursionLimitExceeded) {
            return too_deep(extent);
        }
        if let Some(fault) = self.explain_tab(at) {
            return fault;
        }
        if matches!(kind, ErrorKind::DirectiveDisallowed) {
            return Fault::new(code::YAML_FEATURE, extent, "a directive is not allowed")
                .hint("remove the line");
        }
        Fault::new(code::SYNTAX, extent, kind.to_string()).hint(advice(kind))
    }

    /// A tab in front of the line's text, or of the one before, is behind most of what the parser then complains about.
    fn explain_tab(&self, at: Position) -> Option<Fault> {
        let lines = self.lines.get_or_init(|| self.text.lines().collect());
        let line = lines.get(at.line.saturating_sub(1))?;
        let indent = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
        let column = indent.clone().position(|c| c == '\t')? + 1;
        let start = Position { line: at.line, column };
        let end = Position { line: at.line, column: indent.count() + 1 };
        let fault = Fault::new(code::TAB, Extent { start, end }, "a tab cannot be used for indentation");
        Some(fault.hint("use spaces"))
    }
}

/// That the text has more than `most`.
fn above(extent: Extent, most: &str) -> Fault {
    Fault::new(code::TOO_LARGE, extent, format!("a file holds at most {most}")).hint(SPLIT)
}

fn too_deep(extent: Extent) -> Fault {
    let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
    Fault::new(code::TOO_DEEP, extent, message)
}

/// What usually helps.
fn advice(kind: &ErrorKind) -> &'static str {
    if matches!(kind, ErrorKind::MappingValueNotAllowed) {
        "put quotes around a value that holds `: `, or check the indentation"
    } else if matches!(
        kind,
        ErrorKind::UnclosedQuotedScalar
            | ErrorKind::InvalidQuotedScalarIndent
            | ErrorKind::DocumentIndicatorInQuotedScalar
    ) {
        "a closing quote is missing, here or above"
    } else if matches!(kind, ErrorKind::UnexpectedCharacter { .. }) {
        "put quotes around a value that begins with this character"
    } else if matches!(kind, ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey) {
        "check the indentation"
    } else {
        ""
    }
}

fn extent(span: granit_parser::Span) -> Extent {
    let position = |marker: granit_parser::Marker| Position { line: marker.line(), column: marker.col() + 1 };
    Extent { start: position(span.start), end: position(span.end) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn typed_text_stays_as_it_is_written() {
        let map: BTreeMap<String, String> = from_str("{a: no, b: 012, c: 1.10, d: \"x\"}").unwrap();
        assert_eq!(map.into_values().collect::<Vec<_>>(), ["no", "012", "1.10", "x"]);
    }

    #[test]
    fn plain_values_are_bounded_too() {
        for bad in ["a: &x 1", "a: *x", &"[".repeat(100_000), "a: 1\n---\nb: 2\n", "a: 1\na: 2\n"] {
            assert!(from_str::<serde_json::Value>(bad).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn several_lines_are_written_as_several_lines() {
        let map = BTreeMap::from([("a", "first\nsecond\n"), ("b", "x y ".repeat(40).leak())]);
        let text = to_string(&map).unwrap();
        assert!(text.starts_with("a: |\n"), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn positions_count_characters_from_one() {
        let documents = documents("a: b\n---\n  é: 🦀 c\n  d: [e]\n");
        let root = documents[1].root.as_ref().unwrap();
        let at = |path: &[crate::tree::Step<'_>]| {
            let extent = root.locate(path);
            (extent.start.line, extent.start.column, extent.end.column)
        };
        assert_eq!(at(&["é".into()]), (3, 6, 9));
        assert_eq!(at(&["d".into()]), (4, 3, 4));
        assert_eq!(at(&["d".into(), 0.into()]), (4, 7, 8));
    }
}
