//! The system's programs that further nodes need.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use crate::up::UpError;

/// What further nodes need, and the package in which Debian has it.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("umount", "mount"),
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
];

/// Whether this machine can have further nodes.
///
/// # Errors
/// [`UpError::NeedsRoot`], [`UpError::NoTool`].
pub(crate) fn check() -> Result<(), UpError> {
    if !rustix::process::geteuid().is_root() {
        return Err(UpError::NeedsRoot);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |tool: &str| env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    match TOOLS.into_iter().find(|(tool, _)| !has(tool)) {
        Some((tool, package)) => Err(UpError::NoTool { tool, package }),
        None => Ok(()),
    }
}

/// Runs a program to its end; its last words are in the error.
pub(crate) fn run(program: &'static str, args: &[&str]) -> Result<(), UpError> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let words = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => error,
    };
    Err(UpError::Tool { command: format!("{program} {}", args.join(" ")), source: words })
}

/// Whether a program that only looks says yes.
pub(crate) fn says_yes(program: &'static str, args: &[&str]) -> bool {
    run(program, args).is_ok()
}
