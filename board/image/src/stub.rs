//! What systemd-stub 257 does with a unified kernel image: what it measures, and what it hands to the kernel.

use crate::pcr::Event;
use crate::pe::Pe;

/// The sections that go into PCR 11, in the stub's order. `.pcrsig` does not: it signs their value.
const MEASURED: [&str; 13] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat",
    ".pcrpkey", ".profile", ".dtbauto", ".hwids",
];
/// Sections that the kernel gets as files of the initrd, and their names there.
const FILES: [(&str, &str); 3] = [
    (".pcrsig", "tpm2-pcr-signature.json"),
    (".pcrpkey", "tpm2-pcr-public-key.pem"),
    (".osrel", "os-release"),
];
/// The folder of these files.
const FOLDER: &str = ".extra";
/// Modes of the folder and the files: nobody writes there.
const FOLDER_MODE: u32 = 0o040_555;
const FILE_MODE: u32 = 0o100_444;
/// Ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// The measurements of an image's sections: of each its name, then its content.
pub fn sections(image: &Pe) -> Vec<Event> {
    MEASURED
        .iter()
        .filter_map(|name| Some((name, image.section(name)?)))
        .flat_map(|(name, content)| {
            [
                Event::of(11, *name, format!("{name}\0").as_bytes()),
                Event::of(11, format!("{name} (content)"), content),
            ]
        })
        .collect()
}

/// The initrd as the kernel gets it: the image's own, then the files of `/.extra`.
pub fn initrd(image: &Pe) -> Vec<u8> {
    let mut all = image.section(".initrd").unwrap_or_default().to_vec();
    pad(&mut all);
    for (section, file) in FILES {
        if let Some(content) = image.section(section) {
            all.extend(archive(file, content));
        }
    }
    all
}

/// A cpio archive ("new ASCII" format) with one file in the folder.
fn archive(file: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let name = format!("{FOLDER}/{file}");
    entry(&mut out, [1, FOLDER_MODE, 0, 0, 1, 0], FOLDER, &[]);
    entry(&mut out, [2, FILE_MODE, 0, 0, 1, 0], &name, content);
    entry(&mut out, [0, 0, 0, 0, 1, 0], TRAILER, &[]);
    out
}

/// Head: inode, mode, owner, group, links, time; then what follows from name and content.
fn entry(out: &mut Vec<u8>, head: [u32; 6], name: &str, content: &[u8]) {
    let head = head.map(|value| format!("{value:08x}")).concat();
    let (size, length, zero) = (content.len(), name.len() + 1, 0);
    let length = if name == TRAILER {
        // The stub has this entry as a constant, with a capital letter.
        format!("{length:08X}")
    } else {
        format!("{length:08x}")
    };
    let line = format!("070701{head}{size:08x}{zero:032x}{length}{zero:08x}{name}\0");
    out.extend(line.bytes());
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_its_folder_its_file_and_the_stubs_own_end() {
        let bytes = archive("os-release", b"ID=umec\n");
        assert_eq!(bytes.len() % 4, 0);
        let names: Vec<_> = [".extra\0", ".extra/os-release\0", "TRAILER!!!\0"]
            .iter()
            .map(|name| {
                bytes
                    .windows(name.len())
                    .any(|part| part == name.as_bytes())
            })
            .collect();
        assert_eq!(names, [true; 3]);
        assert!(bytes.ends_with(b"0000000B00000000TRAILER!!!\0\0\0\0"));
    }
}
