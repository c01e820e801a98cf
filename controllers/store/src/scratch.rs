//! Folders for tests and benchmarks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

/// An empty folder that nobody else has. It goes with this value, with all that is in it, also when a test panics.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one below the system's folder for such things; `name` tells people whose it is.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("skep-{name}-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // A process of the same number was killed before it could remove it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to report to.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_one_and_goes_with_its_contents() {
        let (one, other) = (Scratch::new("scratch").unwrap(), Scratch::new("scratch").unwrap());
        assert_ne!(one.path(), other.path());
        let path = one.path().to_owned();
        fs::create_dir(path.join("folder")).unwrap();
        fs::write(path.join("folder/file"), "").unwrap();
        drop(one);
        assert!(!path.exists() && other.path().is_dir());
    }

    #[test]
    fn it_goes_when_a_test_panics() {
        let mut path = PathBuf::new();
        let test = std::panic::AssertUnwindSafe(|| {
            let scratch = Scratch::new("scratch").unwrap();
            scratch.path().clone_into(&mut path);
            assert!(!scratch.path().exists(), "this fails");
        });
        assert!(std::panic::catch_unwind(test).is_err() && !path.exists());
    }
}
