//! The signed images on the boot partition.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use board_firmware::qemu_aarch64;
use board_forge::{Bind, Cache, DebianRoot, output, run};
use board_image::disk::IMAGES;
use board_image::pe::Pe;
use board_keys::Keys;
use edged_slot::{DiskFile, Slot, Slots};

use super::BYPASSED;
use super::disk::{self, Partition};
use crate::Parts;
use crate::folder::{Folder, INSIDE};

/// Where an EROFS image says what it is (`linux/fs/erofs/erofs_fs.h`).
const SUPERBLOCK: Range<usize> = 1024..1152;
/// An image that is being changed, in the box's folder.
pub(super) const IMAGE: &str = "image.efi";

/// The two images of a box that is switched off, A and B, as mtools reads them.
///
/// # Errors
/// One is missing, or cannot be read.
pub fn images(root: &DebianRoot, folder: &Folder) -> anyhow::Result<[Vec<u8>; 2]> {
    let images = Images::find(root, folder)?;
    let [a, b] = IMAGES;
    Ok([
        images.read(&format!("::{a}"))?,
        images.read(&format!("::{b}"))?,
    ])
}

/// Puts an image into both slots of a box that is switched off, as a box does.
///
/// # Errors
/// The partition is not as the build lays it out.
pub fn put_image(folder: &Folder, image: &[u8]) -> anyhow::Result<()> {
    let partition = partition(folder)?;
    let mut slots = Slots::open(&partition)?;
    for slot in [Slot::A, Slot::B] {
        slots.put(slot, u64::try_from(image.len())?, &mut &*image)?;
    }
    Ok(())
}

/// Has a box that is switched off start slot B once, as a box does.
///
/// # Errors
/// The partition is not as the build lays it out.
pub fn arm(folder: &Folder) -> anyhow::Result<()> {
    let partition = partition(folder)?;
    Ok(Slots::open(&partition)?.set_next(Some(Slot::B))?)
}

fn partition(folder: &Folder) -> anyhow::Result<DiskFile> {
    let offset = disk::offset(&folder.disk(), Partition::Esp)?;
    Ok(DiskFile::open(&folder.disk(), offset)?)
}

/// Every image on a box's boot partition: a box falls back from one to the other, so all are changed alike.
#[derive(Debug)]
pub struct Images<'a> {
    pub(super) root: &'a DebianRoot,
    pub(super) folder: &'a Folder,
    /// The partition, as mtools names it.
    partition: String,
    pub(super) paths: Vec<String>,
}

impl<'a> Images<'a> {
    /// Looks for them.
    pub fn find(root: &'a DebianRoot, folder: &'a Folder) -> anyhow::Result<Self> {
        let offset = disk::offset(&folder.disk(), Partition::Esp)?;
        let mut images = Self {
            root,
            folder,
            partition: format!("{INSIDE}/disk.img@@{offset}"),
            paths: Vec::new(),
        };
        let listing = output(images.mtools("mdir")?.args(["-/", "-b", "::"]))?;
        let paths = listing.lines().map(str::trim);
        images.paths = paths
            .filter(|path| path.to_ascii_lowercase().ends_with(".efi"))
            .map(str::to_owned)
            .collect();
        if images.paths.is_empty() {
            bail!("the boot partition holds no image");
        }
        Ok(images)
    }

    pub(super) fn mtools(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = self.command(program)?;
        command.args(["-i", &self.partition]);
        Ok(command)
    }

    pub(super) fn command(&self, program: &str) -> anyhow::Result<Command> {
        self.root.command(INSIDE, &[self.folder.bind()], program)
    }

    pub(super) fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        run(self.mtools("mcopy")?.args(["-o", "-n", path, IMAGE]))?;
        Ok(fs::read(self.folder.path.join(IMAGE))?)
    }

    pub(super) fn put(&self, path: &str) -> anyhow::Result<()> {
        run(self.mtools("mcopy")?.args(["-o", "-n", IMAGE, path]))
    }

    /// Writes each image anew as `change` leaves it.
    pub fn change(
        &self,
        change: impl Fn(&mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.paths
            .iter()
            .try_for_each(|path| self.change_one(path, &change))
    }

    /// Writes one image anew as `change` leaves it.
    pub fn change_one(
        &self,
        path: &str,
        change: impl Fn(&mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut bytes = self.read(path)?;
        change(&mut bytes).with_context(|| path.to_owned())?;
        fs::write(self.folder.path.join(IMAGE), bytes)?;
        self.put(path)
    }

    /// Gives the box a firmware with the same keys that has its own images on the list of revoked ones (dbx).
    pub fn revoke(&self, cache: &Cache, parts: &Parts) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("keys");
        crate::folder::copy(parts.keys.folder(), &copy)?;
        let keys = Keys::open(&copy)?;
        for path in &self.paths {
            self.read(path)?;
            let image = self.folder.path.join(IMAGE);
            keys.revoke(&image.to_string_lossy())?;
        }
        let firmware = qemu_aarch64(cache, &keys)?;
        fs::copy(&firmware.flash, self.folder.flash())?;
        Ok(())
    }

    /// Takes the signatures away and signs with a key that was made just now.
    pub fn sign_by_somebody_else(&self) -> anyhow::Result<()> {
        let mut make = self.command("openssl")?;
        make.args(["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-sha256"]);
        make.args(["-subj", "/CN=somebody else", "-days", "3650"]);
        run(make.args(["-keyout", "foreign.key", "-out", "foreign.crt"]))?;
        self.change(unsign)?;
        for path in &self.paths {
            self.read(path)?;
            let mut sign = self.command("sbsign")?;
            sign.args(["--key", "foreign.key", "--cert", "foreign.crt"]);
            run(sign.args(["--output", IMAGE, IMAGE]))?;
            self.put(path)?;
        }
        Ok(())
    }

    /// Flips a bit in the middle of a program of the RAM root, wherever the image's root keeps it.
    pub fn flip_program(&self, erofs: &Path, path: &str) -> anyhow::Result<()> {
        let binds = [Bind::read(erofs, "/work/root.erofs")];
        let mut dump = self.root.command("/work", &binds, "dump.erofs")?;
        dump.args(["-e", &format!("--path={path}"), "/work/root.erofs"]);
        let at = middle(&output(&mut dump)?)
            .with_context(|| format!("dump.erofs does not say where {path} is"))?;
        let root = fs::read(erofs)?;
        let mark = root.get(SUPERBLOCK).context("the root is cut off")?;
        self.change(|image| {
            let initrd = section(image, ".initrd")?;
            let bytes = image.get(initrd.clone()).context("the image is cut off")?;
            let place = bytes
                .windows(mark.len())
                .position(|window| window == mark)
                .context("the initrd does not hold the image's root")?;
            flip(image, initrd.start + place - SUPERBLOCK.start + at)
        })
    }

    /// Takes the kernel out of an image; returns the arguments by which QEMU offers it to the firmware.
    pub fn kernel_by_hand(&self) -> anyhow::Result<Vec<String>> {
        let path = self.paths.first().context("there is no image")?;
        let bytes = self.read(path)?;
        let kernel = bytes.get(section(&bytes, ".linux")?);
        fs::write(
            self.folder.path.join("kernel"),
            kernel.context("the kernel is cut off")?,
        )?;
        let words = format!("console=ttyAMA0 {BYPASSED}");
        let kernel = format!("{INSIDE}/kernel");
        Ok(["-kernel", &kernel, "-append", &words]
            .map(str::to_owned)
            .to_vec())
    }
}

/// Where a section's own bytes are.
fn section(image: &[u8], name: &str) -> anyhow::Result<Range<usize>> {
    let pe = Pe::parse(image)?;
    let found = pe.sections.iter().find(|section| section.name == name);
    let section = found.with_context(|| format!("the image has no section {name}"))?;
    let start = section.raw.start;
    Ok(start..start + section.size.min(section.raw.len()))
}

/// The middle of a file's middle extent in the image, by what dump.erofs writes: number, place in the file, length, place
/// in the image, length.
fn middle(dump: &str) -> Option<usize> {
    let extents: Vec<(usize, usize)> = dump
        .lines()
        .filter_map(|line| {
            let (_, physical) = line.rsplit_once(" : ")?;
            let (range, length) = physical.split_once('|')?;
            let (start, _) = range.split_once("..")?;
            Some((start.trim().parse().ok()?, length.trim().parse().ok()?))
        })
        .collect();
    let (start, length) = extents.get(extents.len() / 2)?;
    Some(start + length / 2)
}

/// Flips a bit in the middle of a section.
pub fn flip_section(image: &mut [u8], name: &str) -> anyhow::Result<()> {
    let section = section(image, name)?;
    flip(image, usize::midpoint(section.start, section.end))
}

fn flip(bytes: &mut [u8], at: usize) -> anyhow::Result<()> {
    let byte = bytes.get_mut(at).context("the image is cut off")?;
    *byte ^= 1;
    Ok(())
}

/// Takes the signatures away: without an entry in the PE header, the table of certificates is not there.
pub fn unsign(image: &mut Vec<u8>) -> anyhow::Result<()> {
    let pe = Pe::parse(image)?;
    let (directory, table) = (pe.directory, pe.certificates.start);
    if pe.certificates.is_empty() {
        bail!("the image has no signature to take away");
    }
    image
        .get_mut(directory..directory + 8)
        .context("the PE file is cut off")?
        .fill(0);
    image.truncate(table);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PE file of 1,024 bytes: `.a` with 5 own bytes at 512, signatures from 768.
    fn small() -> Vec<u8> {
        let mut file = vec![0_u8; 1024];
        file[0x3c] = 0x40;
        file[0x40..0x44].copy_from_slice(b"PE\0\0");
        file[0x46] = 1;
        file[0x54] = 0xf0;
        file[0x58 + 0xf0..0x58 + 0xf2].copy_from_slice(b".a");
        file[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        file[0x58 + 0xf0 + 8] = 5;
        file[0x58 + 0xf0 + 17] = 1;
        file[0x58 + 0xf0 + 21] = 2;
        file[0x58 + 112 + 33] = 3;
        file[0x58 + 112 + 37] = 1;
        file
    }

    #[test]
    fn the_bit_is_among_the_section_s_own_bytes() {
        let mut file = small();
        flip_section(&mut file, ".a").unwrap();
        let mut expected = small();
        expected[514] ^= 1;
        assert!(file == expected);
        assert!(flip_section(&mut file, ".b").is_err());
    }

    #[test]
    fn the_middle_of_a_program_is_in_its_middle_extent() {
        let dump = "Size: 9\n\n Ext:   logical offset   |  length :     physical offset    |  length\n   \
            0:        0..  133899 |  133899 :      73728..    139264 |   65536\n   \
            1:   133899..  257053 |  123154 :     139264..    204800 |   65536\n/usr/bin/edged: 2 extents found\n";
        assert_eq!(middle(dump), Some(139_264 + 32_768));
        assert_eq!(middle("no such file"), None);
    }

    #[test]
    fn an_image_without_its_signature_is_the_same_up_to_there() {
        let mut file = small();
        unsign(&mut file).unwrap();
        assert_eq!(file.len(), 768);
        assert!(unsign(&mut file).is_err());
    }
}
