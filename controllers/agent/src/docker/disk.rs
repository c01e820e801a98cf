//! What is to be seen of Docker's machine from here, if it is this one.

use std::fs;

use skep_api::time::Timestamp;

use super::Docker;
use crate::engine::{Disk, EngineError};

impl Docker {
    /// How full the file system is that holds Docker's directory; `None` if Docker is elsewhere.
    pub(super) async fn measure(&self) -> Result<Option<Disk>, EngineError> {
        if !self.is_local() {
            return Ok(None);
        }
        let asked = || EngineError::Unreachable("it has not said where its directory is".to_owned());
        let path = self.directory().ok_or_else(asked)?;
        // A file system may hang: that must not be the agent's loop.
        let measured = tokio::task::spawn_blocking(move || {
            let found = rustix::fs::statvfs(path.as_str()).ok()?;
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let used = found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(found.f_frsize);
            Some(Disk { path, size: used.saturating_add(free), free })
        });
        Ok(measured.await.ok().flatten())
    }

    /// Whether Docker runs on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.host.starts_with("unix:")
    }
}

/// When this machine was started, by its own clock.
pub(super) fn booted() -> Option<Timestamp> {
    read_boot_time(&fs::read_to_string("/proc/stat").ok()?)
}

fn read_boot_time(stat: &str) -> Option<Timestamp> {
    let seconds: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_when_the_machine_was_started() {
        let stat = "cpu  1 2 3\nintr 5\nbtime 1795227413\nprocesses 9\n";
        assert_eq!(read_boot_time(stat), Some(Timestamp::from_millis(1_795_227_413_000)));
        assert_eq!(read_boot_time("cpu  1 2 3\n"), None);
    }

    #[tokio::test]
    async fn the_disk_of_a_directory_of_this_machine_is_measured() {
        let docker = Docker::new("unix:///nowhere.sock");
        assert!(docker.measure().await.is_err(), "Docker has not said where its directory is");
        docker.set_directory(Some("/".to_owned()));
        let disk = docker.measure().await.unwrap().unwrap();
        assert!(disk.size > 0 && disk.free <= disk.size && disk.path == "/", "{disk:?}");
        let remote = Docker::new("tcp://192.0.2.1:2375");
        remote.set_directory(Some("/".to_owned()));
        assert_eq!(remote.measure().await, Ok(None));
    }
}
