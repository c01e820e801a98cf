//! Files of this machine into an archive.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt;
use skep_agent::streams::Upload;
use tar::{Builder, EntryType, Header, HeaderMode};
use tokio::task::JoinHandle;

use super::{Extent, bridge};

/// The file or directory `source` as an archive, under the name `name`; and how the reading of it went.
///
/// Owners become root, as `docker cp` does it. Symbolic links within it stay what they are; `source` itself is followed.
pub(crate) fn pack(source: PathBuf, name: String, extent: Extent) -> (Upload, JoinHandle<io::Result<()>>) {
    let (mut writer, pieces) = bridge::writer();
    let work = tokio::task::spawn_blocking(move || {
        let result = write(&source, Path::new(&name), extent, &mut writer).and_then(|()| writer.flush());
        if let Err(error) = &result {
            writer.fail(io::Error::new(error.kind(), error.to_string()));
        }
        result
    });
    (pieces.boxed(), work)
}

fn write(source: &Path, name: &Path, extent: Extent, to: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(to);
    let metadata = fs::metadata(source).map_err(told(source))?;
    match extent {
        Extent::Whole => add(&mut archive, source, name, &metadata)?,
        Extent::Contents => add_entries(&mut archive, source, Path::new(""))?,
    }
    archive.into_inner().map(drop)
}

fn add<W: Write>(
    archive: &mut Builder<W>,
    source: &Path,
    name: &Path,
    metadata: &Metadata,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(metadata, HeaderMode::Complete);
    header.set_uid(0);
    header.set_gid(0);
    let kind = metadata.file_type();
    if kind.is_dir() {
        header.set_size(0);
        archive.append_data(&mut header, name, io::empty())?;
        return add_entries(archive, source, name);
    }
    if kind.is_symlink() {
        let target = fs::read_link(source).map_err(told(source))?;
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        return archive.append_link(&mut header, name, target);
    }
    if !kind.is_file() {
        return Err(told(source)(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is no file, directory or link",
        )));
    }
    let file = File::open(source).map_err(told(source))?;
    // One that grows meanwhile is copied as long as it was.
    archive.append_data(&mut header, name, file.take(metadata.len())).map_err(told(source))
}

/// What is in a directory, in the order of its names.
fn add_entries<W: Write>(archive: &mut Builder<W>, source: &Path, name: &Path) -> io::Result<()> {
    let entries = fs::read_dir(source).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(told(source))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let metadata = entry.metadata().map_err(told(&entry.path()))?;
        add(archive, &entry.path(), &name.join(entry.file_name()), &metadata)?;
    }
    Ok(())
}

/// An error that names its file.
fn told(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
