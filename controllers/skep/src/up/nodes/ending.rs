//! The end of a further node: its daemons, whatever runs in its namespaces, its mounts and its links.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::up::UpError;
use crate::up::nodes::LocalNode;
use crate::up::nodes::network::Network;
use crate::up::nodes::tool::run;
use crate::up::process::ProcessId;
use crate::up::state::StateDir;
use crate::up::supervisor::SUPERVISOR;

/// How long dockerd may take: it stops containers, each within a grace period of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an agent may take.
const AGENT_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether the supervisor has let go of a node.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A namespace: the device and the inode that its files have.
type Namespace = (u64, u64);

/// Has the agent of `node`, which is held, ended: by the supervisor, so that it starts nothing of the node again, or here
/// if there is none.
pub(crate) async fn end_agent(state: &StateDir, node: &LocalNode) -> Result<(), UpError> {
    let name = node.agent();
    let is_let_go = async {
        while state.run_file(&name)?.is_some() && is_supervised(state)? {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok::<(), UpError>(())
    };
    if let Ok(result) = tokio::time::timeout(AGENT_PATIENCE, is_let_go).await {
        result?;
    }
    if let Some(process) = state.run_file(&name)?.and_then(|run| run.process) {
        process.end(AGENT_PATIENCE).map_err(|source| UpError::End { name: name.clone(), source })?;
        state.remove_run_file(&name)?;
    }
    Ok(())
}

fn is_supervised(state: &StateDir) -> Result<bool, UpError> {
    let supervisor = state.run_file(SUPERVISOR)?.and_then(|run| run.process);
    Ok(supervisor.is_some_and(|process| process.is_alive()))
}

/// Ends the daemons of `node` as a machine that is shut down would: its containers are stopped.
pub(crate) fn shut_down(state: &StateDir, node: &LocalNode) -> Result<(), UpError> {
    end_daemons(state, node, PATIENCE)
}

/// Ends everything of `node`, whose agent has ended, at once, as a machine that loses its power would.
pub(crate) fn cut_off(state: &StateDir, node: &LocalNode) -> Result<(), UpError> {
    // The daemons first, so that none of them does anything about the containers' end.
    for name in node.daemons() {
        if let Some(process) = state.run_file(&name)?.and_then(|run| run.process) {
            process.kill().map_err(|source| UpError::End { name: name.clone(), source })?;
        }
    }
    if let Some(network) = Network::known(state)? {
        kill_all(&network, node)?;
    }
    for name in node.daemons() {
        state.remove_run_file(&name)?;
    }
    Ok(())
}

/// Ends everything of `node` and removes what of it lies outside its directory.
pub(crate) fn take_down(state: &StateDir, node: &LocalNode) -> Result<(), UpError> {
    end_daemons(state, node, PATIENCE)?;
    if let Some(network) = Network::known(state)? {
        // What a daemon that was killed left behind.
        kill_all(&network, node)?;
        network.leave(node)?;
    }
    unmount_all(&node.dir())
}

/// Takes all further nodes down, and then the network between them.
pub(crate) fn take_all_down(state: &StateDir, nodes: &[LocalNode]) -> Result<(), UpError> {
    // At the same time: each waits for its own containers.
    std::thread::scope(|scope| {
        let ends: Vec<_> = nodes.iter().map(|node| scope.spawn(|| take_down(state, node))).collect();
        let ends = ends.into_iter().map(|end| end.join().unwrap_or_else(|panic| resume_unwind(panic)));
        // All of them, even if one fails.
        ends.collect::<Vec<_>>().into_iter().collect::<Result<(), UpError>>()
    })?;
    Network::known(state)?.map_or(Ok(()), |network| network.remove())
}

fn end_daemons(state: &StateDir, node: &LocalNode, patience: Duration) -> Result<(), UpError> {
    // dockerd first: it still speaks to containerd.
    for name in node.daemons().into_iter().rev() {
        if let Some(process) = state.run_file(&name)?.and_then(|run| run.process) {
            process.end(patience).map_err(|source| UpError::End { name: name.clone(), source })?;
        }
        state.remove_run_file(&name)?;
    }
    Ok(())
}

/// Kills every process in the namespaces of `node` and of its containers, shims and port proxies included.
fn kill_all(network: &Network, node: &LocalNode) -> Result<(), UpError> {
    let mut doomed = namespaces(&network.namespace(node), &node.dir());
    // Whatever is wrong with the files, never the machine's own.
    let own = namespace_at(Path::new("/proc/self/ns/net"));
    doomed.retain(|namespace| Some(*namespace) != own);
    let failed = |source| UpError::End { name: node.name(), source };
    // A process that is killed may have started another one meanwhile.
    loop {
        let found = processes_in(&doomed);
        if found.is_empty() {
            return Ok(());
        }
        found.iter().try_for_each(ProcessId::kill).map_err(failed)?;
    }
}

/// The network namespaces of a node: its own, and those that its Docker keeps for containers.
fn namespaces(own: &Path, dir: &Path) -> BTreeSet<Namespace> {
    let kept = fs::read_dir(dir.join("exec/docker/netns")).into_iter().flatten().flatten();
    let paths = std::iter::once(own.to_owned()).chain(kept.map(|entry| entry.path()));
    let device = namespace_at(Path::new("/proc/self/ns/net")).map(|(device, _)| device);
    let found = paths.filter_map(|path| namespace_at(&path));
    found.filter(|(of, _)| Some(*of) == device).collect()
}

fn namespace_at(path: &Path) -> Option<Namespace> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn processes_in(namespaces: &BTreeSet<Namespace>) -> Vec<ProcessId> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let inside = pids.filter(|pid| {
        namespace_at(Path::new(&format!("/proc/{pid}/ns/net")))
            .is_some_and(|found| namespaces.contains(&found))
    });
    inside.filter_map(|pid| ProcessId::of(pid).ok()).filter(ProcessId::is_alive).collect()
}

/// Unmounts whatever Docker left mounted under `dir`.
fn unmount_all(dir: &Path) -> Result<(), UpError> {
    let path = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(path).map_err(UpError::file(path))?;
    // The last ones first: they lie within earlier ones.
    for place in mounts.lines().rev().filter_map(mount_point).filter(|place| place.starts_with(dir)) {
        run("umount", &["--lazy", &place.display().to_string()])?;
    }
    Ok(())
}

/// Where a line of mountinfo says that something is mounted (proc(5), field 5).
fn mount_point(line: &str) -> Option<PathBuf> {
    line.split(' ').nth(4).map(|place| PathBuf::from(place.replace("\\040", " ")))
}

/// Removes the directory of a node that people removed from the cluster.
pub(crate) fn forget(node: &LocalNode) -> Result<(), UpError> {
    match fs::remove_dir_all(node.dir()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(UpError::file(node.dir())(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_place() {
        let line = r"45 27 254:0 /a /tmp/with\040space/docker rw,relatime shared:4 - ext4 /dev/vda rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/tmp/with space/docker")));
    }

    #[test]
    fn a_file_that_is_no_namespace_dooms_nobody() {
        let scratch = crate::up::testing::Scratch::new("namespaces");
        let file = scratch.path().join("skep-x-n2");
        fs::write(&file, "").unwrap();
        assert_eq!(namespaces(&file, scratch.path()), BTreeSet::new());
    }
}
