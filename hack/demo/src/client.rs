//! `skep-demo get URL`: the HTTP client of an image that holds nothing else. A URL names an address, because a static
//! binary in a bare image has no resolver.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// What follows in an answer is not read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum GetError {
    BadUrl,
    NotHttp,
    Io(io::Error),
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str("not of the form http://ADDRESS[:PORT][/PATH]"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for GetError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Asks once, and waits at most five seconds for the connection and for each piece of the answer.
pub(crate) fn get(url: &str) -> Result<Answer, GetError> {
    let (address, path) = parse_url(url).ok_or(GetError::BadUrl)?;
    let mut connection = TcpStream::connect_timeout(&address, SILENCE_LIMIT)?;
    connection.set_read_timeout(Some(SILENCE_LIMIT))?;
    // HTTP/1.0, because its answers are never in chunks and end with the connection.
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    parse_answer(&answer).ok_or(GetError::NotHttp)
}

fn parse_url(url: &str) -> Option<(SocketAddr, &str)> {
    let rest = url.strip_prefix("http://")?;
    let path_start = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    Some((parse_authority(authority)?, if path.is_empty() { "/" } else { path }))
}

fn parse_authority(authority: &str) -> Option<SocketAddr> {
    if let Ok(address) = authority.parse() {
        return Some(address);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    let address = if host == "localhost" { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host.parse().ok()? };
    Some(SocketAddr::new(address, port))
}

fn parse_answer(answer: &[u8]) -> Option<Answer> {
    let head_bytes = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at(head_bytes);
    let status = std::str::from_utf8(head).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: rest.get(4..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        let of = |url| parse_url(url).map(|(address, path)| (address.to_string(), path));
        assert_eq!(
            of("http://10.0.0.2:8080/healthz?x=1"),
            Some(("10.0.0.2:8080".to_owned(), "/healthz?x=1"))
        );
        assert_eq!(of("http://localhost:81"), Some(("127.0.0.1:81".to_owned(), "/")));
        assert_eq!(of("http://127.0.0.1/"), Some(("127.0.0.1:80".to_owned(), "/")));
        assert_eq!(of("http://[::1]:8080/"), Some(("[::1]:8080".to_owned(), "/")));
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for url in
            ["", "10.0.0.2:8080", "https://10.0.0.2/", "http://web/", "http://10.0.0.2:x/", "http://:80/"]
        {
            assert_eq!(parse_url(url), None, "{url}");
        }
    }

    #[test]
    fn an_answer_is_its_status_and_body() {
        let answer = parse_answer(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nbody\r\n\r\n");
        assert_eq!(answer, Some(Answer { status: 503, body: b"body\r\n\r\n".to_vec() }));
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        for answer in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 OK\r\n\r\n"] {
            assert_eq!(parse_answer(answer.as_bytes()), None, "{answer:?}");
        }
    }
}
