//! Processes by pid and start time: a number alone may belong to another process by the time a signal arrives.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How often it is looked whether a process that is nobody's child has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The place of the start time in `/proc/PID/stat`, counted after the command's closing bracket (proc(5), field 22).
const START_TIME_FIELD: usize = 19;

/// One process of one boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessId {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks after the boot.
    started: u64,
    /// The boot.
    boot: String,
}

impl ProcessId {
    /// The process that has the number `pid` now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { pid, started: start_time(pid)?, boot })
    }

    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.open().is_some()
    }

    /// Ends it: asks, waits for `patience`, then kills, and waits until it is gone.
    pub(crate) fn end(&self, patience: Duration) -> io::Result<()> {
        let Some(process) = self.open() else { return Ok(()) };
        send(&process, Signal::TERM)?;
        if !wait(&process, Some(patience))? {
            send(&process, Signal::KILL)?;
            wait(&process, None)?;
        }
        Ok(())
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let Some(process) = self.open() else { return Ok(()) };
        send(&process, Signal::KILL)?;
        wait(&process, None).map(drop)
    }

    /// Waits until it has ended. Looks now and then: who is not its parent is told only through a handle that cannot be
    /// waited for here without `unsafe`.
    pub(crate) async fn ended(&self) {
        while self.is_alive() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Asks it to end, and does not wait.
    pub(crate) fn ask_to_end(&self) -> io::Result<()> {
        self.open().map_or(Ok(()), |process| send(&process, Signal::TERM))
    }

    /// A handle that stays with this very process, if it lives.
    fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // The handle is of the process that has the number now; only if that is still ours, the handle is.
        let is_same = Self::of(self.pid).is_ok_and(|now| now == *self);
        (is_same && !wait(&handle, Some(Duration::ZERO)).ok()?).then_some(handle)
    }
}

/// Sends `signal` to the process with the number `pid`, which must be a child that was not waited for yet.
pub(crate) fn signal_child(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn send(process: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the process has ended, for at most `limit`; says whether it has.
fn wait(process: &OwnedFd, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|limit| Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput));
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], limit.transpose()?.as_ref())?;
    Ok(ended > 0)
}

fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name is in brackets and may hold brackets and spaces itself.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let field = fields.split_whitespace().nth(START_TIME_FIELD);
    field.and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn a_process_is_ended_and_then_no_longer_alive() {
        let mut child = sleeper();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive());
        id.end(Duration::from_secs(10)).unwrap();
        assert!(!id.is_alive());
        child.wait().unwrap();
        assert!(id.end(Duration::ZERO).is_ok(), "ending it again is no error");
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let mut child = sleeper();
        let mut id = ProcessId::of(child.id()).unwrap();
        id.started += 1;
        assert!(!id.is_alive());
        id.end(Duration::ZERO).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it was not ended");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
