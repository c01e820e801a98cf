//! What the server answers to a request: a pure function of the request and the settings.

use std::time::Duration;

use crate::request::Request;
use crate::settings::Settings;

/// One answer, and what the server does before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    pub(crate) body: String,
    /// How long the answer is held back.
    pub(crate) delay: Duration,
    /// The code with which the process exits once the answer is sent.
    pub(crate) exit: Option<u8>,
}

/// The statuses that this server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    InternalServerError,
    ServiceUnavailable,
}

impl Status {
    /// As it stands in the first line of an answer.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::InternalServerError => "500 Internal Server Error",
            Self::ServiceUnavailable => "503 Service Unavailable",
        }
    }
}

impl Reply {
    pub(crate) fn new(status: Status, body: impl Into<String>) -> Self {
        Self { status, body: body.into() + "\n", delay: Duration::ZERO, exit: None }
    }

    /// The whole answer as it is sent. One answer to a connection keeps counting and stopping simple.
    pub(crate) fn to_http(&self, with_body: bool) -> String {
        let body = if with_body { self.body.as_str() } else { "" };
        format!(
            "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.status.line(),
            self.body.len(),
        )
    }
}

/// `/` names the task and the version; the other paths are the wishes of whoever tests an orchestrator.
/// It has listened for `up`.
pub(crate) fn reply(request: &Request, settings: &Settings, up: Duration) -> Reply {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Reply::new(Status::MethodNotAllowed, "only GET and HEAD");
    }
    match request.path.as_str() {
        "/" => Reply::new(Status::Ok, identity(settings)),
        "/healthz" if !settings.is_healthy(up) => Reply::new(Status::ServiceUnavailable, "unhealthy"),
        "/healthz" => Reply::new(Status::Ok, "ok"),
        "/slow" => slow(request, settings),
        "/fail" => Reply::new(Status::InternalServerError, "failed as asked"),
        "/exit" => exit(request),
        _ => Reply::new(Status::NotFound, "there are / /healthz /slow?ms=N /fail /exit?code=N"),
    }
}

fn identity(settings: &Settings) -> String {
    format!("{} {}", settings.name, settings.version)
}

fn slow(request: &Request, settings: &Settings) -> Reply {
    let Some(ms) = request.number::<u32>("ms", 1000) else {
        return Reply::new(Status::BadRequest, "ms is a number of milliseconds");
    };
    Reply { delay: Duration::from_millis(ms.into()), ..Reply::new(Status::Ok, identity(settings)) }
}

fn exit(request: &Request) -> Reply {
    let Some(code) = request.number::<u8>("code", 0) else {
        return Reply::new(Status::BadRequest, "code is a number from 0 to 255");
    };
    Reply { exit: Some(code), ..Reply::new(Status::Ok, format!("exiting with {code}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str, variables: &[(&str, &str)]) -> Reply {
        let settings = Settings::from_variables(|name| {
            let named = [("SKEP_TASK_NAME", "web.1.a"), ("VERSION", "v1")];
            let found = named.iter().chain(variables).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let request = Request::read(format!("{line} HTTP/1.1\r\n\r\n").as_bytes());
        reply(&request.unwrap(), &settings.unwrap(), Duration::from_secs(1))
    }

    #[test]
    fn the_root_names_task_and_version() {
        assert_eq!(ask("GET /", &[]), Reply::new(Status::Ok, "web.1.a v1"));
        assert_eq!(ask("GET /?x=1", &[]).body, "web.1.a v1\n");
    }

    #[test]
    fn health_is_good_unless_it_is_to_fail() {
        assert_eq!(ask("GET /healthz", &[]).status, Status::Ok);
        assert_eq!(ask("GET /healthz", &[("FAIL_HEALTH", "1")]).status, Status::ServiceUnavailable);
        let late = ask("GET /healthz", &[("HEALTHY_AFTER_MS", "1001")]);
        assert_eq!((late.status, late.body.as_str()), (Status::ServiceUnavailable, "unhealthy\n"));
    }

    #[test]
    fn a_wish_comes_with_its_number() {
        assert_eq!(ask("GET /slow?ms=250", &[]).delay, Duration::from_millis(250));
        assert_eq!(ask("GET /exit?code=3", &[]).exit, Some(3));
        assert_eq!(ask("GET /exit", &[]).exit, Some(0));
        assert_eq!(ask("GET /fail", &[]).status, Status::InternalServerError);
    }

    #[test]
    fn a_wish_that_is_not_understood_does_nothing() {
        let replies = [ask("GET /slow?ms=long", &[]), ask("GET /exit?code=-1", &[])];
        assert!(replies.iter().all(|reply| reply.status == Status::BadRequest));
        assert!(replies.iter().all(|reply| reply.exit.is_none() && reply.delay.is_zero()));
        assert_eq!(ask("POST /exit?code=3", &[]).exit, None);
        assert_eq!(ask("GET /other", &[]).status, Status::NotFound);
    }

    #[test]
    fn a_head_has_the_length_of_the_body_and_no_body() {
        let reply = Reply::new(Status::Ok, "four");
        assert!(reply.to_http(true).ends_with("Content-Length: 5\r\nConnection: close\r\n\r\nfour\n"));
        assert!(reply.to_http(false).ends_with("Content-Length: 5\r\nConnection: close\r\n\r\n"));
    }
}
