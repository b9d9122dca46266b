//! The Raspberry Pi 4's card.
//!
//! The mask ROM loads the Pi's own firmware from the first partition and verifies nothing of it, unless the owner fuses
//! the EEPROM's signed boot with Raspberry's tools. That firmware starts BL31 and U-Boot, unverified as well. From there
//! on it is the same chain as everywhere: U-Boot holds the keys and starts only the signed image from the second
//! partition. The card has a README that says so.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_firmware::RaspberryFirmware;
use board_forge::{Cache, DebianRoot, Made, debs};
use board_kernel::Kernel;

use crate::disk::{SECTOR, SLOT, boot_partition, fat, mbr};

const MIB: u64 = 1 << 20;
/// The Pi's firmware reads FAT from a partition of type c; U-Boot keeps EFI variables only on one of type ef.
const FIRMWARE: (u8, u64, u64) = (0x0c, 1, 32);
const BOOT: (u8, u64, u64) = (0xef, 33, 2 * SLOT / MIB + 8);
const DATA: (u8, u64, u64) = (0x83, BOOT.1 + BOOT.2, CARD - BOOT.1 - BOOT.2);
/// QEMU takes a card only when its size is a power of two; 1 GiB has room for data as well, and the file is sparse.
const CARD: u64 = 1024;
/// The disk's number in the MBR: "umec". An MBR has no names: by this number and the third place the box finds its data
/// (edged/init).
const NUMBER: [u8; 4] = *b"umec";
/// The package with the Pi's firmware, of Debian's non-free-firmware, and where the files are in it.
const PACKAGE: &str = "raspi-firmware";
const FOLDER: &str = "usr/lib/raspi-firmware";
/// The Pi 4's second stage and its data, and the licence that goes with them.
const FILES: [&str; 2] = ["start4.elf", "fixup4.dat"];
const LICENCE: &str = "usr/share/doc/raspi-firmware/copyright";
/// What the Pi's firmware is told (config.txt).
const CONFIG: &str = "arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\narmstub=bl31.bin\ndevice_tree=bcm2711-rpi-4-b.dtb\n";
const README: &str = "\
What is verified on this card, and what is not
==============================================
The Raspberry Pi 4 has no root of trust that this card could use: its mask ROM
and its EEPROM load start4.elf from this partition without a check, and
start4.elf loads bl31.bin, u-boot.bin and the device tree in the same way. Who
can write to this partition owns the box.

The first check is U-Boot's: it starts only images that are signed by the key
whose certificate it carries (UEFI Secure Boot), from the second partition.
BL31 is TF-A's secure monitor; there is no OP-TEE, as the BCM2711 cannot keep
its memory from the rest of the system. Without a TPM module nothing is
measured, and the data partition is not encrypted.

To have u-boot.bin verified too, the owner must sign this partition's contents
as a boot.img and fuse the hash of the key into the board (rpi-eeprom,
\"secure boot\"). That cannot be undone, and is not done by this image.
";

/// What is on the card beside the image.
#[derive(Debug, Clone)]
pub struct Card {
    pi: Made,
    firmware: RaspberryFirmware,
    device_tree: PathBuf,
}

impl Card {
    /// Fetches the Pi's own firmware.
    ///
    /// # Errors
    /// It is not to be had: the machine's apt needs a mirror with non-free-firmware.
    pub fn of(
        cache: &Cache,
        tools: &DebianRoot,
        firmware: RaspberryFirmware,
        kernel: &Kernel,
    ) -> anyhow::Result<Self> {
        let package = debs(cache, &["trixie"], "arm64", &[PACKAGE])?;
        Ok(Self {
            pi: crate::build::unpack(cache, tools, "raspi-firmware", &package, PACKAGE)?,
            firmware,
            device_tree: kernel.device_trees.pi4.clone(),
        })
    }

    /// Writes the card.
    ///
    /// # Errors
    /// A file is missing, or cannot be written.
    pub fn write(&self, tools: &DebianRoot, to: &Path, uki: &[u8]) -> anyhow::Result<()> {
        let file = File::create(to)?;
        file.set_len(CARD * MIB)?;
        let partitions = [FIRMWARE, BOOT, DATA].map(|(kind, first, count)| {
            let sectors = |count: u64| u32::try_from(count * MIB / SECTOR);
            anyhow::Ok((kind, sectors(first)?, sectors(count)?))
        });
        let partitions = partitions.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        file.write_all_at(&mbr(NUMBER, &partitions), 0)?;
        drop(file);
        let contents = self.firmware_files()?;
        let contents: Vec<(&str, &[u8])> = contents
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        let place =
            |(_, first, count): (u8, u64, u64)| (first * MIB / SECTOR, count * MIB / SECTOR);
        let (first, count) = place(FIRMWARE);
        fat(tools, to, first, count, "UMEC-PI", &contents)?;
        let (first, count) = place(BOOT);
        boot_partition(tools, to, first, count, uki)
    }

    fn firmware_files(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let stub = self
            .firmware
            .bl31
            .as_ref()
            .context("the Raspberry Pi 4's firmware has no BL31")?;
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut files = vec![
            ("config.txt".to_owned(), CONFIG.as_bytes().to_vec()),
            (
                "README.txt".to_owned(),
                README.replace('\n', "\r\n").into_bytes(),
            ),
            ("u-boot.bin".to_owned(), read(&self.firmware.u_boot)?),
            ("bl31.bin".to_owned(), read(stub)?),
            ("bcm2711-rpi-4-b.dtb".to_owned(), read(&self.device_tree)?),
        ];
        files.push(("LICENCE.txt".to_owned(), read(&self.pi.join(LICENCE))?));
        for name in FILES {
            files.push((name.to_owned(), read(&self.pi.join(FOLDER).join(name))?));
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_follow_each_other_and_fill_the_card() {
        let mut end = 1;
        for (_, first, count) in [FIRMWARE, BOOT, DATA] {
            assert_eq!(first, end);
            end = first + count;
        }
        assert_eq!(end, CARD);
        assert!(CARD.is_power_of_two());
    }

    #[test]
    fn the_configuration_names_the_files_that_are_on_the_card() {
        for name in [
            "kernel=u-boot.bin",
            "armstub=bl31.bin",
            "device_tree=bcm2711-rpi-4-b.dtb",
        ] {
            assert!(CONFIG.lines().any(|line| line == name), "{name}");
        }
    }
}
