//! The state directory: everything that Skep keeps on a machine, readable by its owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skep_api::ident::NodeId;
use skep_runtime::clock::Env;

use crate::cluster::Access;
use crate::up::UpError;
use crate::up::process::ProcessId;

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// What a state directory may hold, and what `down --purge` therefore may remove.
const ENTRIES: [&str; 8] = ["cluster.json", "lock", "pki", "etcd", "log", "run", "node.json", "nodes"];

/// What tells a node's id from other randomness of the process.
const PURPOSE_NODE: u64 = 0x4e;

/// A directory that is, or is to become, a state directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

/// How the cluster of a state directory is reached; its presence marks the directory as Skep's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterFile {
    /// Where etcd is.
    #[serde(flatten)]
    pub(crate) access: Access,
    /// The ports of our own etcd; none if somebody else runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Ports>,
}

/// The loopback ports of our own etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// For clients.
    pub(crate) client: u16,
    /// For other members; there are none, but etcd listens.
    pub(crate) peer: u16,
}

/// What the supervisor says of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunFile {
    /// The process; none while it waits to be started again.
    pub(crate) process: Option<ProcessId>,
    /// Since when it is so.
    pub(crate) since: skep_api::time::Timestamp,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// How it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_end: Option<String>,
}

/// Which node this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeFile {
    /// Drawn once, and never used again.
    pub(crate) id: NodeId,
    /// The cluster that it has joined: a node that people removed must not come back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<String>,
}

/// Where it is kept which node something is.
#[derive(Debug, Clone)]
pub(crate) struct NodeHome(PathBuf);

impl NodeHome {
    /// In the directory `dir`.
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Which node it is; drawn now, if it is none yet.
    pub(crate) fn draw(&self, env: &Env) -> Result<NodeFile, UpError> {
        if let Some(node) = self.known()? {
            return Ok(node);
        }
        let id = NodeId::from_random(env.random(PURPOSE_NODE).u64(..));
        let node = NodeFile { id, joined: None };
        self.set(&node)?;
        Ok(node)
    }

    /// Which node it is, if it is one.
    pub(crate) fn known(&self) -> Result<Option<NodeFile>, UpError> {
        read_json(&self.0.join("node.json"))
    }

    /// Remembers which node it is.
    pub(crate) fn set(&self, node: &NodeFile) -> Result<(), UpError> {
        write_json(&self.0.join("node.json"), node)
    }
}

impl StateDir {
    /// The directory at `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The certificates.
    pub(crate) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// etcd's data.
    pub(crate) fn etcd(&self) -> PathBuf {
        self.0.join("etcd")
    }

    /// The log of a process.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.0.join("log").join(format!("{name}.log"))
    }

    /// The socket on which a process answers about its health.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.0.join("run").join(format!("{name}.sock"))
    }

    /// Makes the directory and those in it, for its owner alone.
    ///
    /// # Errors
    /// [`UpError::NotOurs`] if it holds something else.
    pub(crate) fn create(&self) -> Result<(), UpError> {
        if let Some(foreign) = self.foreign()? {
            return Err(UpError::NotOurs { dir: self.0.clone(), foreign });
        }
        for dir in
            [self.0.clone(), self.pki(), self.etcd(), self.0.join("log"), self.0.join("run"), self.nodes()]
        {
            let builder = &mut DirBuilder::new();
            builder.recursive(true).mode(PRIVATE_DIR).create(&dir).map_err(UpError::file(&dir))?;
        }
        fs::set_permissions(&self.0, Permissions::from_mode(PRIVATE_DIR)).map_err(UpError::file(&self.0))
    }

    /// Something in the directory that Skep did not put there.
    fn foreign(&self) -> Result<Option<String>, UpError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UpError::file(&self.0)(error)),
        };
        let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.find(|name| !ENTRIES.contains(&name.as_str())))
    }

    /// Removes the directory, if all that it holds is Skep's.
    ///
    /// # Errors
    /// [`UpError::NotOurs`] if it holds something else, or is no state directory at all.
    pub(crate) fn purge(&self) -> Result<(), UpError> {
        if self.cluster()?.is_none() {
            return Err(UpError::NotOurs { dir: self.0.clone(), foreign: "no cluster.json".to_owned() });
        }
        if let Some(foreign) = self.foreign()? {
            return Err(UpError::NotOurs { dir: self.0.clone(), foreign });
        }
        fs::remove_dir_all(&self.0).map_err(UpError::file(&self.0))
    }

    /// Takes the directory for one supervisor; the lock ends with the file, whatever happens to the process.
    ///
    /// # Errors
    /// [`UpError::AlreadyUp`] while another supervisor has it.
    pub(crate) fn lock(&self) -> Result<File, UpError> {
        let path = self.0.join("lock");
        let file =
            private_options().create(true).truncate(false).open(&path).map_err(UpError::file(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let pid = self.run_file("supervisor")?.and_then(|run| run.process).map(|process| process.pid);
                Err(UpError::AlreadyUp { dir: self.0.clone(), pid })
            }
            Err(TryLockError::Error(error)) => Err(UpError::file(&path)(error)),
        }
    }

    /// How to reach the cluster; `None` if there is none here.
    pub(crate) fn cluster(&self) -> Result<Option<ClusterFile>, UpError> {
        read_json(&self.0.join("cluster.json"))
    }

    /// Remembers how to reach the cluster.
    pub(crate) fn set_cluster(&self, cluster: &ClusterFile) -> Result<(), UpError> {
        write_json(&self.0.join("cluster.json"), cluster)
    }

    /// Where it is kept which node this machine is.
    pub(crate) fn home(&self) -> NodeHome {
        NodeHome::new(&self.0)
    }

    /// Where the further nodes of this machine lie.
    pub(crate) fn nodes(&self) -> PathBuf {
        self.0.join("nodes")
    }

    /// What the supervisor last said of a process.
    pub(crate) fn run_file(&self, name: &str) -> Result<Option<RunFile>, UpError> {
        read_json(&self.run_path(name))
    }

    /// Says something of a process.
    pub(crate) fn set_run_file(&self, name: &str, run: &RunFile) -> Result<(), UpError> {
        write_json(&self.run_path(name), run)
    }

    /// Says that a process is not wanted any more.
    pub(crate) fn remove_run_file(&self, name: &str) -> Result<(), UpError> {
        let path = self.run_path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(UpError::file(path)(error)),
            _ => Ok(()),
        }
    }

    /// The names of the processes of which something is said.
    pub(crate) fn run_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("run")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".json").map(str::to_owned)
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn run_path(&self, name: &str) -> PathBuf {
        self.0.join("run").join(format!("{name}.json"))
    }
}

/// Options to open a file that only its owner may read.
pub(crate) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(PRIVATE_FILE);
    options
}

/// Writes a file that only its owner may read, all of it or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), UpError> {
    let new = path.with_extension("new");
    let written = private_options().create(true).truncate(true).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&new, path)).map_err(UpError::file(path))
}

/// Writes a value as JSON, all of it or nothing.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), UpError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| UpError::file(path)(error.into()))?;
    text.push(b'\n');
    write_private(path, &text)
}

/// Reads a value that was written so; `None` if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, UpError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(UpError::file(path)(error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| UpError::file(path)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::testing::Scratch;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_look_into_a_state_directory() {
        let scratch = Scratch::new("private");
        let state = StateDir::new(scratch.path().join("state"));
        state.create().unwrap();
        write_private(&state.path().join("node.json"), b"{}").unwrap();
        assert_eq!((mode(state.path()), mode(&state.pki())), (0o700, 0o700));
        assert_eq!(mode(&state.path().join("node.json")), 0o600);
        fs::set_permissions(state.path(), Permissions::from_mode(0o755)).unwrap();
        state.create().unwrap();
        assert_eq!(mode(state.path()), 0o700, "what somebody opened is closed again");
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_neither_taken_nor_purged() {
        let scratch = Scratch::new("foreign");
        let state = StateDir::new(scratch.path());
        fs::write(scratch.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(state.create(), Err(UpError::NotOurs { .. })));
        state
            .set_cluster(&ClusterFile { access: Access { endpoints: Vec::new(), tls: None }, ports: None })
            .unwrap();
        assert!(matches!(state.purge(), Err(UpError::NotOurs { .. })));
        fs::remove_file(scratch.path().join("thesis.txt")).unwrap();
        state.purge().unwrap();
        assert!(!scratch.path().exists());
    }

    #[test]
    fn a_directory_has_one_supervisor_at_a_time() {
        let scratch = Scratch::new("lock");
        let state = StateDir::new(scratch.path());
        state.create().unwrap();
        let first = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(UpError::AlreadyUp { .. })));
        drop(first);
        assert!(state.lock().is_ok());
    }

    #[test]
    fn a_node_id_is_drawn_once() {
        let scratch = Scratch::new("node");
        let state = StateDir::new(scratch.path());
        let env = |seed| Env::new(|| skep_api::time::Timestamp::from_millis(0), seed);
        let first = state.home().draw(&env(1)).unwrap();
        assert_eq!(state.home().draw(&env(2)).unwrap(), first);
    }
}
