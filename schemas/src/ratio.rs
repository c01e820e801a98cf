//! A part of a whole, without floating point.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::Cpus;

/// A part of a whole, 0 to 1, kept in thousand-millionths; written as a decimal number in quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u64);

/// Not a number from 0 to 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a ratio: write a decimal number from 0 to 1 in quotes, such as \"0.25\"")]
pub struct RatioError(String);

const WHOLE: u64 = 1_000_000_000;

impl Ratio {
    /// Whether `part` of `whole` is strictly more than this ratio.
    pub fn is_exceeded_by(self, part: u32, whole: u32) -> bool {
        u128::from(part) * u128::from(WHOLE) > u128::from(self.0) * u128::from(whole)
    }
}

impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        let nanos = text.parse::<Cpus>().map(Cpus::as_nanos).ok().filter(|nanos| *nanos <= WHOLE);
        nanos.map(Self).ok_or_else(|| RatioError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cpus::from_nanos(self.0).fmt(f)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Ratio {
    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$",
            "description": "A decimal number from 0 to 1, such as \"0.25\".",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_exceeded_only_strictly() {
        let quarter: Ratio = "0.25".parse().unwrap();
        assert!(!quarter.is_exceeded_by(1, 4));
        assert!(quarter.is_exceeded_by(2, 4));
        assert!(Ratio::default().is_exceeded_by(1, 1000));
        for bad in ["1.1", "-1", "x", ""] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad}");
        }
    }
}
