//! The only file that names the YAML crate: reading and writing plain values.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a text is not the YAML that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Where and why.
    pub message: String,
}

/// Reads one document.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str(text).map_err(|error| YamlError { message: error.to_string() })
}

/// Writes one document in block form.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError { message: error.to_string() })
}
