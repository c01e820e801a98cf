//! Which path of the machine is really meant.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// File systems that hold nothing of this machine's.
const ELSEWHERE: [&str; 6] = ["tmpfs", "nfs", "nfs4", "cifs", "smb3", "ceph"];

/// What a volume of Docker's own driver shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nothing of this machine.
    Elsewhere,
    /// This path.
    Path(String),
    /// It cannot be told; these are its options.
    Unknown(String),
}

/// The path without `..`, which Docker takes away before it looks, and without symbolic links, as far as it is there.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let clean = path.components().fold(PathBuf::from("/"), |mut clean, component| {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::Normal(name) => clean.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
        clean
    });
    let known = clean.ancestors().find_map(|known| Some((known, fs::canonicalize(known).ok()?)));
    match known {
        Some((known, real)) => {
            clean.strip_prefix(known).map_or_else(|_| clean.clone(), |rest| real.join(rest))
        }
        None => clean,
    }
}

/// What a volume of the driver `local` with these options shows: `type`, `o` and `device` are those of mount(8).
pub(super) fn of_local_volume<'a>(options: impl IntoIterator<Item = (&'a String, &'a String)>) -> Source {
    let options: Vec<(&str, &str)> =
        options.into_iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let get = |wanted: &str| options.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| *value);
    let (kind, flags, device) = (get("type"), get("o"), get("device"));
    if (kind.is_empty() && flags.is_empty() && device.is_empty()) || ELSEWHERE.contains(&kind) {
        return Source::Elsewhere;
    }
    let is_bind = flags.split(',').any(|flag| matches!(flag, "bind" | "rbind"));
    if is_bind && device.starts_with('/') {
        return Source::Path(device.to_owned());
    }
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Source::Unknown(options.join(" "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use skep_store::scratch::Scratch;

    use super::*;

    #[test]
    fn links_and_steps_up_are_seen_through() {
        let scratch = Scratch::new("paths").unwrap();
        let directory = fs::canonicalize(scratch.path()).unwrap();
        fs::create_dir_all(directory.join("real/inner")).unwrap();
        symlink(directory.join("real"), directory.join("link")).unwrap();
        for (path, real) in [
            ("link", "real"),
            ("link/inner", "real/inner"),
            ("link/new/file", "real/new/file"),
            ("link/new/../inner", "real/inner"),
            ("other/../link/inner", "real/inner"),
            ("real/./inner//", "real/inner"),
        ] {
            assert_eq!(resolve(&directory.join(path)), directory.join(real), "{path}");
        }
        assert_eq!(resolve(Path::new("/no/such/../path")), Path::new("/no/path"));
    }

    #[test]
    fn a_local_volume_can_be_a_path_in_disguise() {
        let of = |options: &[(&str, &str)]| {
            let options: Vec<(String, String)> =
                options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            of_local_volume(options.iter().map(|(name, value)| (name, value)))
        };
        assert_eq!(of(&[]), Source::Elsewhere);
        assert_eq!(of(&[("type", "nfs"), ("o", "addr=10.0.0.1"), ("device", ":/srv")]), Source::Elsewhere);
        assert_eq!(
            of(&[("type", "none"), ("o", "rw,bind"), ("device", "/etc")]),
            Source::Path("/etc".to_owned())
        );
        for hidden in [
            &[("type", "overlay"), ("o", "lowerdir=/etc,upperdir=/u,workdir=/w"), ("device", "overlay")][..],
            &[("type", "ext4"), ("device", "/dev/sda1")],
        ] {
            assert!(matches!(of(hidden), Source::Unknown(_)), "{hidden:?}");
        }
    }
}
