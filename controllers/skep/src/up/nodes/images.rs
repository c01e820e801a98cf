//! Images for the further nodes: what was built on this machine is in its own Docker only.

use std::io;
use std::process::Stdio;

use futures::future::try_join_all;
use tokio::process::Command;

use crate::up::UpError;
use crate::up::nodes::LocalNode;
use crate::up::state::StateDir;

/// Copies `images` from the machine's Docker into the Dockers of `nodes`.
pub(crate) async fn copy(state: &StateDir, images: &[String], nodes: &[LocalNode]) -> Result<(), UpError> {
    if images.is_empty() || nodes.is_empty() {
        return Ok(());
    }
    let archive = state.nodes().join(format!("images-{}.tar", std::process::id()));
    let path = archive.display().to_string();
    let mut save = vec!["save", "--output", &path];
    save.extend(images.iter().map(String::as_str));
    let copied = async {
        docker(None, &save).await?;
        let load = ["load", "--quiet", "--input", &path];
        try_join_all(nodes.iter().map(|node| docker(Some(node.docker_host()), &load))).await.map(drop)
    };
    let copied = copied.await;
    let removed = std::fs::remove_file(&archive);
    copied?;
    removed.map_err(UpError::file(archive))
}

/// Runs `docker` against the Docker at `host`, or the machine's own.
async fn docker(host: Option<String>, args: &[&str]) -> Result<(), UpError> {
    let mut command = Command::new("docker");
    command.args(args).stdin(Stdio::null());
    if let Some(host) = &host {
        command.env("DOCKER_HOST", host);
    }
    let words = match command.output().await {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => error,
    };
    Err(UpError::Tool { command: format!("docker {}", args.join(" ")), source: words })
}
