//! The smallest HTTP client that tells what a person's would, and one that asks all the time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

/// The body of `http://127.0.0.1:<port>/`, or why there is none.
pub(crate) fn get(port: u16) -> Result<String, String> {
    get_from(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// The body of `http://<address>/`, or why there is none.
pub(crate) fn get_from(address: SocketAddr) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<String, std::io::Error>(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(head.to_owned()) }
}

/// Asks one port all the time, and counts.
pub(crate) struct Asking {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Asking {
    #[allow(clippy::disallowed_methods)] // A test of real processes waits in real time.
    pub(crate) fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU32::new(0));
        let (is_stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !is_stopped.load(Ordering::Relaxed) {
                failures.extend(get(port).err());
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            failures
        });
        Self { stop, asked, thread: Some(thread) }
    }

    /// Stops asking; every question must have been answered.
    pub(crate) fn was_always_answered(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.thread.take().unwrap().join().unwrap();
        let asked = self.asked.load(Ordering::Relaxed);
        assert!(asked > 10, "asked only {asked} times");
        assert!(failures.is_empty(), "{} of {asked} failed: {:?}", failures.len(), failures.first());
    }
}
