//! Reads templates: a text, and between `{{` and `}}` one value each. Whatever else Go's templates can do is refused.

use std::fmt::{self, Write as _};

use super::{FIELDS, Field, LABELS, OPEN, Owner, Part, Template, TemplateError, Value};

/// What ends a value.
const CLOSE: &str = "}}";
/// How deep parentheses may be nested.
const DEPTH_MAX: usize = 8;
/// How much of what was written an error repeats, in characters.
const SHOWN_CHARS: usize = 40;
const KNOWN: &str = "there are .Service.{ID,Name,Labels}, .Node.{ID,Name,Hostname,Labels,Platform.OS,\
    Platform.Architecture} and .Task.{ID,Name,Slot}";

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut is_trimmed = false;
    while let Some(open) = rest(text, at).find(OPEN).map(|open| at + open) {
        let mut parser = Parser { text, at: open + OPEN.len() };
        let trims_before = parser.trims_before();
        let literal = text.get(at..open).unwrap_or_default();
        let literal = if is_trimmed { literal.trim_ascii_start() } else { literal };
        push(&mut parts, if trims_before { literal.trim_ascii_end() } else { literal });
        let value = parser.value(0)?;
        is_trimmed = parser.close(open)?;
        parts.push(Part::Value(value));
        at = parser.at;
    }
    let literal = rest(text, at);
    push(&mut parts, if is_trimmed { literal.trim_ascii_start() } else { literal });
    Ok(Template { parts })
}

fn push(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Writes a text as Go's templates quote it.
pub(super) fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

/// Reads on from `at`, which is inside of a value.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// What values are made of.
enum Token<'a> {
    /// `.Node.Labels`, and where it begins.
    Path(&'a str, usize),
    /// `index`, and where it begins.
    Word(&'a str, usize),
    Literal(String),
    Open,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        rest(self.text, self.at)
    }

    /// `{{- ` takes away the white space before it.
    fn trims_before(&mut self) -> bool {
        let trims = self.rest().strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space));
        self.at += usize::from(trims);
        trims
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
    }

    /// The end of a value that began at `open`; whether it takes away the white space that follows.
    fn close(&mut self, open: usize) -> Result<bool, TemplateError> {
        let before = self.at;
        self.skip_space();
        if self.at > before && self.rest().strip_prefix('-').is_some_and(|rest| rest.starts_with(CLOSE)) {
            self.at += 1 + CLOSE.len();
            return Ok(true);
        }
        if self.rest().starts_with(CLOSE) {
            self.at += CLOSE.len();
            return Ok(false);
        }
        if self.rest().is_empty() {
            return Err(unclosed(open));
        }
        let hint = "each {{…}} holds one value: pipes, conditions and loops are not supported";
        Err(self.unexpected(hint))
    }

    /// One value: an operand, or a call of `index` or `join`.
    fn value(&mut self, depth: usize) -> Result<Value, TemplateError> {
        let start = self.at;
        match self.token()? {
            Some(Token::Word("index", at)) => self.index(at),
            Some(Token::Word("join", at)) => self.join(at, depth),
            Some(token) => self.operand(token, depth),
            None if self.rest().is_empty() => Err(unclosed(start.saturating_sub(OPEN.len()))),
            None => Err(self.unexpected("a value is wanted, such as .Task.Slot")),
        }
    }

    fn operand(&mut self, token: Token<'a>, depth: usize) -> Result<Value, TemplateError> {
        match token {
            Token::Literal(text) => Ok(Value::Literal(text)),
            Token::Path(path, at) => value_of(path, at),
            Token::Word(word, at) => {
                let message = format!("{} is not supported in a template", shown(word));
                let hint =
                    "each {{…}} holds one value, `index LABELS \"KEY\"`, or `join \"SEPARATOR\" VALUE…`";
                Err(TemplateError { at, length: word.len(), message, hint: hint.to_owned() })
            }
            Token::Open if depth >= DEPTH_MAX => Err(self.unexpected("parentheses are nested too deep")),
            Token::Open => {
                let value = self.value(depth + 1)?;
                self.skip_space();
                if !self.rest().starts_with(')') {
                    return Err(self.unexpected("`)` is wanted"));
                }
                self.at += 1;
                Ok(value)
            }
        }
    }

    /// `index .Node.Labels "KEY"`.
    fn index(&mut self, start: usize) -> Result<Value, TemplateError> {
        let owner = match self.token()? {
            Some(Token::Path(path, _)) => {
                LABELS.iter().find(|(known, _)| *known == path).map(|(_, owner)| *owner)
            }
            _ => None,
        };
        if let (Some(owner), Some(Token::Literal(key))) = (owner, self.token()?) {
            return Ok(Value::Label { owner, key, is_required: false });
        }
        let (length, message) = (self.at.saturating_sub(start), "`index` wants labels and a key".to_owned());
        let hint = "write `index .Node.Labels \"KEY\"` or `index .Service.Labels \"KEY\"`".to_owned();
        Err(TemplateError { at: start, length, message, hint })
    }

    /// `join "SEPARATOR" VALUE…`.
    fn join(&mut self, start: usize, depth: usize) -> Result<Value, TemplateError> {
        let mut values = Vec::new();
        while let Some(token) = self.token()? {
            values.push(self.operand(token, depth)?);
        }
        let mut values = values.into_iter();
        match values.next() {
            Some(separator) if values.len() > 0 => {
                Ok(Value::Join { separator: Box::new(separator), items: values.collect() })
            }
            _ => Err(TemplateError {
                at: start,
                length: "join".len(),
                message: "`join` wants a separator and values".to_owned(),
                hint: "such as `join \"-\" .Service.Name .Task.Slot`".to_owned(),
            }),
        }
    }

    /// The next piece; `None` before an end, or before what no value holds.
    fn token(&mut self) -> Result<Option<Token<'a>>, TemplateError> {
        self.skip_space();
        let (start, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else { return Ok(None) };
        match first {
            '(' => {
                self.at += 1;
                Ok(Some(Token::Open))
            }
            '"' => self.quoted().map(Some),
            '`' => self.raw().map(Some),
            '.' => Ok(Some(Token::Path(self.take(|c| c == '.' || is_word(c)), start))),
            _ if is_word(first) => Ok(Some(Token::Word(self.take(is_word), start))),
            _ => Ok(None),
        }
    }

    fn take(&mut self, belongs: fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// `"…"`, with `\"`, `\\`, `\n`, `\t` and `\r`.
    fn quoted(&mut self) -> Result<Token<'a>, TemplateError> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(Token::Literal(text));
                }
                '\\' => match characters.next() {
                    Some((_, plain @ ('"' | '\\'))) => text.push(plain),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    other => {
                        let length = 1 + other.map_or(0, |(_, c)| c.len_utf8());
                        let message = "this escape is not supported".to_owned();
                        let hint = "use \\\", \\\\, \\n, \\t or \\r".to_owned();
                        return Err(TemplateError { at: start + offset, length, message, hint });
                    }
                },
                '\n' => break,
                other => text.push(other),
            }
        }
        Err(unquoted(start))
    }

    /// `` `…` ``: nothing in it is special.
    fn raw(&mut self) -> Result<Token<'a>, TemplateError> {
        let inside = rest(self.text, self.at + 1);
        let Some(end) = inside.find('`') else { return Err(unquoted(self.at)) };
        self.at += end + 2;
        Ok(Token::Literal(inside.get(..end).unwrap_or_default().to_owned()))
    }

    fn unexpected(&self, hint: &str) -> TemplateError {
        let rest = self.rest();
        let end = [rest.find(is_space), rest.find(CLOSE)].into_iter().flatten().min();
        let first =
            if rest.starts_with(CLOSE) { CLOSE.len() } else { rest.chars().next().map_or(0, char::len_utf8) };
        let length = end.unwrap_or(rest.len()).max(first);
        let word = rest.get(..length).unwrap_or_default();
        let message = match word {
            "" => "the template ends too early".to_owned(),
            word => format!("{} is not expected here in a template", shown(word)),
        };
        TemplateError { at: self.at, length, message, hint: hint.to_owned() }
    }
}

/// `.Task.Slot`, or `.Node.Labels.zone`.
fn value_of(path: &str, at: usize) -> Result<Value, TemplateError> {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == path) {
        let field: Field = *field;
        return Ok(Value::Field(field));
    }
    let error = |message: String, hint: &str| {
        Err(TemplateError { at, length: path.len(), message, hint: hint.to_owned() })
    };
    let labels = LABELS.iter().find_map(|(known, owner)| Some((*owner, *known, path.strip_prefix(known)?)));
    match labels {
        Some((owner, known, key)) if key.is_empty() || key.starts_with('.') => {
            let key = key.strip_prefix('.').unwrap_or_default();
            if key.is_empty() || key.contains('.') {
                let message = format!("{} is not one label", shown(path));
                return error(message, &format!("write `index {known} \"KEY\"`"));
            }
            let owner: Owner = owner;
            Ok(Value::Label { owner, key: key.to_owned(), is_required: true })
        }
        _ => {
            let is_near =
                |known: &&str| strsim::damerau_levenshtein(&known.to_lowercase(), &path.to_lowercase()) <= 2;
            let mut names = FIELDS.iter().map(|(known, _)| *known).chain(LABELS.map(|(known, _)| known));
            let hint = names.find(is_near).map_or(KNOWN.to_owned(), |near| format!("did you mean `{near}`?"));
            error(format!("a template knows no {}", shown(path)), &hint)
        }
    }
}

fn unclosed(at: usize) -> TemplateError {
    let hint = "to write `{{` itself: {{\"{{\"}}".to_owned();
    TemplateError { at, length: OPEN.len(), message: "`{{` is not closed by `}}`".to_owned(), hint }
}

fn unquoted(at: usize) -> TemplateError {
    TemplateError { at, length: 1, message: "a quoted text does not end".to_owned(), hint: String::new() }
}

fn shown(text: &str) -> String {
    format!("`{}`", text.chars().take(SHOWN_CHARS).collect::<String>())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
