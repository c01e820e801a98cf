//! The built binary, for all that needs no cluster: what it prints, where, with which exit code, and how fast.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests themselves, which clippy does not see outside of #[test]"
)]

mod manifests;
mod simulate;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What a verb without a cluster may take; ten times as long as people notice, for machines that are busy.
const LIMIT: Duration = Duration::from_secs(1);

/// What came of running the binary.
struct Run {
    code: i32,
    out: String,
    err: String,
    took: Duration,
}

/// Runs `skep` with `args`, with nothing of this shell's, in a directory without a cluster.
fn skep(args: &[&str]) -> Run {
    run(args, b"")
}

/// The same, with `input` on standard input.
fn run(args: &[&str], input: &[u8]) -> Run {
    let began = tokio::time::Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .env_clear()
        .env("SKEP_STATE_DIR", "/nowhere/skep")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that does not read its input may be over before all of it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Run {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
        took: began.elapsed(),
    }
}

/// A directory of its own for one test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("skep-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
