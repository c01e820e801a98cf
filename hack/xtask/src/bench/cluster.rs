//! A cluster of release binaries in a temporary directory, taken down at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::run;

/// A running cluster.
pub(crate) struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
}

impl Cluster {
    /// Builds the release binary and the demo image, and starts a cluster.
    pub(crate) fn start() -> Result<Self, String> {
        let root = crate::root();
        run(Command::new("cargo").args(["build", "--release", "--package", "skep"]).current_dir(&root))?;
        run(Command::new(root.join("hack/demo/image")).current_dir(&root))?;
        let folder = std::env::temp_dir().join(format!("skep-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let cluster = Self { binary: root.join("target/release/skep"), folder };
        cluster.skep(&["up", "--detach"])?;
        Ok(cluster)
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The process id of one of its processes.
    pub(crate) fn pid(&self, name: &str) -> Result<String, String> {
        let path = self.state().join(format!("run/{name}.json"));
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let pid = file
            .pointer("/process/pid")
            .and_then(serde_json::Value::as_u64)
            .ok_or_else(|| format!("{name} does not run"))?;
        Ok(pid.to_string())
    }

    /// Runs `skep` against this cluster.
    pub(crate) fn skep(&self, args: &[&str]) -> Result<String, String> {
        run(Command::new(&self.binary).args(args).env("SKEP_STATE_DIR", self.state()))
    }

    /// Writes a file beside the cluster's state.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        std::fs::write(&path, content).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// Applies the manifest at `path` and waits until it is ready.
    pub(crate) fn apply(&self, path: &Path) -> Result<(), String> {
        self.skep(&["apply", "-f", &path.display().to_string()]).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.skep(&["down", "--purge"]) {
            eprintln!("{error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}
