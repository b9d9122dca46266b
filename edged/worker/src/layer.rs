//! Layers: from a blob of the content store to a folder that overlayfs can stack. For a helper process.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use edged_config::Node;
use edged_layer::{Bounds, Compression, Expected};
use edged_model::Digest;
use edged_protocol::worker::LayerSource;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::Error;
use crate::fault::{self, Fault};
use crate::place;

/// Descriptors the unpacker may have open: one for each folder of a path it walks, and a few.
const OPEN_FILES: u64 = 512;

/// Removes what unpacking left half done. For the worker's start, when nobody unpacks.
pub fn remove_partial(node: &Node) -> Result<(), Error> {
    let dir = node.layers();
    for entry in fs::read_dir(&dir)
        .map_err(Error::path("read", &dir))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// The layers that are whole.
pub fn list(node: &Node) -> Vec<Digest> {
    let entries = fs::read_dir(node.layers()).into_iter().flatten().flatten();
    let mut layers: Vec<Digest> = entries
        .filter_map(|entry| {
            format!("sha256:{}", entry.file_name().to_string_lossy())
                .parse()
                .ok()
        })
        .collect();
    layers.sort();
    layers
}

/// Deletes an unpacked layer: out of the way first, so that a half deleted one never counts as whole. Idempotent.
pub fn remove(node: &Node, diff_id: &Digest) -> Result<(), Error> {
    let (whole, partial) = (
        place::layer(node, diff_id),
        place::partial_layer(node, diff_id),
    );
    match fs::rename(&whole, &partial) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::path("rename", &whole)(error)),
        Ok(()) => {}
    }
    remove_tree(&partial)
}

fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::path("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Unpacks a layer beside its place and moves it there when it is whole and durable.
pub fn unpack(node: &Node, source: &LayerSource) -> Result<(), Error> {
    let whole = place::layer(node, &source.diff_id);
    if whole.is_dir() {
        return Ok(());
    }
    let request = |error: edged_layer::UnpackError| Error::Request(error.to_string());
    let expected = Expected {
        digest: source.blob.clone(),
        size: source.size,
        diff_id: source.diff_id.clone(),
        compression: Compression::from_media_type(&source.media_type).map_err(request)?,
    };
    let path = place::blob(node, &source.blob);
    let blob = File::open(&path).map_err(|error| {
        Error::Busy(format!(
            "cannot open blob {}: {error}; pull the image again",
            source.blob
        ))
    })?;
    let partial = place::partial_layer(node, &source.diff_id);
    remove_tree(&partial)?;
    fs::DirBuilder::new()
        .mode(0o755)
        .create(&partial)
        .map_err(Error::path("make", &partial))?;
    let root = rustix::fs::open(
        &partial,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(Error::path("open", &partial))?;
    confine(node)?;
    let unpacked = edged_layer::unpack(blob, root.as_fd(), &expected, &Bounds::default());
    match unpacked {
        Ok(_) => {
            rustix::fs::syncfs(&root).map_err(Error::path("sync", &partial))?;
            fault::point(Fault::BeforeLayerRename);
            fs::rename(&partial, &whole).map_err(Error::path("rename", &partial))?;
            let layers = node.layers();
            File::open(&layers)
                .and_then(|dir| dir.sync_all())
                .map_err(Error::path("sync", &layers))
        }
        Err(error) => {
            remove_tree(&partial)?;
            Err(if can_pass(&error) {
                Error::Busy(error.to_string())
            } else {
                request(error)
            })
        }
    }
}

/// Whether it was the box that failed and not the layer.
fn can_pass(error: &edged_layer::UnpackError) -> bool {
    use edged_layer::UnpackError::{DiskFull, ReadBlob, ThreadLost};
    matches!(error, DiskFull { .. } | ReadBlob { .. } | ThreadLost)
}

/// Whatever the archive may make the unpacker do, it can do it in the folder of layers alone, and as little more
/// than a file's owner.
fn confine(node: &Node) -> Result<(), Error> {
    let limit = rustix::process::Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
        .map_err(Error::kernel("limit open files"))?;
    // SYS_ADMIN because overlayfs' mark of a replaced folder is a trusted attribute; Landlock keeps it from mounting.
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::MKNOD
        | CapabilitySet::SETFCAP
        | CapabilitySet::SYS_ADMIN;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(Error::kernel("drop capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(Error::kernel("give up new privileges"))?;
    restrict(&node.layers()).map_err(Error::runtime("confine the unpacker"))
}

fn restrict(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    use landlock::{
        ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _,
    };
    let all = AccessFs::from_all(ABI::V3);
    let allowed = all & !(AccessFs::Execute | AccessFs::MakeSock | AccessFs::MakeBlock);
    Ruleset::default()
        .handle_access(all)?
        .create()?
        .add_rule(PathBeneath::new(PathFd::new(dir)?, allowed))?
        .restrict_self()?;
    Ok(())
}
