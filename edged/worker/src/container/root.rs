//! The container's root: shared layers, shown with its own user ids, stacked by overlayfs.
//!
//! Layers are stored once, with the ids of their archives. Each container sees them through mounts that shift ids into
//! its own range (`mount_setattr(2)`, `MOUNT_ATTR_IDMAP`), so nothing is copied and nothing is chowned. On top lies a
//! small tree of the worker's own ([`super::etc`]) with every mount point: what is mounted into the container never
//! follows a link of the image. A read-only root has no upper layer at all; a writable one has it on a tmpfs.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use edged_config::Node;
use edged_model::Digest;
use nix::sched::CloneFlags;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::user::IDS;
use crate::Error;
use crate::place::{self, Place};

/// Layers of one image: overlayfs takes 500, images have up to 127.
const LAYERS_MAX: usize = 128;
/// Stack of a child that only ends.
const CHILD_STACK: usize = 16 << 10;
/// Makes the worker's folders and a private mount of its own, so that no other mount namespace of the
/// host keeps a copy of what is mounted beneath it. Idempotent.
pub fn prepare(node: &Node) -> Result<(), Error> {
    for dir in [
        node.run.clone(),
        node.containers(),
        node.netns(),
        node.layers(),
    ] {
        fs::create_dir_all(&dir).map_err(Error::path("make", &dir))?;
    }
    let own = node.containers();
    // Layers keep their set-uid bits and the ids of their archives: nobody but root may walk into them. A container's
    // own root must be able to walk to its folder, which in turn lets in nobody else.
    for (dir, mode) in [(&own, 0o711), (&node.layers(), 0o700)] {
        fs::set_permissions(dir, fs::Permissions::from_mode(mode))
            .map_err(Error::path("set the mode of", dir))?;
    }
    if !is_mount_point(&own)? {
        rustix::mount::mount_bind(&own, &own).map_err(Error::path("mount", &own))?;
    }
    rustix::mount::mount_change(&own, MountPropagationFlags::PRIVATE)
        .map_err(Error::path("make private", &own))?;
    Ok(())
}

/// Whether something is mounted exactly there.
pub fn is_mount_point(path: &Path) -> Result<bool, Error> {
    use std::os::unix::fs::MetadataExt as _;
    let stat = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        rustix::fs::StatxFlags::BASIC_STATS,
    )
    .map_err(Error::path("look at", path))?;
    if stat
        .stx_attributes_mask
        .contains(rustix::fs::StatxAttributes::MOUNT_ROOT)
    {
        return Ok(stat
            .stx_attributes
            .contains(rustix::fs::StatxAttributes::MOUNT_ROOT));
    }
    let above = path.join("..");
    let (here, there) = (
        fs::symlink_metadata(path).map_err(Error::path("look at", path))?,
        fs::metadata(&above).map_err(Error::path("look at", &above))?,
    );
    Ok(here.dev() != there.dev())
}

/// Mounts the root of a container and answers its folder.
pub fn mount(
    node: &Node,
    place: &Place,
    layers: &[Digest],
    ids: &OwnedFd,
    first_uid: u32,
    writable: Option<u64>,
) -> Result<PathBuf, Error> {
    if layers.is_empty() || layers.len() > LAYERS_MAX {
        return Err(Error::Request(format!(
            "an image of {} layers cannot be mounted; build it with 1 to {LAYERS_MAX}",
            layers.len()
        )));
    }
    let lower = place.lower();
    make_dir(&lower)?;
    let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(Error::kernel("open overlayfs"))?;
    let sources = std::iter::once((None, place.top())).chain(
        layers
            .iter()
            .rev()
            .map(|layer| (Some(layer), place::layer(node, layer))),
    );
    let mut attached = Vec::new();
    for (number, (digest, source)) in sources.enumerate() {
        if let Some(digest) = digest
            && !source.is_dir()
        {
            return Err(Error::Busy(format!(
                "layer {digest} is not unpacked; unpack it first"
            )));
        }
        let target = lower.join(number.to_string());
        make_dir(&target)?;
        attach_shifted(&source, &target, ids)?;
        rustix::mount::fsconfig_set_string(&overlay, "lowerdir+", &target)
            .map_err(Error::path("stack", &target))?;
        attached.push(target);
        if digest.is_some() && hides_all_below(&source) {
            break;
        }
    }
    if let Some(size) = writable {
        let upper = place.upper();
        make_dir(&upper)?;
        mount_tmpfs(&upper, size, 0o755)?;
        let (data, work) = (upper.join("data"), upper.join("work"));
        for dir in [&data, &work] {
            make_dir(dir)?;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
                .map_err(Error::path("set the mode of", dir))?;
            chown(dir, Some(first_uid), Some(first_uid)).map_err(Error::path("chown", dir))?;
        }
        for (key, dir) in [("upperdir", &data), ("workdir", &work)] {
            rustix::mount::fsconfig_set_string(&overlay, key, dir)
                .map_err(Error::path("stack", dir))?;
        }
    }
    rustix::mount::fsconfig_set_string(&overlay, "source", "overlay")
        .map_err(Error::kernel("name the overlay"))?;
    rustix::mount::fsconfig_create(&overlay)
        .map_err(Error::kernel("make the overlay of the layers"))?;
    let mut flags = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    if writable.is_none() {
        flags |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    let mounted = rustix::mount::fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .map_err(Error::kernel("mount the overlay of the layers"))?;
    let root = place.root();
    make_dir(&root)?;
    attach(&mounted, &root)?;
    // The overlay holds its layers itself.
    for target in attached {
        rustix::mount::unmount(&target, UnmountFlags::DETACH)
            .map_err(Error::path("unmount", &target))?;
    }
    Ok(root)
}

/// Whether a layer's own root is opaque: overlayfs heeds that mark on the folders of a layer, not on its root.
fn hides_all_below(layer: &Path) -> bool {
    let mut value = [0; 4];
    rustix::fs::getxattr(layer, "trusted.overlay.opaque", &mut value).is_ok_and(|len| len > 0)
}

/// Mounts an empty tmpfs of at most `size` bytes.
pub fn mount_tmpfs(target: &Path, size: u64, mode: u32) -> Result<(), Error> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(Error::kernel("open tmpfs"))?;
    for (key, value) in [("size", size.to_string()), ("mode", format!("{mode:o}"))] {
        rustix::mount::fsconfig_set_string(&fs, key, &value)
            .map_err(Error::kernel("set up tmpfs"))?;
    }
    rustix::mount::fsconfig_create(&fs).map_err(Error::kernel("make a tmpfs"))?;
    let flags = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mounted = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .map_err(Error::kernel("mount a tmpfs"))?;
    attach(&mounted, target)
}

fn make_dir(path: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::path("make", path)(error))
        }
        _ => Ok(()),
    }
}

fn attach(mounted: &OwnedFd, target: &Path) -> Result<(), Error> {
    rustix::mount::move_mount(
        mounted.as_fd(),
        "",
        rustix::fs::CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(Error::path("mount", target))
}

fn attach_shifted(source: &Path, target: &Path, ids: &OwnedFd) -> Result<(), Error> {
    let tree = rustix::mount::open_tree(
        rustix::fs::CWD,
        source,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .map_err(Error::path("clone the mount of", source))?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(ids.as_raw_fd()).unwrap_or(u64::MAX),
    };
    // SAFETY: the path is an empty C string, the attributes live through the call and their true size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done != 0 {
        return Err(Error::path("shift the user ids of", source)(
            std::io::Error::last_os_error(),
        ));
    }
    attach(&tree, target)
}

/// A user namespace that holds nothing but the map 0.. to `first_uid`.. of 65,536 ids: the container's own, and the one
/// that shifts the ids of its layers.
pub fn user_namespace(first_uid: u32) -> Result<OwnedFd, Error> {
    let mut stack = [0; CHILD_STACK];
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: the child runs on a stack of its own, ends at once, and this process stands still until it has.
    let child =
        unsafe { nix::sched::clone(Box::new(|| 0), &mut stack, flags, Some(libc::SIGCHLD)) }
            .map_err(Error::kernel(
                "make a user namespace (see user.max_user_namespaces)",
            ))?;
    let fill = || -> Result<OwnedFd, Error> {
        for map in ["uid_map", "gid_map"] {
            let path = PathBuf::from(format!("/proc/{child}/{map}"));
            fs::write(&path, format!("0 {first_uid} {IDS}\n"))
                .map_err(Error::path("write", &path))?;
        }
        let path = PathBuf::from(format!("/proc/{child}/ns/user"));
        fs::File::open(&path)
            .map(OwnedFd::from)
            .map_err(Error::path("open", &path))
    };
    // A child that has ended is in its namespace until it is waited for.
    let filled = fill();
    let _ = nix::sys::wait::waitpid(child, None);
    filled
}
