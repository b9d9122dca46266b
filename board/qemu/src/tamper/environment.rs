//! A saved environment of U-Boot, with commands of somebody else's.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::folder::{Folder, INSIDE};

use super::BYPASSED;

/// Bytes of the environment: `CONFIG_ENV_SIZE` of U-Boot's `qemu_arm64_defconfig`, which looks for it at the start of
/// the second flash.
const SIZE: usize = 0x4_0000;
/// Bytes of a flash of QEMU's `virt` machine.
const FLASH: u64 = 64 << 20;

/// Writes the second flash; returns the arguments that plug it in.
pub fn plant(folder: &Folder) -> anyhow::Result<Vec<String>> {
    let path = folder.path.join("flash1.bin");
    let file = File::create(&path)?;
    file.set_len(FLASH)?;
    file.write_all_at(&environment(), 0)?;
    fs::File::sync_all(&file)?;
    let drive = format!("if=pflash,unit=1,format=raw,file={INSIDE}/flash1.bin");
    Ok(vec!["-drive".to_owned(), drive])
}

/// CRC-32, then `name=value` with a NUL after each and one more at the end (U-Boot's `env_t` without redundancy).
fn environment() -> Vec<u8> {
    let command = format!("echo {BYPASSED}; echo {BYPASSED}");
    let mut data = Vec::new();
    for name in ["bootcmd", "preboot", "altbootcmd"] {
        data.extend(format!("{name}={command}\0").into_bytes());
    }
    data.extend(b"bootdelay=0\0stderr=serial\0stdin=serial\0stdout=serial\0\0");
    data.resize(SIZE - 4, 0);
    let mut whole = crc32fast::hash(&data).to_le_bytes().to_vec();
    whole.extend(data);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_the_size_that_u_boot_reads() {
        assert_eq!(environment().len(), SIZE);
    }
}
