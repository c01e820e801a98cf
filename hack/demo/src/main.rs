//! A small HTTP server to orchestrate: it answers with its task's name, and can be told to be slow, to fail and to exit.
//!
//! Linked statically it is the whole content of the demo image, so it is its own HTTP client for health checks too.

mod client;
mod gate;
mod reply;
mod request;
mod server;
mod settings;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: skep-demo            serve HTTP on $PORT (default 8080)
       skep-demo get URL    print what URL answers; fails unless the status is 2xx
       skep-demo health     the same for /healthz of the server on $PORT: a healthcheck, [CMD, /skep-demo, health]

The server answers / (its name and version), /healthz, /slow?ms=N, /fail and /exit?code=N. Its environment may ask for more:
  START_DELAY_MS=N         it listens after so long
  HEALTHY_AFTER_MS=N       /healthz answers 503 for so long after it began to listen
  FAIL_HEALTH=1            /healthz always answers 503
  FAIL_HEALTH_AFTER_MS=N   /healthz answers 503 from so long after it began to listen
  EXIT_AFTER_MS=N          it exits so long after it began to listen, with EXIT_CODE (default 0)
  FAIL_PERCENT=N           of all task names so many (always the same) exit with 1 instead: a job some of whose tasks fail
  IGNORE_TERM=1            only SIGKILL or SIGINT ends it
  SAY=TEXT                 it prints TEXT, which may have several lines, when it starts
  SAY_EVERY_MS=N           it prints `line 1`, `line 2`, … at this pace
  ALLOCATE_MIB=N           it fills so much memory when it starts
  VERSION=TEXT             the version that / answers with";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => serve(),
        ["get", url] => get(url),
        ["health"] => health(),
        ["--help"] => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            say_error(USAGE);
            ExitCode::from(2)
        }
    }
}

fn serve() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    server::serve(settings).unwrap_or_else(|error| {
        say_error(&format!("cannot serve: {error}"));
        ExitCode::FAILURE
    })
}

/// A healthcheck has the environment of the server that it asks.
fn health() -> ExitCode {
    match settings() {
        Ok(settings) => get(&format!("http://127.0.0.1:{}/healthz", settings.port)),
        Err(code) => code,
    }
}

fn settings() -> Result<settings::Settings, ExitCode> {
    settings::Settings::from_variables(|name| env::var(name).ok()).map_err(|bad| {
        say_error(&bad.to_string());
        ExitCode::from(2)
    })
}

fn get(url: &str) -> ExitCode {
    match client::get(url) {
        Ok(answer) => {
            let printed = io::stdout().write_all(&answer.body).is_ok();
            if printed && (200..300).contains(&answer.status) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say_error(&format!("{url}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line of the log. Nobody may be reading it, which is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn say_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
