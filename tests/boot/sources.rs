//! Bundles that come another way than through the operator's standard input: by sftp, and on a stick.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use board::client::until;
use board::process;
use board_forge::run;
use board_qemu::tamper::images;
use board_qemu::{BOOT, Changes, Folder, Guest, Monitor};
use umec_tests::ground::Ground;

use crate::bundles::signed_by_another;

/// A stick's size: a FAT32 with clusters of 4 KiB, and room for two bundles.
const STICK: u64 = 512 << 20;
const CLUSTER: &str = "8";
/// Where a stick's partition begins, as shops sell them: at a megabyte.
const PARTITION: u64 = 1 << 20;
/// Where an MBR has it (UEFI 2.10, table 5-1).
const TABLE: u64 = 446;
/// The folder of a box, as QEMU and the tool root see it.
const INSIDE: &str = "/work/box";
/// What a box says until the kernel has found what was plugged in.
const NOT_YET: [&str; 2] = ["no stick is plugged in", "no file system that a box reads"];

/// Hardware with a port for sticks.
pub fn with_usb() -> Changes {
    let port = ["-device", "qemu-xhci,id=usb"].map(str::to_owned);
    Changes {
        arguments: [Monitor::arguments(), port.to_vec()].concat(),
        ..Changes::default()
    }
}

/// Puts a file onto a new stick, which stays beside the box. A partition is the first of a table, or the whole stick is one.
fn stick(
    ground: &Ground,
    folder: &Folder,
    name: &str,
    bundle: &Path,
    partition: bool,
) -> anyhow::Result<()> {
    let path = folder.path.join(name);
    let file = File::create(&path)?;
    file.set_len(STICK)?;
    let tool = |program: &str| ground.root.command(INSIDE, &[folder.bind()], program);
    let at = if partition { PARTITION } else { 0 };
    if partition {
        file.write_all_at(&table()?, TABLE)?;
    }
    let sectors = (at / 512).to_string();
    run(tool("mkfs.vfat")?
        .args(["-F", "32", "-s", CLUSTER, "--offset", &sectors, name])
        .arg(((STICK - at) / 1024).to_string()))?;
    let copy = folder.path.join("copy.update");
    fs::copy(bundle, &copy)?;
    run(tool("mcopy")?.args(["-i", &format!("{name}@@{at}"), "copy.update", "::2.update"]))?;
    fs::remove_file(copy)?;
    Ok(())
}

/// An MBR's entry of a FAT32 that fills the stick, the three that are empty, and the mark.
fn table() -> anyhow::Result<Vec<u8>> {
    let sectors = |bytes: u64| anyhow::Ok(u32::try_from(bytes / 512)?.to_le_bytes());
    let (start, length) = (sectors(PARTITION)?, sectors(STICK - PARTITION)?);
    let entry = [
        &[0, 0xfe, 0xff, 0xff, 0x0c, 0xfe, 0xff, 0xff][..],
        &start,
        &length,
    ]
    .concat();
    Ok([&entry[..], &[0; 48], &[0x55, 0xaa]].concat())
}

/// Plugs a stick in, and has the box take what is on it; what it says.
fn take(guest: &Guest, name: &str) -> anyhow::Result<std::process::Output> {
    let mut monitor = Monitor::open(guest.folder)?;
    monitor.plug(name)?;
    let answer = until(BOOT, || {
        let answer = guest.door()?.say(&["update", "install", "stick"], None)?;
        let said = String::from_utf8_lossy(&answer.stderr);
        Ok((!NOT_YET.iter().any(|words| said.contains(words))).then_some(answer))
    })?;
    monitor.unplug(name)?;
    Ok(answer)
}

/// Nothing is plugged in, and then something that another has signed.
pub fn a_bundle_on_a_stick_is_refused_when_another_has_signed_it(
    guest: &Guest,
    ground: &Ground,
    good: &Path,
) -> anyhow::Result<()> {
    let answer = guest.door()?.say(&["update", "install", "stick"], None)?;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(
        !answer.status.success() && said.contains("no stick is plugged in"),
        "without a stick: {said}"
    );
    let foreign = ground.folder.path().join("foreign.update");
    fs::write(&foreign, signed_by_another(ground, good)?)?;
    stick(ground, guest.folder, "foreign.stick", &foreign, false)?;
    let before = images(&ground.root, guest.folder)?;
    let answer = take(guest, "foreign.stick")?;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(
        !answer.status.success() && said.contains("the bundle's signature is wrong"),
        "what another has signed: {said}"
    );
    ensure!(
        before == images(&ground.root, guest.folder)?,
        "an image has changed"
    );
    Ok(())
}

/// The box takes the bundle on a stick with a partition; where it leads is for others to see.
pub fn install_from_stick(guest: &Guest, ground: &Ground, bundle: &Path) -> anyhow::Result<()> {
    stick(ground, guest.folder, "good.stick", bundle, true)?;
    let answer = take(guest, "good.stick")?;
    let said = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "it refuses the stick: {said}");
    Ok(())
}

/// The box takes what was put there by sftp(1).
pub fn install_uploaded(guest: &Guest, bundle: &Path) -> anyhow::Result<()> {
    let door = guest.door()?;
    let batch = guest.folder.path.join("batch");
    fs::write(&batch, format!("put {} 3.update\n", bundle.display()))?;
    let mut sftp = Command::new("sftp");
    sftp.args(["-F", "none", "-q", "-P", &door.port.to_string(), "-i"])
        .arg(&door.identity)
        .arg("-b")
        .arg(&batch);
    let known = format!("UserKnownHostsFile={}", door.known_hosts.display());
    for option in [
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        &known,
    ] {
        sftp.args(["-o", option]);
    }
    process::output(sftp.arg("admin@127.0.0.1"))?;
    door.told(&["update", "install", "uploaded"], None)?;
    Ok(())
}
