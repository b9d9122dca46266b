//! A box whose data partition is full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::until;
use board::image::{Image, maker};
use board_qemu::{Changes, Door, Folder, USER};
use serde_json::Value;
use umec_tests::ground::{Ground, is_ready};
use umec_tests::lab::programs;

use crate::good::boot;

/// Bytes of the partition: what a box needs, an image or two, and not much to fill.
const DATA: u64 = 256 << 20;
/// Images that fill it, MiB: each is loaded as often as there is room, at most [`TIMES`] times.
const SIZES: [u64; 5] = [48, 16, 4, 1, 0];
const TIMES: u32 = 8;
/// Bytes of the smallest one's layer.
const LEAST: u64 = 64 << 10;
/// Until everything is back after a start.
const BACK: Duration = Duration::from_secs(90);

/// Nothing is lost and nothing hangs: it says what it has no room for, starts again after a cut of its power, and takes an
/// update once there is room.
pub fn a_box_whose_data_partition_is_full_goes_on_and_makes_room_for_an_update(
    ground: &Ground,
    bundle: &Path,
) -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    ground.parts.image.write_disk_with(&folder.disk(), DATA)?;
    folder.furnish(&ground.parts)?;
    let guest = boot(ground, &folder, &Changes::default())?;
    guest.commission(&ground.parts.commissioning)?;
    let door = guest.door()?;
    ground.deploy(&door)?;
    let fillers = fill(ground, &door)?;
    let answer = door.say(&["update", "install"], Some(bundle))?;
    let why = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(
        !answer.status.success() && why.contains("are free"),
        "an update finds room on a full partition: {why}"
    );
    guest.machine.cut()?;
    let guest = boot(ground, &folder, &Changes::default())?;
    let door = guest.door()?;
    until(BACK, || is_ready(&door).map(Some))
        .context("a full box does not start its application again")?;
    for name in &fillers {
        door.told(&["rmi", name], None)?;
    }
    it_is_waited_for_until_it_is_confirmed(&door, bundle)?;
    until(BACK, || is_ready(&door).map(Some)).context("its application is not back")?;
    guest.machine.cut()
}

/// `edgectl update install --wait`: one command, over the restarts of the box.
fn it_is_waited_for_until_it_is_confirmed(door: &Door, bundle: &Path) -> anyhow::Result<()> {
    let mut edgectl = Command::new(programs()?.join("edgectl"));
    edgectl.args(["--host", &format!("{USER}@127.0.0.1:{}", door.port)]);
    edgectl.arg("--identity").arg(&door.identity);
    edgectl.arg("--known-hosts").arg(&door.known_hosts);
    edgectl.args(["update", "install", "--wait", "-o", "json"]);
    let answer = edgectl
        .stdin(std::fs::File::open(bundle)?)
        .output()
        .context("cannot run edgectl")?;
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "it ends without success: {said}");
    ensure!(
        said.contains("the box does not answer: it starts anew"),
        "it did not wait: {said}"
    );
    let status: Value = serde_json::from_slice(&answer.stdout)?;
    let outcome = status.pointer("/last/outcome").and_then(Value::as_str);
    ensure!(outcome == Some("confirmed"), "{status}");
    Ok(())
}

/// Loads images until nothing fits; their names.
fn fill(ground: &Ground, door: &Door) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for size in SIZES {
        for number in 1..=TIMES {
            let name = format!("umec-test/filler-{size}:{number}");
            let archive = filler(ground, &name, (size << 20).max(LEAST))?;
            let key = format!("filler-{size}-{number}");
            let known = door.say(&["trust", "keys", "add", &key], Some(&maker(&archive)))?;
            let loaded = door.say(&["load"], Some(&archive))?;
            std::fs::remove_file(&archive)?;
            if !known.status.success() || !loaded.status.success() {
                break;
            }
            names.push(name);
        }
    }
    ensure!(!names.is_empty(), "not one image fits");
    Ok(names)
}

/// An image of one layer that no compression makes smaller.
fn filler(ground: &Ground, name: &str, size: u64) -> anyhow::Result<PathBuf> {
    let folder = ground.folder.path().join("filler");
    let tree = folder.join("tree");
    std::fs::create_dir_all(&tree)?;
    let mut random = std::io::Read::take(std::fs::File::open("/dev/urandom")?, size);
    let mut file = std::fs::File::create(tree.join("filler"))?;
    std::io::copy(&mut random, &mut file)?;
    let image = Image::new(&folder.join("layout"), "1")?;
    image.insert(&tree, "/")?;
    image.configure(&["--architecture=arm64"])?;
    let archive = folder.join("filler.tar");
    image.signed_archive(&archive, name)?;
    Ok(archive)
}
