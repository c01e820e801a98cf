//! Instants and durations, in milliseconds, as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: milliseconds since 1970-01-01 UTC, written as RFC 3339.
///
/// Only the clock of the controller that acts on it counts; instants of other machines are for people to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// A length of time in milliseconds, written as `10s`, `1m30s`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(u64);

/// Why a text is not a [`Span`] or a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a duration.
    #[error("{0:?} is not a duration: write a number with a unit, such as 500ms, 10s, 1m30s or 2h")]
    Span(String),
    /// A number without a unit.
    #[error("the duration {0:?} has no unit: did you mean {0}s?")]
    NoUnit(String),
    /// Above a year.
    #[error("the duration {0:?} is longer than a year")]
    TooLong(String),
    /// Not an instant.
    #[error("{0:?} is not an instant: write RFC 3339, such as 2026-01-31T12:00:00Z")]
    Timestamp(String),
}

/// Units, largest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// The longest duration: a year, in milliseconds.
const YEAR_MS: u64 = 365 * 86_400_000;

impl Timestamp {
    /// The instant `millis` milliseconds after 1970-01-01 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant `span` later; saturates.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Span {
    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's type.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::Span(text.chars().take(40).collect());
        let mut rest = text;
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if unit.is_empty() {
                let is_number = tail.is_empty() && rest == text;
                return Err(if is_number {
                    TimeError::NoUnit(text.chars().take(40).collect())
                } else {
                    wrong()
                });
            }
            let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            total = total.saturating_add(number.saturating_mul(*millis));
            rest = tail;
        }
        if total > YEAR_MS { Err(TimeError::TooLong(text.to_owned())) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| TimeError::Timestamp(text.chars().take(40).collect()))?;
        Ok(Self(instant.as_millisecond()))
    }
}

/// Serializes as text, and says so in the JSON Schema.
macro_rules! as_text {
    ($name:ident, $schema:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

as_text!(
    Span,
    json_schema!({
        "type": "string",
        "description": "A duration with its unit, such as 500ms, 10s, 1m30s or 2h; at most a year.",
        "pattern": "^([0-9]+(ms|s|m|h|d))+$"
    })
);
as_text!(Timestamp, json_schema!({"type": "string", "format": "date-time"}));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_people_write_them() {
        for (text, millis) in
            [("0s", 0), ("10s", 10_000), ("1m30s", 90_000), ("250ms", 250), ("2h", 7_200_000)]
        {
            assert_eq!(text.parse(), Ok(Span::from_millis(millis)));
            assert_eq!(Span::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn a_duration_without_unit_is_refused_with_a_suggestion() {
        let error = "10".parse::<Span>().unwrap_err().to_string();
        assert!(error.contains("did you mean 10s?"), "{error}");
        for bad in ["", "s", "1x", "-1s", "1.5s", "99999d", "1s2"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_are_rfc_3339_in_utc() {
        let instant = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(instant.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!("2023-11-14T22:13:20.123Z".parse(), Ok(instant));
    }
}
