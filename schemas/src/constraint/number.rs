//! Decimal numbers of any length, compared exactly: labels hold serial numbers and times that a float would round.

use std::cmp::Ordering;

/// A decimal number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    is_negative: bool,
    whole: Box<str>,
    fraction: Box<str>,
}

/// Sign, digits before the point without leading zeros, digits after it without trailing ones.
type Parts<'a> = (bool, &'a str, &'a str);

impl Number {
    /// A number such as `16`, `-3` or `2.5`; nothing else, not even `1e3`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, whole, fraction) = parts(text)?;
        Some(Self { is_negative, whole: whole.into(), fraction: fraction.into() })
    }

    /// How `text` is ordered with regard to this; `None` if it is no number.
    pub(super) fn against(&self, text: &str) -> Option<Ordering> {
        Some(compare(parts(text)?, (self.is_negative, &self.whole, &self.fraction)))
    }

    /// A whole number that is more, or less; `None` if it is too large to tell.
    pub(super) fn beyond(&self, is_more: bool) -> Option<String> {
        let whole: i64 = if self.whole.is_empty() { 0 } else { self.whole.parse().ok()? };
        let whole = if self.is_negative { -whole } else { whole };
        let beyond = if is_more { whole.checked_add(1) } else { whole.checked_sub(1) };
        beyond.map(|number| number.to_string())
    }
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let is_zero = whole.is_empty() && fraction.is_empty();
    Some((is_negative && !is_zero, whole, fraction))
}

fn compare(one: Parts<'_>, other: Parts<'_>) -> Ordering {
    let (one_negative, one_whole, one_fraction) = one;
    let (other_negative, other_whole, other_fraction) = other;
    // Without leading zeros, the longer one is the larger one; fractions are ordered like texts.
    let size = one_whole
        .len()
        .cmp(&other_whole.len())
        .then_with(|| one_whole.cmp(other_whole))
        .then_with(|| one_fraction.cmp(other_fraction));
    match (one_negative, other_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}
