//! Listens, answers each connection on a thread of its own, and stops without losing an answer that was begun.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::gate::Gate;
use crate::reply::{Reply, Status, reply};
use crate::request::Request;
use crate::say;
use crate::settings::Settings;

/// How long running requests may take after the signal to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// Serves until SIGTERM, SIGINT or the end that the settings ask for.
pub(crate) fn serve(settings: Settings) -> io::Result<ExitCode> {
    if let Some(text) = &settings.say {
        say(text);
    }
    let _filled = fill(settings.allocate_mib);
    let gate = Arc::new(Gate::default());
    close_on_signal(Arc::clone(&gate), &settings)?;
    if gate.is_closed_within(settings.start_delay) {
        return Ok(ExitCode::SUCCESS);
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, settings.port))?;
    let address = listener.local_addr()?;
    say(&format!("{} {} listens on port {}", settings.name, settings.version, address.port()));
    exit_when_due(Arc::clone(&gate), &settings);
    say_now_and_then(Arc::clone(&gate), &settings);
    stop_accepting_when_closed(Arc::clone(&gate), address);
    accept(&listener, &gate, &Arc::new(settings));
    drop(listener);
    say("stopping");
    Ok(if gate.is_empty_within(DRAIN_LIMIT) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Handlers are needed even where nothing else is done: the kernel drops a signal to process 1 that has none.
fn close_on_signal(gate: Arc<Gate>, settings: &Settings) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let ignore_term = settings.ignore_term;
    thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGTERM && ignore_term {
                say("SIGTERM is ignored, as asked");
            } else {
                gate.close();
            }
        }
    });
    Ok(())
}

fn exit_when_due(gate: Arc<Gate>, settings: &Settings) {
    let (Some(limit), code) = (settings.exit_after, settings.own_exit_code()) else { return };
    thread::spawn(move || {
        if !gate.is_closed_within(limit) {
            say(&format!("exiting with {code}, as asked"));
            process::exit(code.into());
        }
    });
}

fn say_now_and_then(gate: Arc<Gate>, settings: &Settings) {
    let Some(pace) = settings.say_every else { return };
    thread::spawn(move || {
        let mut number = 0_u64;
        while !gate.is_closed_within(pace) {
            number += 1;
            say(&format!("line {number}"));
        }
    });
}

/// Memory that is really used: the kernel gives a page when something is written to it.
fn fill(mib: usize) -> Vec<u8> {
    std::hint::black_box(vec![1; mib.saturating_mul(1 << 20)])
}

/// A thread that waits for a connection sees that the gate is closed when it gets one, so it gets one.
fn stop_accepting_when_closed(gate: Arc<Gate>, address: SocketAddr) {
    thread::spawn(move || {
        gate.wait_until_closed();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()));
    });
}

fn accept(listener: &TcpListener, gate: &Arc<Gate>, settings: &Arc<Settings>) {
    let since = now();
    // Room comes first: a connection that nobody could answer yet is better left in the kernel's queue.
    while let Some(pass) = gate.enter() {
        let Ok((connection, _)) = listener.accept() else { continue };
        if gate.is_closed_within(Duration::ZERO) {
            return;
        }
        let settings = Arc::clone(settings);
        thread::spawn(move || {
            let _pass = pass;
            if let Err(error) = answer(&connection, &settings, since) {
                say(&format!("a connection broke: {error}"));
            }
        });
    }
}

fn answer(connection: &TcpStream, settings: &Settings, since: Instant) -> io::Result<()> {
    connection.set_read_timeout(Some(SILENCE_LIMIT))?;
    connection.set_write_timeout(Some(SILENCE_LIMIT))?;
    let (asked, reply, with_body) = match Request::read(BufReader::new(connection)) {
        Ok(request) => {
            let asked = format!("{} {}", request.method, request.path);
            (asked, reply(&request, settings, now() - since), request.method != "HEAD")
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            ("?".to_owned(), Reply::new(Status::BadRequest, error.to_string()), true)
        }
        Err(error) => return Err(error),
    };
    hold_back(reply.delay);
    let mut connection = connection;
    connection.write_all(reply.to_http(with_body).as_bytes())?;
    say(&format!("{asked} {}", reply.status.line()));
    if let Some(code) = reply.exit {
        process::exit(code.into());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "health that comes and goes with time is what was asked for")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "to be slow is what was asked for")]
fn hold_back(delay: Duration) {
    thread::sleep(delay);
}
