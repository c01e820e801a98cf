//! An archive into files of this machine. It comes from a container, so nothing in it is trusted: no entry gets out of the
//! destination, neither by `..` nor through a link that an earlier entry has made.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use skep_agent::streams::Upload;
use tar::{Archive, Entry};

use super::bridge;

/// The bits of a mode that are taken over: no set-user-id, no set-group-id.
const MODE_MASK: u32 = 0o777;
/// What a directory has while files are put into it.
const OWNER_MAY: u32 = 0o700;

/// Unpacks `archive` so that its first entry becomes `target`. Returns the entries that are neither file, directory nor link; they are left
/// out.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] at an entry that would lie outside of `target`; what came before it stays.
pub(crate) async fn unpack(archive: Upload, target: PathBuf) -> io::Result<Vec<String>> {
    let (reader, feed) = bridge::reader(archive);
    let work = tokio::task::spawn_blocking(move || read(reader, &target));
    let ((), result) = futures::join!(feed, work);
    result.map_err(io::Error::other)?
}

fn read(from: impl Read, target: &Path) -> io::Result<Vec<String>> {
    // A directory of the person's own may be a link; one in the archive may not.
    let target = if target.is_dir() { &fs::canonicalize(target)? } else { target };
    let mut archive = Archive::new(from);
    let (mut skipped, mut directories) = (Vec::new(), Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let path = place(target, &name)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            directories.push((make_directory(&path)?, entry.header().mode()?));
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            write_file(&mut entry, &path)?;
        } else if kind.is_symlink() {
            let to = link_name(&entry, &name)?;
            clear(&path)?;
            symlink(to, &path)?;
        } else if kind.is_hard_link() {
            let from = place(target, &link_name(&entry, &name)?)?;
            clear(&path)?;
            fs::hard_link(from, &path)?;
        } else {
            skipped.push(name.display().to_string());
        }
    }
    // The innermost first: a directory that may not be written to can still be entered then.
    for (path, mode) in directories.iter().rev() {
        fs::set_permissions(path, Permissions::from_mode(mode & MODE_MASK))?;
    }
    Ok(skipped)
}

/// Where the entry `name` belongs: its first part stands for `target`.
fn place(target: &Path, name: &Path) -> io::Result<PathBuf> {
    let refuse = |why: &str| {
        let words = format!("the archive is refused: {} {why}", name.display());
        io::Error::new(io::ErrorKind::InvalidData, words)
    };
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refuse("leads out of the destination"));
            }
        }
    }
    let mut path = target.to_owned();
    for part in parts.into_iter().skip(1) {
        if fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_symlink()) {
            return Err(refuse("leads through a symbolic link"));
        }
        path.push(part);
    }
    Ok(path)
}

fn link_name<R: Read>(entry: &Entry<'_, R>, name: &Path) -> io::Result<PathBuf> {
    let target = entry.link_name()?.map(std::borrow::Cow::into_owned);
    target.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("the link {} leads nowhere", name.display()))
    })
}

fn make_directory(path: &Path) -> io::Result<PathBuf> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        clear(path)?;
        fs::create_dir(path)?;
    }
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode | OWNER_MAY))?;
    Ok(path.to_owned())
}

fn write_file<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
    clear(path)?;
    let mode = entry.header().mode()?;
    let mut file = File::create_new(path)?;
    io::copy(entry, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode & MODE_MASK))
}

/// Takes away the file or link that is in the way; it is never written through.
fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;
    use crate::archive::{Extent, pack};
    use crate::up::testing::Scratch;

    enum Thing {
        File(&'static str),
        Directory(u32),
        Link(&'static str),
        HardLink(&'static str),
        Fifo,
    }

    /// An archive as somebody might make it who means harm: the names are written as they are.
    fn archive(entries: &[(&str, Thing)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, thing) in entries {
            let mut header = Header::new_gnu();
            let bytes = name.as_bytes();
            header.as_gnu_mut().unwrap().name[..bytes.len()].copy_from_slice(bytes);
            header.set_mode(0o644);
            header.set_size(0);
            let mut content = "";
            match thing {
                Thing::File(text) => {
                    content = text;
                    header.set_size(text.len() as u64);
                }
                Thing::Directory(mode) => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                }
                Thing::Link(to) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_link_name_literal(to).unwrap();
                }
                Thing::HardLink(to) => {
                    header.set_entry_type(EntryType::Link);
                    header.set_link_name_literal(to).unwrap();
                }
                Thing::Fifo => header.set_entry_type(EntryType::Fifo),
            }
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn text(path: impl AsRef<Path>) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_first_entry_becomes_the_target_and_the_others_lie_in_it() {
        let scratch = Scratch::new("unpack");
        let target = scratch.path().join("copy");
        let entries = [
            ("site/", Thing::Directory(0o555)),
            ("site/a", Thing::File("one")),
            ("site/b", Thing::HardLink("site/a")),
            ("site/c", Thing::Link("../elsewhere")),
            ("site/pipe", Thing::Fifo),
        ];
        let skipped = read(&*archive(&entries), &target).unwrap();
        assert_eq!((text(target.join("a")), text(target.join("b"))), ("one".to_owned(), "one".to_owned()));
        assert_eq!(fs::read_link(target.join("c")).unwrap(), Path::new("../elsewhere"));
        assert_eq!(skipped, ["site/pipe"]);
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o555);
        fs::set_permissions(&target, Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_file_replaces_what_is_there_and_is_not_written_through_a_link() {
        let scratch = Scratch::new("replace");
        let (target, precious) = (scratch.path().join("copy"), scratch.path().join("precious"));
        fs::write(&precious, "keep").unwrap();
        symlink(&precious, &target).unwrap();
        read(&*archive(&[("a", Thing::File("new"))]), &target).unwrap();
        assert_eq!((text(&target), text(&precious)), ("new".to_owned(), "keep".to_owned()));
    }

    #[test]
    fn nothing_gets_out_of_the_destination() {
        let harmful: [&[(&str, Thing)]; 6] = [
            &[("d", Thing::Link("..")), ("d/evil", Thing::File("x"))],
            &[("d/", Thing::Directory(0o755)), ("d/../../evil", Thing::File("x"))],
            &[("../evil", Thing::File("x"))],
            &[("/evil", Thing::File("x"))],
            &[("d/", Thing::Directory(0o755)), ("d/l", Thing::Link("..")), ("d/l/evil", Thing::File("x"))],
            &[("d/", Thing::Directory(0o755)), ("d/h", Thing::HardLink("../secret"))],
        ];
        for (number, entries) in harmful.iter().enumerate() {
            let scratch = Scratch::new(&format!("harm{number}"));
            let inner = scratch.path().join("inner");
            fs::create_dir_all(&inner).unwrap();
            fs::write(scratch.path().join("secret"), "s").unwrap();
            fs::write(inner.join("secret"), "s").unwrap();
            let error = read(&*archive(entries), &inner.join("copy")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{number}: {error}");
            assert!(error.to_string().contains("the archive is refused"), "{error}");
            assert!(!scratch.path().join("evil").exists() && !inner.join("evil").exists(), "{number}");
        }
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_the_same() {
        let scratch = Scratch::new("both");
        let source = scratch.path().join("source");
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        fs::create_dir_all(source.join("d".repeat(90))).unwrap();
        fs::write(source.join(&long), vec![7; 300_000]).unwrap();
        fs::write(source.join("run"), "#!").unwrap();
        fs::set_permissions(source.join("run"), Permissions::from_mode(0o755)).unwrap();
        symlink("run", source.join("link")).unwrap();
        let target = scratch.path().join("target");
        let (pieces, work) = pack(source.clone(), "named".to_owned(), Extent::Whole);
        assert_eq!(unpack(pieces, target.clone()).await.unwrap(), Vec::<String>::new());
        work.await.unwrap().unwrap();
        assert!(fs::read(target.join(&long)).unwrap() == vec![7; 300_000]);
        assert_eq!(fs::metadata(target.join("run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("run"));
    }

    #[tokio::test]
    async fn the_contents_of_a_directory_are_packed_without_its_name() {
        use futures::TryStreamExt;

        let scratch = Scratch::new("contents");
        fs::write(scratch.path().join("a"), "one").unwrap();
        let (pieces, work) = pack(scratch.path().to_owned(), "named".to_owned(), Extent::Contents);
        let bytes: Vec<bytes::Bytes> = pieces.try_collect().await.unwrap();
        work.await.unwrap().unwrap();
        let bytes = bytes.concat();
        let mut archive = Archive::new(&*bytes);
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
        assert_eq!(names.collect::<Vec<_>>(), [Path::new("a")]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named_and_breaks_the_archive_off() {
        let scratch = Scratch::new("unreadable");
        let (pieces, work) = pack(scratch.path().join("nowhere"), "x".to_owned(), Extent::Whole);
        assert!(unpack(pieces, scratch.path().join("copy")).await.is_err());
        assert!(work.await.unwrap().unwrap_err().to_string().contains("nowhere"));
    }
}
