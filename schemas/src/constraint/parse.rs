//! Reading constraints, with errors that point at the character.

use crate::constraint::network::Network;
use crate::constraint::number::Number;
use crate::constraint::pattern::{self, Pattern};
use crate::constraint::property::{self, Property, SUCH_AS};
use crate::constraint::{Comparison, Constraint, Test, Values};
use crate::manifest::nearest;

/// What may stand in a value, beside letters, digits and spaces.
const VALUE_CHARS: &str = r":-_.*()?+[]\^$|/";
/// What may follow a property.
const OPERATORS: &str = "`==`, `!=`, `in (…)`, `not in (…)`, `exists`, `!exists`, `<`, `<=`, `>` or `>=`";
/// Words that others use, and ours; more than one word is written with one space.
const ELSEWHERE: [(&str, &str); 20] = [
    ("=", "=="),
    ("=~", "== with * and ?"),
    ("~=", "== with * and ?"),
    ("!~", "!= with * and ?"),
    ("<>", "!="),
    ("=>", ">="),
    ("=<", "<="),
    ("!in", "not in"),
    ("! in", "not in"),
    ("notin", "not in"),
    ("not", "not in"),
    ("not exists", "!exists"),
    ("! exists", "!exists"),
    ("doesnotexist", "!exists"),
    ("absent", "!exists"),
    ("missing", "!exists"),
    ("exist", "exists"),
    ("has", "exists"),
    ("is", "=="),
    ("eq", "=="),
];

/// A text is not a constraint, or not a property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {reason} at character {character}{}", parenthesised(hint))]
pub struct ConstraintError {
    /// Enough of the text to recognize it.
    text: String,
    what: &'static str,
    reason: String,
    /// What to write instead; may be empty.
    hint: String,
    /// Where, in bytes from the start.
    at: usize,
    /// How many bytes are wrong; 0 at the end of the text.
    length: usize,
    /// Where, in characters, from 1.
    character: usize,
}

impl ConstraintError {
    /// Where it is wrong, in bytes from the start of the text.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are wrong; 0 if something is missing there.
    pub fn length(&self) -> usize {
        self.length
    }

    /// What is wrong there, for a message that points at the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to write instead; may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

fn parenthesised(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(" ({hint})") }
}

/// Reads a constraint.
pub(super) fn constraint(text: &str) -> Result<Constraint, ConstraintError> {
    let mut reader = Reader { text, at: 0, what: "a constraint" };
    reader.skip_space();
    let key = reader.key()?;
    let property = Property::of(key);
    reader.skip_space();
    let (wanted, example) = reader.test(&property)?;
    let has_it = property != Property::Unknown;
    let example = example.map(String::into_boxed_str);
    Ok(Constraint { text: text.into(), property, test: if has_it { wanted } else { Test::Never }, example })
}

/// Reads the name of a property that nodes have.
pub(super) fn property(text: &str) -> Result<Property, ConstraintError> {
    let mut reader = Reader { text, at: 0, what: "a property of nodes" };
    let key = reader.key()?;
    if !reader.rest().is_empty() {
        return Err(reader.wrong_here("only the property is wanted", ""));
    }
    let property = Property::of(key);
    if property == Property::Unknown {
        let hint =
            property::meant(key).map_or(SUCH_AS.to_owned(), |meant| format!("did you mean `{meant}`?"));
        return Err(reader.wrong(0, key.len(), "nodes have no such property", &hint));
    }
    Ok(property)
}

/// What is left of a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    what: &'static str,
}

/// A test with a value that meets it.
type Tested = (Test, Option<String>);

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `token`, if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    fn wrong(&self, at: usize, length: usize, reason: &str, hint: &str) -> ConstraintError {
        ConstraintError {
            text: self.text.chars().take(100).collect(),
            what: self.what,
            reason: reason.to_owned(),
            hint: hint.to_owned(),
            at,
            length,
            character: self.text.get(..at).map_or(0, |before| before.chars().count()) + 1,
        }
    }

    /// What comes next is wrong, up to a space.
    fn wrong_here(&self, reason: &str, hint: &str) -> ConstraintError {
        let length = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
        self.wrong(self.at, length, reason, hint)
    }

    fn key(&mut self) -> Result<&'a str, ConstraintError> {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let length = self.rest().find(|c| !is_inside(c)).unwrap_or(self.rest().len());
        let key = self.rest().get(..length).unwrap_or_default();
        if self.rest().starts_with("!exists") {
            return Err(self.wrong_here(
                "expected a property of nodes",
                "write the property first: `node.labels.gpu !exists`",
            ));
        }
        let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if key.len() < 2 || !begins {
            let reason =
                "expected a property of nodes: two characters at least, the first one a letter or '_'";
            return Err(self.wrong(self.at, length.max(self.first()), reason, SUCH_AS));
        }
        let start = self.at;
        self.at += length;
        let next = self.rest().chars().next();
        if next.is_some_and(|c| !c.is_whitespace() && !"=!<>~(".contains(c)) {
            let reason = "the name of a property has letters, digits, '.', '_' and '-' only";
            return Err(self.wrong(self.at, self.first(), reason, ""));
        }
        let after = self.rest().trim_start();
        if matches!(key, "exists" | "not") && after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let hint = "write the property first, such as `node.labels.gpu exists`";
            return Err(self.wrong(start, length, "expected a property of nodes", hint));
        }
        Ok(key)
    }

    /// The length of the next character, in bytes.
    fn first(&self) -> usize {
        self.rest().chars().next().map_or(0, char::len_utf8)
    }

    /// Everything after the property.
    fn test(&mut self, property: &Property) -> Result<Tested, ConstraintError> {
        let start = self.at;
        let operator = self.operator()?;
        match operator {
            "==" => self.value(property).map(|(values, example)| among(values, example)),
            "!=" => self.value(property).map(|(values, _)| (beside(values), None)),
            "in" => self.list(property).map(|(values, example)| (Test::Among(values), example)),
            "not in" => self.list(property).map(|(values, _)| (Test::Beside(values), None)),
            "exists" => self.end().map(|()| (Test::There, Some("true".to_owned()))),
            "!exists" => self.end().map(|()| (Test::Missing, None)),
            _ if *property == Property::Ip => {
                let reason = "an address is neither less nor more than another";
                Err(self.wrong(
                    start,
                    operator.len(),
                    reason,
                    "write a network, such as `node.ip == 10.0.0.0/8`",
                ))
            }
            "<" => self.number(Comparison::Less),
            "<=" => self.number(Comparison::AtMost),
            ">" => self.number(Comparison::More),
            _ => self.number(Comparison::AtLeast),
        }
    }

    fn operator(&mut self) -> Result<&'static str, ConstraintError> {
        let start = self.at;
        let symbols = self.rest().find(|c| !"=!<>~".contains(c)).unwrap_or(self.rest().len());
        let symbols = self.rest().get(..symbols).unwrap_or_default();
        for operator in ["==", "!=", "<=", ">=", "<", ">"] {
            let is_it = if operator == "==" || operator == "!=" {
                symbols.starts_with(operator)
            } else {
                symbols == operator
            };
            if is_it {
                self.at += operator.len();
                return Ok(operator);
            }
        }
        for operator in ["exists", "!exists", "in"] {
            if self.take_word(operator) {
                return Ok(operator);
            }
        }
        if self.take_word("not") {
            self.skip_space();
            if self.take_word("in") {
                return Ok("not in");
            }
            self.at = start;
        }
        Err(self.no_operator(symbols))
    }

    /// Takes a word that nothing follows which could belong to it.
    fn take_word(&mut self, word: &str) -> bool {
        let rest = self.rest().strip_prefix(word);
        let is_next = rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
        is_next && self.take(word)
    }

    fn no_operator(&self, symbols: &str) -> ConstraintError {
        let rest = self.rest();
        if rest.is_empty() {
            return self.wrong(self.at, 0, &format!("expected {OPERATORS}"), "");
        }
        let length = if symbols.is_empty() || symbols == "!" {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '!' | '_' | '-');
            rest.find(|c| !is_word(c)).filter(|length| *length > 0).unwrap_or(rest.len())
        } else {
            symbols.len()
        };
        let written = rest.get(..length).unwrap_or_default();
        let words: Vec<&str> = rest.split_whitespace().take(2).collect();
        let lower = |text: &str| text.to_ascii_lowercase();
        let known = |text: &str| ELSEWHERE.iter().find(|(theirs, _)| *theirs == text).map(|(_, ours)| *ours);
        let ours = known(&lower(&words.join(" ")))
            .or_else(|| known(&lower(written)))
            .or_else(|| nearest(written, ["in", "not in", "exists", "!exists"].into_iter()));
        let hint = ours.map_or(String::new(), |ours| format!("did you mean `{ours}`?"));
        self.wrong(self.at, length, &format!("expected {OPERATORS}, not `{written}`"), &hint)
    }

    /// Nothing but space is left.
    fn end(&mut self) -> Result<(), ConstraintError> {
        self.skip_space();
        let rest = self.rest().trim_end();
        if rest.is_empty() { Ok(()) } else { Err(self.wrong(self.at, rest.len(), "nothing may follow", "")) }
    }

    /// The one value after `==` or `!=`; `None` if it is to be a network and is none.
    fn value(&mut self, property: &Property) -> Result<(Option<Values>, Option<String>), ConstraintError> {
        self.skip_space();
        let text = self.rest().trim_end();
        self.check_value(text, self.at)?;
        if *property == Property::Ip {
            let network = Network::parse(text).map(|network| Values::Networks([network].into()));
            return Ok((network, None));
        }
        let pattern = Pattern::parse(text, *property == Property::Id);
        Ok((Some(Values::Patterns([pattern].into())), Some(pattern::example(text))))
    }

    /// SwarmKit's rule of values (`manager/constraint`, `valuePattern`).
    fn check_value(&self, text: &str, at: usize) -> Result<(), ConstraintError> {
        if text.is_empty() {
            return Err(self.wrong(at, 0, "expected a value", ""));
        }
        let is_allowed =
            |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || VALUE_CHARS.contains(c);
        let Some((offset, c)) = text.char_indices().find(|(_, c)| !is_allowed(*c)) else { return Ok(()) };
        let hint = match c {
            ',' => "to allow several values, write `in (a, b)`".to_owned(),
            '\'' | '"' => "write the value without quotes".to_owned(),
            _ => format!("a value has letters, digits, spaces and {VALUE_CHARS} only"),
        };
        Err(self.wrong(at + offset, c.len_utf8(), &format!("`{c}` cannot be in a value"), &hint))
    }

    /// `(a, b)`
    fn list(&mut self, property: &Property) -> Result<(Values, Option<String>), ConstraintError> {
        self.skip_space();
        if !self.take("(") {
            return Err(self.wrong_here("expected `(`", "write the values as `in (a, b)`"));
        }
        let start = self.at;
        let Some(length) = self.rest().find(')') else {
            return Err(self.wrong(self.text.len(), 0, "expected `)`", ""));
        };
        let inside = self.rest().get(..length).unwrap_or_default();
        self.at += length + 1;
        self.end()?;
        let mut items = Vec::new();
        let mut at = start;
        for item in inside.split(',') {
            let text = item.trim();
            let text_at = at + item.len() - item.trim_start().len();
            at += item.len() + 1;
            self.check_value(text, if text.is_empty() { at - 1 } else { text_at })?;
            if let Some(offset) = text.find('(') {
                return Err(self.wrong(text_at + offset, 1, "`(` cannot be in a list", ""));
            }
            items.push((text, text_at));
        }
        if *property == Property::Ip {
            return self.networks(&items).map(|networks| (networks, None));
        }
        let is_exact = *property == Property::Id;
        let patterns = items.iter().map(|(text, _)| Pattern::parse(text, is_exact)).collect();
        let example = items.first().map(|(text, _)| pattern::example(text));
        Ok((Values::Patterns(patterns), example))
    }

    fn networks(&self, items: &[(&str, usize)]) -> Result<Values, ConstraintError> {
        let networks = items.iter().map(|(text, at)| {
            let hint = "such as 10.0.0.7, 10.0.0.0/8 or fd00::/8";
            Network::parse(text)
                .ok_or_else(|| self.wrong(*at, text.len(), "expected an address or a network", hint))
        });
        networks.collect::<Result<_, _>>().map(Values::Networks)
    }

    fn number(&mut self, comparison: Comparison) -> Result<Tested, ConstraintError> {
        self.skip_space();
        let text = self.rest().trim_end();
        let Some(number) = Number::parse(text) else {
            return Err(self.wrong(
                self.at,
                text.len(),
                "expected a decimal number",
                "such as 16, -3 or 2.5",
            ));
        };
        let example = match comparison {
            Comparison::AtMost | Comparison::AtLeast => Some(text.to_owned()),
            Comparison::Less | Comparison::More => number.beyond(comparison == Comparison::More),
        };
        Ok((Test::Ordered(comparison, number), example))
    }
}

fn among(values: Option<Values>, example: Option<String>) -> Tested {
    values.map_or((Test::Never, None), |values| (Test::Among(values), example))
}

fn beside(values: Option<Values>) -> Test {
    values.map_or(Test::Never, Test::Beside)
}
