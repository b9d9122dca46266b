//! TF-A: compiled with a place for the hash of the root of trust's key.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use board_forge::{Cache, DebianRoot, Made, output};
use sha2::{Digest, Sha256};

use crate::options::variables;
use crate::place::Place;
use crate::source::{MBED_TLS, TF_A};
use crate::workshop::{Workshop, inputs};

/// Our patches.
const PATCHES: &str = "tf-a/patches";
/// Options of QEMU's virt machine.
const QEMU: &str = "tf-a/qemu-aarch64.options";
/// Options of every Raspberry Pi.
const RASPBERRY: &str = "tf-a/rpi.options";
/// Stands where the hash of the root of trust's key belongs: as long as a SHA-256.
const ROOT_OF_TRUST: &[u8; 32] = b"the place of the root of trust!!";
/// How many bytes of BL2 are code and read-only data, which BL2 measures; as text.
const MEASURED: &str = "bl2.measured";

/// BL1, BL2 and BL31 of QEMU's virt machine, and the program that makes certificates.
pub(crate) fn make_qemu(cache: &Cache, root: &DebianRoot) -> anyhow::Result<Made> {
    let options = variables(QEMU)?;
    let inputs = inputs(root, &[TF_A, MBED_TLS], &[PATCHES])?
        .text("options", &options.join("\n"))
        .text("place", &String::from_utf8_lossy(ROOT_OF_TRUST));
    cache.step("tf-a", &inputs, |out| {
        let shop = Workshop::open(cache, root)?;
        shop.unpack(cache, &TF_A, Some(PATCHES))?;
        shop.unpack(cache, &MBED_TLS, None)?;
        fs::write(shop.path("rotpk.place"), ROOT_OF_TRUST)?;
        // The makefile takes the hash from the key when the key is the newer of the two.
        File::create(shop.path("no.key"))?.set_modified(SystemTime::UNIX_EPOCH)?;
        let mut words = vec![
            "BUILD_BASE=/work/out",
            "MBEDTLS_DIR=/work/mbedtls",
            "ROT_KEY=/work/no.key",
            "ROTPK_HASH=/work/rotpk.place",
        ];
        words.extend(options.iter().map(String::as_str));
        words.extend(["bl1", "bl2", "bl31", "certtool"]);
        shop.make("tf-a", &words)?;
        let built = "out/qemu/release";
        let length = read_only_length(root, &shop.path(built).join("bl2/bl2.elf"))?;
        fs::write(out.join(MEASURED), length.to_string())?;
        shop.keep(built, &["bl1.bin", "bl2.bin", "bl31.bin"], out)?;
        shop.keep("tf-a/tools/cert_create", &["cert_create"], out)
    })
}

/// BL31 of a Raspberry Pi.
pub(crate) fn make_raspberry(
    cache: &Cache,
    root: &DebianRoot,
    platform: &str,
) -> anyhow::Result<Made> {
    let options = variables(RASPBERRY)?;
    let inputs = inputs(root, &[TF_A], &[])?
        .text("platform", platform)
        .text("options", &options.join("\n"));
    cache.step("tf-a-raspberry", &inputs, |out| {
        let shop = Workshop::open(cache, root)?;
        shop.unpack(cache, &TF_A, None)?;
        let platform_word = format!("PLAT={platform}");
        let mut words = vec!["BUILD_BASE=/work/out", &platform_word];
        words.extend(options.iter().map(String::as_str));
        words.push("bl31");
        shop.make("tf-a", &words)?;
        shop.keep(&format!("out/{platform}/release"), &["bl31.bin"], out)
    })
}

/// BL1 or BL2 with the hash of the root of trust's key (DER).
pub(crate) fn with_root_of_trust(made: &Made, image: &str, key: &[u8]) -> anyhow::Result<Vec<u8>> {
    let place = Place {
        what: "the hash of the root of trust",
        marker: ROOT_OF_TRUST.to_vec(),
        room: 0,
    };
    let mut program = fs::read(made.join(image))?;
    place.fill(&mut program, &Sha256::digest(key))?;
    Ok(program)
}

/// What BL2 measures of itself: its code and read-only data.
pub(crate) fn measured(made: &Made, bl2: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length: usize = fs::read_to_string(made.join(MEASURED))?.trim().parse()?;
    let part = bl2
        .get(..length)
        .context("BL2 is shorter than what it measures")?;
    Ok(part.to_vec())
}

fn read_only_length(root: &DebianRoot, elf: &Path) -> anyhow::Result<u64> {
    let binds = [board_forge::Bind::read(elf, "/work/bl2.elf")];
    let symbols = output(
        root.command("/work", &binds, "aarch64-linux-gnu-nm")?
            .arg("bl2.elf"),
    )?;
    let address = |name: &str| {
        symbols
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.split_whitespace().nth(1) == Some(name))
            .and_then(|(address, _)| u64::from_str_radix(address, 16).ok())
            .with_context(|| format!("BL2 has no symbol {name}"))
    };
    address("__RODATA_END__")?
        .checked_sub(address("__TEXT_START__")?)
        .context("BL2's sections are in another order than expected")
}
