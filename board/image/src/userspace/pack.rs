//! The tree as one compressed read-only file, and the RAM root around it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use board_forge::{Bind, DebianRoot, EPOCH, run};

use super::cpio::Archive;

/// The file system's own name: fixed, as everything that is built.
const UUID: &str = "6d656375-0000-4000-8000-726f6f740000";
/// Level 6 takes seconds; level 16 with deduplication took minutes of processor time for 10 % less.
const COMPRESSION: &str = "zstd,6";
/// Bytes that are compressed together: larger is smaller on flash, and costs a whole cluster for one page.
const CLUSTER: &str = "65536";
/// Empty folders of the RAM root.
const FOLDERS: [&str; 5] = ["dev", "new", "proc", "run", "sys"];

/// Makes `root.erofs` and `initrd.cpio` in `out`.
pub fn pack(out: &Path, tree: &Path, init: &Path, tools: &DebianRoot) -> anyhow::Result<()> {
    let mut erofs = tools.command(
        "/work",
        &[
            Bind::write(out, "/work/out"),
            Bind::read(tree, "/work/tree"),
        ],
        "mkfs.erofs",
    )?;
    erofs.args(["--quiet", "--all-root", "-z", COMPRESSION, "-C", CLUSTER]);
    erofs.args(["-E", "ztailpacking", "-U", UUID, "-T", &EPOCH.to_string()]);
    run(erofs.args(["/work/out/root.erofs", "/work/tree"]))?;
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    // The kernel opens it before PID 1 has mounted anything.
    archive.character("dev/console", 5, 1)?;
    archive.file("init", 0o755, &read(init)?)?;
    archive.file("root.img", 0o444, &read(&out.join("root.erofs"))?)?;
    fs::write(out.join("initrd.cpio"), archive.finish()?)?;
    Ok(())
}
