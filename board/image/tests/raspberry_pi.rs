//! The Raspberry Pi 4's card in QEMU's `raspi4b`, as far as that machine goes.
//!
//! QEMU plays neither the mask ROM nor the Pi's own firmware: it starts the card's U-Boot with the card's device tree.
//! From there on it is the real card: U-Boot reads its variables and the signed image from the second partition. Linux
//! sees no card, as QEMU has the Pi 4's newer controller only in part, so the box says at the end that its data partition is
//! missing. Minutes long, as the whole machine is emulated: run it by `cargo test -p board-image --test raspberry_pi --
//! --ignored --test-threads 1`.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use board_forge::{Bind, Cache, DebianRoot, run, tools};
use board_image::{Board, Request, build};
use tempfile::TempDir;

/// The card's partitions, as mtools names them.
const FIRMWARE: &str = "card.img@@1M";
const BOOT: &str = "card.img@@33M";
/// Longest time until the last line: on a busy machine with two cores it took three minutes.
const PATIENCE: &str = "900";

struct Pi {
    tools: DebianRoot,
    folder: TempDir,
}

impl Pi {
    /// With the card that `cargo board image --board rpi4` makes.
    fn with_its_card() -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        let request = Request::development(Board::Rpi4);
        let pi = Self {
            tools: tools(&cache)?,
            folder: tempfile::tempdir()?,
        };
        let image = build(&cache, &request)?;
        image.write_disk(&pi.folder.path().join("card.img"))?;
        for file in ["u-boot.bin", "bcm2711-rpi-4-b.dtb"] {
            let from = format!("::/{file}");
            run(pi.command("mcopy")?.args(["-i", FIRMWARE, &from, file]))?;
        }
        Ok(pi)
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let here = Bind::write(self.folder.path(), "/work/pi");
        self.tools.command("/work/pi", &[here], program)
    }

    /// Switches it on; what its header's pins say until the line with `last`.
    fn boot(&self, last: &str) -> anyhow::Result<String> {
        let mut command = self.command("timeout")?;
        // QEMU ends with the clock beside it, however that ends.
        command
            .args(["--foreground", PATIENCE, "setpriv", "--pdeathsig", "KILL"])
            .args(["--", "qemu-system-aarch64", "-machine", "raspi4b"])
            .args(["-display", "none", "-monitor", "none", "-nic", "none"])
            // The first is the one that Bluetooth has later; U-Boot's first lines go there.
            .args(["-serial", "file:first.log", "-serial", "stdio"])
            .args(["-kernel", "u-boot.bin", "-dtb", "bcm2711-rpi-4-b.dtb"])
            .args(["-drive", "if=sd,format=raw,file=card.img"]);
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut heard = String::new();
        for line in BufReader::new(qemu.stdout.take().context("QEMU has no console")?).split(b'\n')
        {
            let line = String::from_utf8_lossy(&line?).into_owned();
            heard += &line;
            heard.push('\n');
            if line.contains(last) {
                break;
            }
        }
        qemu.kill()?;
        qemu.wait()?;
        ensure!(heard.contains(last), "it never said {last}:\n{heard}");
        Ok(heard)
    }
}

#[test]
#[ignore = "makes a whole image and boots it: minutes"]
fn the_card_boots_from_u_boot_to_the_missing_data_partition() {
    let pi = Pi::with_its_card().unwrap();
    let heard = pi
        .boot("DATA-REFUSED: there is no partition named umec-data")
        .unwrap();
    let mut rest = heard.as_str();
    for part in [
        "Booting: A",
        "EFI stub: Exiting boot services",
        "for rpi4 *** DEVELOPMENT",
    ] {
        let (_, after) = rest.split_once(part).expect(part);
        rest = after;
    }
    let first = fs::read_to_string(pi.folder.path().join("first.log")).unwrap();
    assert!(first.contains("RPI 4 Model B"), "{first}");
}

#[test]
#[ignore = "makes a whole image and boots it: minutes"]
fn one_bit_of_the_image_on_the_card_is_refused_by_u_boot() {
    let pi = Pi::with_its_card().unwrap();
    let there = "::/EFI/umec/a.efi";
    run(pi
        .command("mcopy")
        .unwrap()
        .args(["-i", BOOT, there, "a.efi"]))
    .unwrap();
    let image = File::options()
        .read(true)
        .write(true)
        .open(pi.folder.path().join("a.efi"))
        .unwrap();
    let middle = image.metadata().unwrap().len() / 2;
    let mut byte = [0];
    image.read_exact_at(&mut byte, middle).unwrap();
    image.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    run(pi
        .command("mcopy")
        .unwrap()
        .args(["-o", "-i", BOOT, "a.efi", there]))
    .unwrap();
    let heard = pi.boot("Image not authenticated").unwrap();
    assert!(!heard.contains("EFI stub"), "{heard}");
}
