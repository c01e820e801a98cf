//! A real etcd for tests and benchmarks: the system's binary, on ports of its own, in a directory of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use tokio::time::Instant;

use crate::config::Config;
use crate::error::Error;
use crate::scratch::Scratch;
use crate::store::Store;

/// How long a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Ports are free when they are chosen; another process may be faster to take them.
const START_ATTEMPTS: u32 = 3;

/// Why there is no etcd to test with.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// There is no etcd on this machine.
    #[error("there is no etcd on this machine: apt-get install etcd-server")]
    NoEtcd,
    /// It did not start, or did not answer in time; the text is the end of its log.
    #[error("etcd did not start: {0}")]
    NotStarted(String),
    /// Its directory or its process could not be handled.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not answer as it should.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A running etcd, which ends with this value, and its data too.
#[derive(Debug)]
pub struct Etcd {
    directory: Scratch,
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Etcd {
    /// Starts an empty etcd and waits until it answers.
    pub async fn start() -> Result<Self, RigError> {
        let mut attempt = 1;
        loop {
            let directory = Scratch::new("etcd")?;
            let mut etcd =
                Self { directory, client_port: free_port()?, peer_port: free_port()?, process: None };
            match etcd.run().await {
                Err(RigError::NotStarted(_)) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result.map(|()| etcd),
            }
        }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// Its process, for signals; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// A store on it, with randomness from `seed`.
    pub async fn store(&self, seed: u64) -> Result<Store, Error> {
        Store::connect(Config::new(vec![self.endpoint()], seed)).await
    }

    /// Kills it without warning, as a power failure does.
    pub fn kill(&mut self) -> Result<(), RigError> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it again, on the same ports and the same data, and waits until it answers.
    pub async fn run(&mut self) -> Result<(), RigError> {
        self.kill()?;
        let log = fs::File::create(self.log())?;
        let client = self.endpoint();
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let spawned = Command::new("etcd")
            .arg("--name=test")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .args(["--logger=zap", "--log-level=warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        match spawned {
            Ok(process) => self.process = Some(process),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RigError::NoEtcd),
            Err(error) => return Err(error.into()),
        }
        self.wait_until_it_answers().await
    }

    /// Copies its data; it is killed for that and stays down.
    pub fn backup(&mut self, name: &str) -> Result<PathBuf, RigError> {
        self.kill()?;
        let backup = self.directory.path().join(name);
        copy(&self.data(), &backup)?;
        Ok(backup)
    }

    /// Replaces its data by a backup; it is killed for that and stays down.
    pub fn restore(&mut self, backup: &Path) -> Result<(), RigError> {
        self.kill()?;
        fs::remove_dir_all(self.data())?;
        copy(backup, &self.data())?;
        Ok(())
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), RigError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let has_ended = match &mut self.process {
                Some(process) => process.try_wait()?.is_some(),
                None => true,
            };
            if has_ended || Instant::now() >= deadline {
                return Err(RigError::NotStarted(fs::read_to_string(self.log()).unwrap_or_default()));
            }
            if self.store(0).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Nothing is left to report to.
        let _ = self.kill();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
