//! Further nodes on this machine: each a network namespace with a Docker of its own, and an agent. Node 1 is the machine.
//!
//! Which there are is what lies in `<state>/nodes/`: a directory for each. The supervisor follows it, so that another
//! `skep up --nodes N` adds to those that run.

pub(crate) mod daemons;
pub(crate) mod ending;
pub(crate) mod images;
pub(crate) mod network;
pub(crate) mod tool;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::up::UpError;
use crate::up::state::{NodeHome, StateDir, write_private};
use crate::up::supervisor::AGENT;

/// How many nodes one machine may be, itself included: the last byte of their addresses and the names of their links hold it.
pub(crate) const NODES_MAX: u32 = 64;
/// The number of the first node beside the machine itself.
const FIRST: u32 = 2;
/// The daemons of a node, in the order in which they start.
const DAEMONS: [&str; 2] = ["containerd", "dockerd"];

/// A further node of this machine.
#[derive(Debug, Clone)]
pub(crate) struct LocalNode {
    state: StateDir,
    number: u32,
}

impl LocalNode {
    /// The node with this number, whether or not it is there.
    pub(crate) fn new(state: &StateDir, number: u32) -> Self {
        Self { state: state.clone(), number }
    }

    /// Its number: 2 or more.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Its name in the cluster, until people change it, and its host name for ever.
    pub(crate) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Where everything of it lies.
    pub(crate) fn dir(&self) -> PathBuf {
        self.state.nodes().join(self.name())
    }

    /// Which node of the cluster it is.
    pub(crate) fn home(&self) -> NodeHome {
        NodeHome::new(self.dir())
    }

    /// The socket of its Docker.
    pub(crate) fn docker_socket(&self) -> PathBuf {
        self.dir().join("docker.sock")
    }

    /// Where its Docker answers, as in `DOCKER_HOST`.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.docker_socket().display())
    }

    /// Whether its Docker runs.
    pub(crate) fn has_docker(&self) -> bool {
        UnixStream::connect(self.docker_socket()).is_ok()
    }

    /// The name of its agent, among the names of the supervisor's processes.
    pub(crate) fn agent(&self) -> String {
        format!("{AGENT}-{}", self.name())
    }

    /// The names of its daemons among them, in the order in which they start.
    pub(crate) fn daemons(&self) -> [String; 2] {
        DAEMONS.map(|daemon| format!("{daemon}-{}", self.name()))
    }

    /// Whether people have stopped it: then nothing of it is started, until the next `skep up`.
    pub(crate) fn is_held(&self) -> bool {
        self.hold_file().exists()
    }

    /// Has nothing of it started any more.
    pub(crate) fn hold(&self) -> Result<(), UpError> {
        write_private(&self.hold_file(), b"")
    }

    /// Whether people removed it from the cluster: it ends, and its directory goes.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed_file().exists()
    }

    /// Remembers that people removed it from the cluster.
    pub(crate) fn set_removed(&self) -> Result<(), UpError> {
        write_private(&self.removed_file(), b"")
    }

    fn release(&self) -> Result<(), UpError> {
        match fs::remove_file(self.hold_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(UpError::file(self.hold_file())(error))
            }
            _ => Ok(()),
        }
    }

    fn hold_file(&self) -> PathBuf {
        self.dir().join("hold")
    }

    fn removed_file(&self) -> PathBuf {
        self.dir().join("removed")
    }
}

/// Whether a process of this name outlives supervisors: it is a daemon of a further node, whose containers must run on.
pub(crate) fn is_daemon(process: &str) -> bool {
    process.split_once('-').is_some_and(|(daemon, _)| DAEMONS.contains(&daemon))
}

/// The further nodes of this machine, by number.
pub(crate) fn list(state: &StateDir) -> Vec<LocalNode> {
    let entries = fs::read_dir(state.nodes()).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| number(entry.file_name().to_str()?));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| LocalNode::new(state, number)).collect()
}

/// The further node called `name`.
pub(crate) fn find(state: &StateDir, name: &str) -> Option<LocalNode> {
    list(state).into_iter().find(|node| node.name() == name)
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix('n')?.parse().ok()
}

/// Adds nodes until there are `total` with the machine itself, and has those started again that people stopped.
///
/// # Errors
/// [`UpError::NeedsRoot`] and [`UpError::NoTool`] if this machine cannot have further nodes.
pub(crate) fn want(state: &StateDir, total: Option<u32>) -> Result<(), UpError> {
    let there = list(state);
    for node in &there {
        node.release()?;
    }
    let taken: Vec<u32> = there.iter().map(LocalNode::number).collect();
    let missing = missing(&taken, total.unwrap_or_default());
    if missing.len() + taken.len() > 0 {
        tool::check()?;
    }
    for number in missing {
        let dir = LocalNode::new(state, number).dir();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(UpError::file(&dir))?;
    }
    Ok(())
}

/// The lowest free numbers, as many as are missing until there are `total` nodes with the machine itself.
fn missing(taken: &[u32], total: u32) -> Vec<u32> {
    let count = (total as usize).saturating_sub(taken.len() + 1);
    (FIRST..).filter(|number| !taken.contains(number)).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::testing::Scratch;

    #[test]
    fn the_lowest_free_numbers_are_taken_until_there_are_enough() {
        assert_eq!(missing(&[], 3), [2, 3]);
        assert_eq!(missing(&[3], 4), [2, 4]);
        assert_eq!(missing(&[2, 3], 2), [0; 0], "none is taken away");
        assert_eq!(missing(&[], 1), [0; 0], "the machine itself");
    }

    #[test]
    fn nodes_are_the_directories_that_are_called_so() {
        let scratch = Scratch::new("numbers");
        let state = StateDir::new(scratch.path());
        for name in ["n10", "n3", "other", "network.json"] {
            fs::create_dir_all(state.nodes().join(name)).unwrap();
        }
        assert_eq!(list(&state).iter().map(LocalNode::name).collect::<Vec<_>>(), ["n3", "n10"]);
        assert!(find(&state, "n3").is_some() && find(&state, "other").is_none());
    }

    #[test]
    fn a_node_that_was_stopped_is_wanted_again_with_the_next_up() {
        let scratch = Scratch::new("hold");
        let state = StateDir::new(scratch.path());
        let node = LocalNode::new(&state, 2);
        fs::create_dir_all(node.dir()).unwrap();
        node.hold().unwrap();
        assert!(node.is_held());
        let _ = want(&state, None); // Releases, even where nothing could be started.
        assert!(!node.is_held());
    }

    #[test]
    fn daemons_are_told_from_the_processes_that_end_with_the_supervisor() {
        let node = LocalNode::new(&StateDir::new("/nowhere"), 12);
        assert!(node.daemons().iter().all(|name| is_daemon(name)));
        assert!(!is_daemon(&node.agent()) && !is_daemon("etcd") && !is_daemon("agent"));
    }
}
