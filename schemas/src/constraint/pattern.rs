//! Texts that a value is compared with: literally, or with `*` and `?`.

use std::str::Chars;

/// A text, or what many texts look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    form: Form,
    /// Whether upper and lower case differ.
    is_exact: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Text(Box<str>),
    Glob(Box<[Piece]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// This character.
    Is(char),
    /// `?`
    One,
    /// `*`
    Many,
}

impl Pattern {
    /// The pattern that `text` is. `\*` and `\?` stand for themselves; any other `\` does as well.
    pub(super) fn parse(text: &str, is_exact: bool) -> Self {
        let mut pieces: Vec<Piece> = pieces(text).collect();
        for piece in &mut pieces {
            if let Piece::Is(c) = piece
                && !is_exact
            {
                *c = fold(*c);
            }
        }
        let literal: Option<String> = pieces.iter().map(|piece| piece.literal()).collect();
        let form = match literal {
            Some(text) => Form::Text(text.into()),
            None => Form::Glob(pieces.into()),
        };
        Self { form, is_exact }
    }

    /// Whether `found` is so.
    pub(super) fn matches(&self, found: &str) -> bool {
        match (&self.form, self.is_exact) {
            (Form::Text(text), true) => **text == *found,
            (Form::Text(text), false) => {
                text.eq_ignore_ascii_case(found)
                    || (!found.is_ascii() && found.chars().map(fold).eq(text.chars()))
            }
            (Form::Glob(pieces), is_exact) => glob(pieces, found, is_exact),
        }
    }
}

/// A text that the pattern `text` matches, in the case in which it is written.
pub(super) fn example(text: &str) -> String {
    let shown = pieces(text).filter_map(|piece| match piece {
        Piece::Is(c) => Some(c),
        Piece::One => Some('x'),
        Piece::Many => None,
    });
    let shown: String = shown.collect();
    if shown.is_empty() { "x".to_owned() } else { shown }
}

impl Piece {
    fn literal(self) -> Option<char> {
        match self {
            Self::Is(c) => Some(c),
            Self::One | Self::Many => None,
        }
    }

    /// Whether it stands for the character `c`; `*` stands for texts.
    fn takes(self, c: char, is_exact: bool) -> bool {
        match self {
            Self::Is(wanted) => wanted == if is_exact { c } else { fold(c) },
            Self::One => true,
            Self::Many => false,
        }
    }
}

/// The lower-case form of a character, if it is one character.
fn fold(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        (Some(_) | None, _) => c,
    }
}

fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    let mut chars = text.chars();
    std::iter::from_fn(move || {
        let c = chars.next()?;
        let escaped = chars.as_str().chars().next().filter(|next| c == '\\' && matches!(next, '*' | '?'));
        if let Some(escaped) = escaped {
            chars.next();
            return Some(Piece::Is(escaped));
        }
        Some(match c {
            '*' => Piece::Many,
            '?' => Piece::One,
            c => Piece::Is(c),
        })
    })
}

/// Whether `pieces` make up the whole of `text`. A `*` takes as little as it can, and one character more when what follows
/// fails; only the last `*` ever needs to be tried again, so that the time is at most the product of both lengths.
fn glob(pieces: &[Piece], text: &str, is_exact: bool) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(usize, Chars<'_>)> = None;
    loop {
        match pieces.get(at) {
            Some(Piece::Many) => {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            Some(piece) => {
                let mut next = rest.clone();
                if next.next().is_some_and(|c| piece.takes(c, is_exact)) {
                    rest = next;
                    at += 1;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (at, rest) = (*after, from.clone());
    }
}
