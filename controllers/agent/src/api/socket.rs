//! The socket that the node API listens on: its directory is its owner's alone, and it goes away with the process.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The longest path of a unix socket, in bytes: `sun_path` has 108, one of them a final zero (unix(7)).
pub const PATH_MAX_BYTES: usize = 107;
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_SOCKET: u32 = 0o600;

/// Why the node API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The path of the socket is longer than the system allows.
    #[error(
        "the socket of the node API would be {}: that is {} bytes long, and the system allows {PATH_MAX_BYTES}; choose a \
         shorter state directory, or name the socket with --api-socket",
        path.display(), path.as_os_str().len()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The socket, or its directory, cannot be made.
    #[error("{}", path.display())]
    Bind {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody can connect any more.
    #[error("the node API takes no connections")]
    Accept(#[source] io::Error),
}

/// A socket that listens.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// The file's device and number: another agent may have put its own in the place.
    file: Option<(u64, u64)>,
}

impl Socket {
    /// Listens at `path`, in a directory that is made if there is none. A socket that a process left there is replaced.
    ///
    /// # Errors
    /// [`ApiError::TooLong`]; [`ApiError::Bind`].
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self, ApiError> {
        let path = path.into();
        if path.as_os_str().as_bytes().len() > PATH_MAX_BYTES {
            return Err(ApiError::TooLong { path });
        }
        match Self::listen(&path) {
            Ok(listener) => {
                let file = identity(&path);
                Ok(Self { listener, path, file })
            }
            Err(source) => Err(ApiError::Bind { path, source }),
        }
    }

    fn listen(path: &Path) -> io::Result<UnixListener> {
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(directory)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(PRIVATE_SOCKET))?;
        Ok(listener)
    }

    pub(super) async fn accept(&self) -> Result<UnixStream, ApiError> {
        self.listener.accept().await.map(|(stream, _)| stream).map_err(ApiError::Accept)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            // One that cannot be removed is replaced by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use skep_store::scratch::Scratch;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_its_owner_can_open_the_socket_and_it_goes_away_with_the_process() {
        let folder = Scratch::new("socket").unwrap();
        let path = folder.path().join("nodes/n1.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_agent_that_ends_leaves_the_socket_of_the_one_that_has_replaced_it() {
        let folder = Scratch::new("socket").unwrap();
        let path = folder.path().join("n1.sock");
        let first = Socket::bind(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_said_with_what_to_do() {
        let path = Path::new("/tmp").join("x".repeat(PATH_MAX_BYTES - 4));
        assert_eq!(path.as_os_str().len(), PATH_MAX_BYTES + 1);
        let words = Socket::bind(&path).unwrap_err().to_string();
        assert!(words.contains("108 bytes long") && words.contains("--api-socket"), "{words}");
    }
}
