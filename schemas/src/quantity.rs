//! Amounts of CPU and memory, as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// CPU in thousand-millionths of a core, written as cores: `"0.5"`, `"2"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cpus(u64);

/// Memory in bytes, written in binary units: `256Mi`, `1Gi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Memory(u64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number of cores.
    #[error("{0:?} is not a number of CPUs: write cores as a decimal number, such as \"0.5\" or \"2\"")]
    Cpus(String),
    /// Not an amount of memory.
    #[error("{0:?} is not an amount of memory: write a whole number with Ki, Mi, Gi or Ti, such as 256Mi")]
    Memory(String),
    /// A unit that Docker and Kubernetes read differently.
    #[error(
        "{text:?} is ambiguous: Docker reads it in powers of 1024, Kubernetes of 1000; did you mean {hint}?"
    )]
    AmbiguousMemory {
        /// What was written.
        text: String,
        /// What Docker would have meant.
        hint: String,
    },
}

const NANOS: u64 = 1_000_000_000;
const UNITS: [(&str, u64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

impl Cpus {
    /// `nanos` thousand-millionths of a core.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Thousand-millionths of a core.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Memory {
    /// `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % NANOS);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / NANOS),
            fraction => write!(f, "{}.{fraction}", self.0 / NANOS),
        }
    }
}

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Cpus(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
        whole.checked_mul(NANOS).and_then(|cores| cores.checked_add(nanos)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Memory {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Memory(text.chars().take(40).collect());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if let Some(letter) = ["k", "m", "g", "t"].iter().find(|letter| {
            unit.eq_ignore_ascii_case(letter) || unit.eq_ignore_ascii_case(&format!("{letter}b"))
        }) {
            let hint = format!("{number}{}i", letter.to_uppercase());
            return Err(QuantityError::AmbiguousMemory { text: text.chars().take(40).collect(), hint });
        }
        let size = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size).ok_or_else(wrong)?,
        };
        number.checked_mul(size).map(Self).ok_or_else(wrong)
    }
}

/// Reads text or a plain number, writes text.
macro_rules! as_quantity {
    ($name:ident, $number:literal, $pattern:literal, $description:literal) => {
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
                json_schema!({
                    "type": ["string", $number],
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}

as_quantity!(Cpus, "number", r"^[0-9]+(\.[0-9]{1,9})?$", "CPU cores as a decimal number, such as \"0.5\".");
as_quantity!(
    Memory,
    "integer",
    "^[0-9]+(Ki|Mi|Gi|Ti)?$",
    "Memory with a binary unit, such as 256Mi or 1Gi; a plain number is bytes."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_decimal_cores() {
        for (text, nanos) in
            [("0.5", 500_000_000), ("2", 2_000_000_000), ("0.000000001", 1), ("1.25", 1_250_000_000)]
        {
            assert_eq!(text.parse(), Ok(Cpus::from_nanos(nanos)));
            assert_eq!(Cpus::from_nanos(nanos).to_string(), text);
        }
        for bad in ["", ".5", "1.", "-1", "500m", "1.0000000001", "99999999999999999999"] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_in_binary_units_and_ambiguous_ones_are_refused_with_a_hint() {
        for (text, bytes) in [("256Mi", 256 << 20), ("1Gi", 1 << 30), ("1500", 1500), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Memory::from_bytes(bytes)));
            assert_eq!(Memory::from_bytes(bytes).to_string(), text);
        }
        assert!("50M".parse::<Memory>().unwrap_err().to_string().contains("did you mean 50Mi?"));
        assert!("1gb".parse::<Memory>().unwrap_err().to_string().contains("1Gi"));
        assert!("x".parse::<Memory>().is_err());
    }
}
