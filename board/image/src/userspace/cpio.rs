//! An archive for the kernel's RAM root (Documentation/driver-api/early-userspace/buffer-format.rst, "newc").
//!
//! Written here rather than by cpio(1): the same bytes from everybody, with a device node and without being root.

use board_forge::EPOCH;

/// Types of mode bits (inode(7)).
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Archive {
    /// A folder, root's.
    pub fn folder(&mut self, name: &str) -> anyhow::Result<()> {
        self.entry(name, FOLDER | 0o755, (0, 0), &[])
    }

    /// A file, root's.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        self.entry(name, FILE | mode, (0, 0), content)
    }

    /// A character device.
    pub fn character(&mut self, name: &str, major: u32, minor: u32) -> anyhow::Result<()> {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// The bytes.
    pub fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        // systemd-stub joins archives at multiples of 4.
        self.pad();
        Ok(self.bytes)
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> anyhow::Result<()> {
        self.inodes += 1;
        let time = if mode == 0 { 0 } else { u32::try_from(EPOCH)? };
        let fields = [
            self.inodes,
            mode,
            0, // user
            0, // group
            1, // links
            time,
            u32::try_from(content.len())?,
            0, // device of the file
            0,
            device.0,
            device.1,
            u32::try_from(name.len() + 1)?,
            0, // no checksum
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_110_bytes_a_name_and_content_each_padded_to_four() {
        let mut archive = Archive::default();
        archive.file("init", 0o755, b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        assert!(
            bytes.starts_with(
                b"0707010000000100 0081ED"
                    .split(|b| *b == b' ')
                    .collect::<Vec<_>>()
                    .concat()
                    .as_slice()
            )
        );
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..121], b"12345");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
