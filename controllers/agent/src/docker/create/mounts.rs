//! Mounts, in the three forms that Docker's API has for them.

use bollard::models::{
    HostConfig, Mount as DockerMount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation,
    MountTmpfsOptions, MountType as DockerMountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
};
use skep_api::container::{Mount, MountType};

use super::super::version::Api;
use super::bytes;

/// Docker itself refuses to bind a path that does not exist, and creates a volume that does not.
pub(super) fn apply(mounts: &[Mount], api: Api, config: &mut HostConfig) -> Result<(), String> {
    let (mut binds, mut tmpfs, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for mount in mounts {
        match mount.kind {
            MountType::Bind if mount.create_mountpoint && api < Api::CREATE_MOUNTPOINT => {
                binds.push(bind(mount)?);
            }
            // Every engine takes options in this form; in the other, 28 is the first that does.
            MountType::Tmpfs if !mount.options.is_empty() => {
                tmpfs.push((mount.target.clone(), tmpfs_text(mount)));
            }
            MountType::Bind
            | MountType::Tmpfs
            | MountType::Volume
            | MountType::Npipe
            | MountType::Cluster => {
                others.push(other(mount, api)?);
            }
        }
    }
    config.binds = (!binds.is_empty()).then_some(binds);
    config.tmpfs = (!tmpfs.is_empty()).then(|| tmpfs.into_iter().collect());
    config.mounts = Some(others);
    Ok(())
}

/// The old form, whose missing paths every engine creates.
fn bind(mount: &Mount) -> Result<String, String> {
    let source = mount.source.as_deref().unwrap_or_default();
    if mount.non_recursive || source.contains(':') || mount.target.contains(':') {
        return Err(format!(
            "the mount at {} needs a Docker whose API is {} or newer: createMountpoint with nonRecursive, or with a ':' \
             in a path",
            mount.target,
            Api::CREATE_MOUNTPOINT
        ));
    }
    let access = if mount.read_only { "ro" } else { "rw" };
    let propagation = mount.propagation.as_deref().map(|propagation| format!(",{propagation}"));
    Ok(format!("{source}:{}:{access}{}", mount.target, propagation.unwrap_or_default()))
}

/// `rw,size=1048576,mode=1777,exec`.
fn tmpfs_text(mount: &Mount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let size = mount.size.map(|size| format!("size={}", size.as_bytes()));
    let mode = mount.mode.as_ref().map(|mode| format!("mode={mode}"));
    let known = [Some(access.to_owned()), size, mode].into_iter().flatten();
    known.chain(mount.options.iter().cloned()).collect::<Vec<_>>().join(",")
}

fn other(mount: &Mount, api: Api) -> Result<DockerMount, String> {
    let is = |kind| mount.kind == kind;
    Ok(DockerMount {
        typ: Some(mount_type(mount.kind)),
        source: mount.source.clone(),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        bind_options: is(MountType::Bind).then(|| bind_options(mount)),
        volume_options: if is(MountType::Volume) { volume_options(mount, api)? } else { None },
        tmpfs_options: is(MountType::Tmpfs).then(|| tmpfs_options(mount)),
        image_options: None,
    })
}

fn mount_type(kind: MountType) -> DockerMountType {
    match kind {
        MountType::Volume => DockerMountType::VOLUME,
        MountType::Bind => DockerMountType::BIND,
        MountType::Tmpfs => DockerMountType::TMPFS,
        MountType::Npipe => DockerMountType::NPIPE,
        MountType::Cluster => DockerMountType::CLUSTER,
    }
}

fn bind_options(mount: &Mount) -> MountBindOptions {
    MountBindOptions {
        propagation: mount.propagation.as_deref().and_then(propagation),
        non_recursive: Some(mount.non_recursive),
        create_mountpoint: mount.create_mountpoint.then_some(true),
        ..Default::default()
    }
}

fn propagation(name: &str) -> Option<Propagation> {
    Some(match name {
        "private" => Propagation::PRIVATE,
        "rprivate" => Propagation::RPRIVATE,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::RSHARED,
        "slave" => Propagation::SLAVE,
        "rslave" => Propagation::RSLAVE,
        _ => return None,
    })
}

/// A part of a volume must not silently become all of it.
fn volume_options(mount: &Mount, api: Api) -> Result<Option<MountVolumeOptions>, String> {
    if mount.subpath.is_some() && api < Api::SUBPATH {
        return Err(format!(
            "the mount at {} has a subpath, which needs a Docker whose API is {} or newer; this one's is {api}",
            mount.target,
            Api::SUBPATH
        ));
    }
    let has_driver = mount.driver.is_some() || !mount.driver_options.is_empty();
    let driver_config = has_driver.then(|| MountVolumeOptionsDriverConfig {
        name: mount.driver.clone(),
        options: Some(mount.driver_options.clone().into_iter().collect()),
    });
    Ok(Some(MountVolumeOptions {
        no_copy: Some(mount.no_copy),
        labels: Some(mount.labels.clone().into_iter().collect()),
        driver_config,
        subpath: mount.subpath.clone(),
    }))
}

fn tmpfs_options(mount: &Mount) -> MountTmpfsOptions {
    MountTmpfsOptions {
        size_bytes: mount.size.map(bytes),
        mode: mount.mode.as_deref().and_then(|mode| i64::from_str_radix(mode, 8).ok()),
        ..Default::default()
    }
}
