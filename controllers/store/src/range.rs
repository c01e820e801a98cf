//! Ranges of keys, and what etcd holds under a key.

use bytes::Bytes;
use etcd_client::proto::PbKeyValue;

/// A range of keys `[start, end)`, or one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

/// A key with its value and its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key. One that is not UTF-8 is none of Skep's; its foreign bytes are replaced.
    pub key: String,
    /// The value as stored.
    pub value: Bytes,
    /// The revision that created the key.
    pub created: i64,
    /// The revision that last wrote the key.
    pub modified: i64,
    /// The lease that the key lives with, or 0.
    pub lease: i64,
}

/// What lies in some ranges at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The revision at which all of it was true.
    pub revision: i64,
    /// The keys, in order within each range.
    pub entries: Vec<KeyValue>,
}

impl Range {
    /// Every key that begins with `prefix`, which is not empty.
    pub fn prefix(prefix: impl AsRef<str>) -> Self {
        let start = prefix.as_ref().as_bytes().to_vec();
        let end = end_of_prefix(&start);
        Self { start, end: Some(end) }
    }

    /// The keys from `start` (included) to `end` (excluded).
    pub fn between(start: impl AsRef<str>, end: impl AsRef<str>) -> Self {
        Self { start: start.as_ref().as_bytes().to_vec(), end: Some(end.as_ref().as_bytes().to_vec()) }
    }

    /// One key.
    pub fn key(key: &skep_api::key::Key) -> Self {
        Self { start: key.to_string().into_bytes(), end: None }
    }

    /// What every controller watches.
    pub fn controllers() -> Self {
        let (start, end) = skep_api::key::CONTROLLER_RANGE;
        Self::between(start, end)
    }

    /// The first key of the range.
    pub(crate) fn start(&self) -> &[u8] {
        &self.start
    }

    /// The key after the last one, as etcd wants it; `None` for a single key.
    pub(crate) fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// The part of this range that comes after `key`.
    pub(crate) fn after(&self, key: &[u8]) -> Self {
        let mut start = key.to_vec();
        start.push(0);
        Self { start, end: self.end.clone() }
    }
}

/// The first key that does not begin with `prefix`; `[0]` is etcd's word for "no end".
fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

impl From<PbKeyValue> for KeyValue {
    fn from(kv: PbKeyValue) -> Self {
        Self {
            key: text_of(kv.key),
            value: Bytes::from(kv.value),
            created: kv.create_revision,
            modified: kv.mod_revision,
            lease: kv.lease,
        }
    }
}

/// A key as text. Two foreign keys may become the same text, which no key of Skep's ever does.
pub(crate) fn text_of(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_does_not_begin_with_it() {
        assert_eq!(end_of_prefix(b"/skep/spec/"), b"/skep/spec0");
        assert_eq!(end_of_prefix(b"a\xff"), b"b");
        assert_eq!(end_of_prefix(b"\xff"), b"\0");
    }

    #[test]
    fn a_key_that_is_not_text_does_not_stop_a_reader() {
        assert_eq!(text_of(b"/skep/\xff".to_vec()), "/skep/\u{fffd}");
    }
}
