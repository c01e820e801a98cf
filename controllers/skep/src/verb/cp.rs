//! `skep cp`: files into the container of a task, and out of it, by the rules of `docker cp`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use futures::{StreamExt, stream};
use skep_agent::streams::{PathInfo, Upload};

use crate::archive::{Extent, pack, unpack};
use crate::cli::Context;
use crate::client::NodeClient;
use crate::failure::Failure;
use crate::output::warn;
use crate::tasks::{self, Asked, Found};
use crate::terminal;
use crate::verb::exec::failure;
use crate::verb::target::StackArgs;

/// Copy files and directories into the container of a task, or out of it
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What is copied: `SERVICE|TASK:PATH`, a path of this machine, or `-` for a tar archive on standard input. `DIR/.` is what is in
    /// the directory
    #[arg(value_name = "FROM")]
    from: Side,
    /// Where to: `SERVICE|TASK:PATH`, a path of this machine, or `-` for a tar archive on standard output
    #[arg(value_name = "TO")]
    to: Side,
    #[command(flatten)]
    stack: StackArgs,
    /// Which task of the service
    #[arg(long, value_name = "SLOT")]
    slot: Option<String>,
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// Standard input or output.
    Stream,
    /// A path of this machine, as it was written.
    Local(String),
    /// A path in a container.
    Remote { name: String, path: String },
}

/// A container, reached through its node.
struct Remote {
    client: NodeClient,
    found: Found,
}

impl Cp {
    /// Copies.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), Failure> {
        match (&self.from, &self.to) {
            (Side::Remote { name, path }, to) if !matches!(to, Side::Remote { .. }) => {
                let remote = self.remote(context, name).await?;
                let (path, extent) = split_extent(path);
                remote.fetch(&absolute(path), extent, to).await
            }
            (from, Side::Remote { name, path }) if !matches!(from, Side::Remote { .. }) => {
                let remote = self.remote(context, name).await?;
                remote.put(from, &absolute(path)).await
            }
            _ => Err(Failure::Argument {
                argument: "cp".to_owned(),
                rule: "exactly one side is a container: write SERVICE:PATH or TASK:PATH there".to_owned(),
            }),
        }
    }

    async fn remote(&self, context: &Context, name: &str) -> Result<Remote, Failure> {
        let store = context.cluster.connect(&context.env).await?;
        let asked = Asked::parse(name, &self.stack.stack()?)?;
        let cut = tasks::read(&store).await?;
        let found = tasks::one(&cut, &asked, self.slot.as_deref(), true)?;
        let Some(node) = found.node_id() else { return Err(asked.not_found(&cut)) };
        Ok(Remote { client: NodeClient::new(&context.cluster.state(), node), found })
    }
}

impl Remote {
    async fn fetch(&self, path: &str, extent: Extent, to: &Side) -> Result<(), Failure> {
        let info = self.stat(path).await?;
        let Some(info) = info else { return Err(self.missing(path)) };
        let real = info.link_target.clone().unwrap_or_else(|| path.to_owned());
        let real_info = if real == path {
            info.clone()
        } else {
            self.stat(&real).await?.ok_or_else(|| self.missing(path))?
        };
        let archive = self.client.read_archive(&self.found.task, &real).await;
        let archive = archive.map_err(|error| failure(&self.found, error))?;
        let target = match to {
            Side::Local(target) => landing(target, &info.name, real_info.is_directory, extent)?,
            Side::Stream | Side::Remote { .. } => return pour(archive).await,
        };
        let skipped = unpack(archive, target.clone()).await.map_err(Failure::file(target))?;
        for name in skipped {
            warn(&format!("{name} is no file, directory or link: it is left out"));
        }
        Ok(())
    }

    async fn put(&self, from: &Side, path: &str) -> Result<(), Failure> {
        let found = self.stat(path).await?;
        let real =
            found.as_ref().and_then(|info| info.link_target.clone()).unwrap_or_else(|| path.to_owned());
        let found = if real == path { found } else { self.stat(&real).await? };
        let Side::Local(source) = from else {
            if !found.is_some_and(|info| info.is_directory) {
                let what = "an archive is unpacked in a directory, and this is none";
                return Err(wrong(&real, what));
            }
            let input = terminal::input()?;
            let pieces = stream::unfold(input, |mut input| async move { Some((input.recv().await?, input)) });
            return self.send(&real, pieces.boxed()).await;
        };
        let (source, extent) = split_extent(source);
        let local = PathBuf::from(source);
        let is_directory = std::fs::metadata(&local).map_err(Failure::file(&local))?.is_dir();
        let (directory, name, extent) =
            destination(&real, found.as_ref(), is_directory, extent, &own_name(&local)?)?;
        let (archive, work) = pack(local.clone(), name, extent);
        let sent = self.send(&directory, archive).await;
        // What went wrong here is why the other side complains; a reader that has gone is its own reason.
        match work.await.map_err(std::io::Error::other)? {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::file(local)(error)),
            _ => sent,
        }
    }

    /// What lies at `path`, if anything does.
    async fn stat(&self, path: &str) -> Result<Option<PathInfo>, Failure> {
        self.client.stat(&self.found.task, path).await.map_err(|error| failure(&self.found, error))
    }

    async fn send(&self, directory: &str, archive: Upload) -> Result<(), Failure> {
        let sent = self.client.write_archive(&self.found.task, directory, archive).await;
        sent.map_err(|error| failure(&self.found, error))
    }

    fn missing(&self, path: &str) -> Failure {
        Failure::NotFound(vec![format!("{} has no {path}", self.found.task.name)])
    }
}

/// Writes an archive to standard output.
async fn pour(mut archive: Upload) -> Result<(), Failure> {
    while let Some(piece) = archive.next().await {
        let piece = piece.map_err(|error| Failure::Unreadable(format!("the archive broke off: {error}")))?;
        stdout().lock().write_all(&piece)?;
    }
    Ok(stdout().lock().flush()?)
}

/// Where on this machine something from a container goes.
fn landing(target: &str, name: &str, is_directory: bool, extent: Extent) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(target);
    if path.is_dir() {
        return Ok(if extent == Extent::Contents { path } else { path.join(name) });
    }
    if is_directory && path.exists() {
        return Err(wrong(target, "is a file, and a directory is copied"));
    }
    if !is_directory && target.ends_with('/') {
        return Err(wrong(target, "there is no such directory"));
    }
    Ok(path)
}

/// In which directory of a container something is unpacked, under which name, and what of it.
fn destination(
    path: &str,
    found: Option<&PathInfo>,
    is_directory: bool,
    extent: Extent,
    own_name: &str,
) -> Result<(String, String, Extent), Failure> {
    match found {
        Some(info) if info.is_directory => Ok((path.to_owned(), own_name.to_owned(), extent)),
        Some(_) if is_directory => Err(wrong(path, "is a file, and a directory is copied")),
        None if !is_directory && path.ends_with('/') => Err(wrong(path, "there is no such directory")),
        Some(_) | None => {
            let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
            let parent = if parent.is_empty() { "/" } else { parent };
            Ok((parent.to_owned(), name.to_owned(), Extent::Whole))
        }
    }
}

fn own_name(path: &Path) -> Result<String, Failure> {
    let real = if path.file_name().is_some() {
        path.to_owned()
    } else {
        path.canonicalize().map_err(Failure::file(path))?
    };
    Ok(real.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// `DIR/.` is what is in the directory.
fn split_extent(path: &str) -> (&str, Extent) {
    match path.strip_suffix("/.") {
        Some("") => ("/", Extent::Contents),
        Some(directory) => (directory, Extent::Contents),
        None if path == "." => (path, Extent::Contents),
        None => (path, Extent::Whole),
    }
}

/// A path in a container begins at its root.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn wrong(argument: &str, rule: &str) -> Failure {
    Failure::Argument { argument: argument.to_owned(), rule: rule.to_owned() }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        // As with `docker cp`: a path of this machine that has a colon begins with `/` or `.`.
        match text.split_once(':') {
            Some((name, path)) if !text.starts_with(['/', '.']) => {
                if name.is_empty() || path.is_empty() {
                    return Err("write SERVICE:PATH or TASK:PATH".to_owned());
                }
                Ok(Self::Remote { name: name.to_owned(), path: path.to_owned() })
            }
            _ => Ok(Self::Local(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up::testing::Scratch;

    #[test]
    fn a_path_with_a_colon_is_in_a_container_unless_it_begins_as_one_of_this_machine() {
        let remote = |name: &str, path: &str| Side::Remote { name: name.to_owned(), path: path.to_owned() };
        assert_eq!("web.1:/etc".parse(), Ok(remote("web.1", "/etc")));
        assert_eq!("shop/web:a:b".parse(), Ok(remote("shop/web", "a:b")));
        assert_eq!("./a:b".parse(), Ok(Side::Local("./a:b".to_owned())));
        assert_eq!("-".parse(), Ok(Side::Stream));
        assert!(":/etc".parse::<Side>().is_err() && "web:".parse::<Side>().is_err());
    }

    fn info(is_directory: bool) -> PathInfo {
        PathInfo { name: "x".to_owned(), is_directory, link_target: None }
    }

    fn destined(
        path: &str,
        found: Option<&PathInfo>,
        is_directory: bool,
        extent: Extent,
    ) -> Option<(String, String)> {
        let found = destination(path, found, is_directory, extent, "own").ok();
        found.map(|(directory, name, extent)| {
            (directory, if extent == Extent::Contents { ".".to_owned() } else { name })
        })
    }

    #[test]
    fn what_goes_into_a_container_lands_where_docker_cp_would_put_it() {
        let (directory, file) = (info(true), info(false));
        let at = |directory: &str, name: &str| Some((directory.to_owned(), name.to_owned()));
        assert_eq!(destined("/srv", Some(&directory), false, Extent::Whole), at("/srv", "own"));
        assert_eq!(destined("/srv", Some(&directory), true, Extent::Contents), at("/srv", "."));
        assert_eq!(destined("/srv/a", Some(&file), false, Extent::Whole), at("/srv", "a"));
        assert_eq!(destined("/a", None, false, Extent::Whole), at("/", "a"));
        assert_eq!(destined("/srv/new/", None, true, Extent::Contents), at("/srv", "new"));
        assert_eq!(destined("/srv/a", Some(&file), true, Extent::Whole), None);
        assert_eq!(destined("/srv/new/", None, false, Extent::Whole), None);
    }

    #[test]
    fn what_comes_from_a_container_lands_where_docker_cp_would_put_it() {
        let scratch = Scratch::new("landing");
        let base = scratch.path().display().to_string();
        let (new, file) = (format!("{base}/new"), format!("{base}/file"));
        std::fs::write(&file, "").unwrap();
        let lands = |target: &str, is_directory, extent| landing(target, "own", is_directory, extent).ok();
        assert_eq!(lands(&base, true, Extent::Whole), Some(scratch.path().join("own")));
        assert_eq!(lands(&base, true, Extent::Contents), Some(scratch.path().to_owned()));
        assert_eq!(lands(&new, true, Extent::Whole), Some(PathBuf::from(&new)));
        assert_eq!(lands(&file, false, Extent::Whole), Some(PathBuf::from(&file)));
        assert_eq!(lands(&file, true, Extent::Whole), None);
        assert_eq!(lands(&format!("{new}/"), false, Extent::Whole), None);
        assert_eq!(split_extent("/etc/."), ("/etc", Extent::Contents));
        assert_eq!(split_extent("/."), ("/", Extent::Contents));
    }
}
