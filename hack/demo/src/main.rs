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
       skep-demo get URL    print what URL answers; fails unless the status is 2xx";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => serve(),
        ["get", url] => get(url),
        _ => {
            say_error(USAGE);
            ExitCode::from(2)
        }
    }
}

fn serve() -> ExitCode {
    let settings = match settings::Settings::from_variables(|name| env::var(name).ok()) {
        Ok(settings) => settings,
        Err(bad) => {
            say_error(&bad.to_string());
            return ExitCode::from(2);
        }
    };
    server::serve(settings).unwrap_or_else(|error| {
        say_error(&format!("cannot serve: {error}"));
        ExitCode::FAILURE
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
