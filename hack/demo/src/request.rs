//! The head of an HTTP request: as much of it as this server reads.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// A longer head is refused.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// The first line of a request, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// In the upper case in which it was sent.
    pub(crate) method: String,
    /// Begins with `/`; never contains the query.
    pub(crate) path: String,
    query: BTreeMap<String, String>,
}

impl Request {
    /// Reads one head, up to the empty line. A head that ends early, is too long or is not HTTP is `InvalidData`.
    pub(crate) fn read(from: impl BufRead) -> io::Result<Self> {
        let mut lines = from.take(HEAD_BYTES_MAX).lines();
        let first = lines.next().ok_or_else(|| malformed("nothing was asked"))??;
        for line in lines {
            if line?.is_empty() {
                return Self::parse(&first).ok_or_else(|| malformed("not a request of HTTP/1"));
            }
        }
        Err(malformed("the head does not end"))
    }

    /// `GET /slow?ms=20 HTTP/1.1`; `None` if the line is anything else.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (method, target, protocol) = (words.next()?, words.next()?, words.next()?);
        let is_http = protocol.starts_with("HTTP/1.") && words.next().is_none();
        if !is_http || method.is_empty() || !target.starts_with('/') {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self { method: method.to_owned(), path: path.to_owned(), query: parse_query(query) })
    }

    /// The number in the query under `name`, or `default` if the query does not have the name; `None` if it is no number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Option<T> {
        self.query.get(name).map_or(Some(default), |value| value.parse().ok())
    }
}

/// Percent signs stay as they are: all that is ever asked for are numbers.
fn parse_query(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Request, io::ErrorKind> {
        Request::read(head.as_bytes()).map_err(|error| error.kind())
    }

    #[test]
    fn a_request_is_its_method_path_and_query() {
        let request = read("GET /slow?ms=20&x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/slow"));
        assert_eq!(request.number("ms", 0_u32), Some(20));
    }

    #[test]
    fn a_number_is_the_default_when_absent_and_nothing_when_it_is_none() {
        let request = read("GET /exit?code=256&ms= HTTP/1.0\n\n").unwrap();
        assert_eq!(request.number::<u8>("code", 0), None);
        assert_eq!(request.number::<u32>("ms", 9), None);
        assert_eq!(request.number::<u32>("other", 9), Some(9));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for head in [
            "",
            "\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET x HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(read(head), Err(io::ErrorKind::InvalidData), "{head:?}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_refused() {
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n"), Err(io::ErrorKind::InvalidData));
        let endless = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
        assert_eq!(read(&endless), Err(io::ErrorKind::InvalidData));
    }
}
