//! The Docker of a further node: containerd and dockerd in its namespace, apart from the machine's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::up::UpError;
use crate::up::child::Program;
use crate::up::nodes::LocalNode;
use crate::up::nodes::network::Network;
use crate::up::state::write_private;

/// The daemons of `node`, in the order in which they start; writes what they are configured by.
///
/// `nsenter`, because `ip netns exec` mounts /sys anew and the cgroups vanish. containerd is the node's own: dockerd would use the
/// machine's where there is one, and containers without a network of their own would get the machine's.
pub(crate) fn programs(node: &LocalNode, network: &Network) -> Result<[Program; 2], UpError> {
    let dir = node.dir();
    write_private(&dir.join("containerd.toml"), containerd_config(&dir).as_bytes())?;
    // Without it, the machine's own /etc/docker/daemon.json would apply.
    write_private(&dir.join("daemon.json"), b"{}\n")?;
    let [containerd, dockerd] = node.daemons();
    let namespace = format!("--net={}", network.namespace(node).display());
    let program = |name: String, command: Vec<OsString>, stale: Vec<_>| Program {
        name,
        binary: "nsenter".into(),
        args: [vec![OsString::from(&namespace)], command].concat(),
        environment: None,
        variables: BTreeMap::new(),
        outlives: true,
        stale,
    };
    let config = vec!["containerd".into(), "--config".into(), dir.join("containerd.toml").into()];
    let pid_file = dir.join("docker.pid");
    Ok([
        program(containerd, config, Vec::new()),
        program(dockerd, dockerd_command(node, network, &pid_file), vec![pid_file]),
    ])
}

/// What is not Docker's is left out: it would look for files of the whole machine.
fn containerd_config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/containerd"
state = "{dir}/exec/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{dir}/containerd.sock"
[debug]
  level = "warn"
"#
    )
}

fn dockerd_command(node: &LocalNode, network: &Network, pid_file: &Path) -> Vec<OsString> {
    let dir = node.dir();
    let flags: [(&str, OsString); 9] = [
        ("--config-file", dir.join("daemon.json").into()),
        ("--data-root", dir.join("docker").into()),
        ("--exec-root", dir.join("exec/docker").into()),
        ("--pidfile", pid_file.into()),
        ("--containerd", dir.join("containerd.sock").into()),
        ("--host", node.docker_host().into()),
        // Nobody but this machine is there: a registry on it need not have a certificate.
        ("--insecure-registry", network.prefix().into()),
        ("--label", format!("skep.node={}", node.name()).into()),
        ("--log-level", "warn".into()),
    ];
    let flags = flags.into_iter().flat_map(|(flag, value)| [OsString::from(flag), value]);
    std::iter::once(OsString::from("dockerd")).chain(flags).collect()
}
